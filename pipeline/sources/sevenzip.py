"""7z archives, in one file or in numbered parts, read as one stream of members."""

import io
import re
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from queue import Queue
from threading import Event

import multivolumefile
import py7zr
import py7zr.exceptions
import py7zr.io

from pipeline.errors import SourceError
from pipeline.sources import sevenzip_program as system
from pipeline.sources.admission import Entry
from pipeline.sources.ahead import DEPTH, ahead
from pipeline.sources.sevenzip_program import Listed, check

SIP_BYTES = 1024
MAGIC = b"7z\xbc\xaf\x27\x1c"
DAMAGE = (
    py7zr.exceptions.ArchiveError,
    py7zr.exceptions.PasswordRequired,
    py7zr.exceptions.AbsolutePathError,
)
_FIRST_PART = re.compile(r"\.0*1$")


def is_sevenzip(path: Path) -> bool:
    """Whether the file (of several parts: the first) starts as a 7z does."""
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def is_first_part(path: Path) -> bool:
    """Whether the file is a numbered part, `name.7z.001`, of a 7z."""
    return _FIRST_PART.search(path.name) is not None and is_sevenzip(path)


def parts_of(first: Path) -> list[Path]:
    """All parts of the archive that `first` begins, in order.

    Raises
    ------
    SourceError
        A part is missing between the first and the last one.
    """
    digits = len(first.suffix) - 1
    numbered = {
        int(path.suffix[1:]): path
        for path in first.parent.glob(f"{first.stem}.*")
        if path.suffix[1:].isdecimal() and len(path.suffix) == digits + 1
    }
    missing = [f"{first.stem}.{number:0{digits}d}" for number in range(1, max(numbered)) if number not in numbered]
    if missing:
        raise SourceError(f"{first.parent}: parts are missing: {', '.join(missing)}. Put them beside {first.name}.")
    return [numbered[number] for number in sorted(numbered)]


def files_of(path: Path) -> list[Path]:
    """The files that make up an archive: all parts where it is the first of a multi-part 7z, else itself."""
    return parts_of(path) if is_first_part(path) else [path]


def entries(path: Path) -> list[Entry]:
    """What the index says of all members but folders, in the archive's order."""
    with _opened(path) as archive:
        encrypted = archive.needs_password()
        return [
            Entry(info.filename, info.uncompressed, info.is_file, encrypted)
            for info in archive.list()
            if not info.is_directory
        ]


def read(path: Path, wanted: frozenset[str]) -> Generator[tuple[str, bytes]]:
    """Names and bytes of the wanted members, in the archive's order: a solid archive is read once, front to back.

    The system's 7z program unpacks where there is one, several times as fast as py7zr (benchmarks/extraction.py).
    Either way every member is held to the checksum in the index, so the bytes are the same.
    """
    program = system.find()
    with _opened(path) as archive:
        listed = [
            Listed(info.filename, info.uncompressed, info.crc32, info.filename in wanted)
            for info in archive.list()
            if not info.is_directory
        ]
        if program is not None:
            yield from ahead(system.read(program, path, listed))
        else:
            yield from _read_py7zr(archive, [member for member in listed if member.wanted])


def _read_py7zr(archive: py7zr.SevenZipFile, listed: list[Listed]) -> Generator[tuple[str, bytes]]:
    """py7zr pushes members at its caller while it unpacks; in a thread, which waits until the reader has taken them."""
    names = [member.name for member in listed if member.size > 0]
    with closing(_unpacked(archive, names)) as pushed:
        for member in listed:
            content = next(pushed, None) if member.size > 0 else b""
            if content is None:
                raise py7zr.exceptions.Bad7zFile(f"ends before {member.name}")
            check(member, content)
            yield member.name, content
        for _ in pushed:  # the archive's last checks run after its last member
            raise py7zr.exceptions.Bad7zFile("holds more members than its index names")


def _unpacked(archive: py7zr.SevenZipFile, names: list[str]) -> Generator[bytes]:
    queue: Queue[bytes | None] = Queue(DEPTH)
    abandoned = Event()
    running = True

    def unpack() -> None:
        try:
            archive.extract(targets=names, factory=_Receivers(queue, abandoned))
        finally:
            queue.put(None)

    with ThreadPoolExecutor(1, thread_name_prefix="7z") as thread:
        future = thread.submit(unpack)
        try:
            while (content := queue.get()) is not None:
                yield content
            running = False
            future.result()
        finally:
            abandoned.set()
            while running:
                running = queue.get() is not None


class _AbandonedError(Exception):
    """The reader wants no more members; ends py7zr's thread."""


class _Receiver(py7zr.io.Py7zIO):
    """Collects one member; hands it over when py7zr has checked its sum."""

    def __init__(self, ahead: Queue[bytes | None], abandoned: Event) -> None:
        self._ahead = ahead
        self._abandoned = abandoned
        self._content = bytearray()

    def write(self, s: bytes | bytearray) -> int:
        if self._abandoned.is_set():
            raise _AbandonedError
        self._content += s
        return len(s)

    def close(self) -> None:
        self._ahead.put(bytes(self._content))
        self._content = bytearray()

    def read(self, size: int | None = None) -> bytes:
        return bytes(self._content[:size])

    def seek(self, offset: int, whence: int = 0) -> int:
        return 0

    def flush(self) -> None:
        pass

    def size(self) -> int:
        return len(self._content)


class _Receivers(py7zr.io.WriterFactory):
    def __init__(self, ahead: Queue[bytes | None], abandoned: Event) -> None:
        self._ahead = ahead
        self._abandoned = abandoned

    def create(self, filename: str) -> py7zr.io.Py7zIO:
        return _Receiver(self._ahead, self._abandoned)


@contextmanager
def _opened(path: Path) -> Generator[py7zr.SevenZipFile]:
    if is_first_part(path):
        parts_of(path)
        volumes = multivolumefile.MultiVolume(path.with_suffix(""), "rb")
        # a read that crosses two parts comes back short from multivolumefile; the buffer completes it
        stream = _Sips(volumes)
    else:
        stream = _Sips(path.open("rb", buffering=0))
    # given a path, py7zr unpacks blocks of members in several threads, and members come in any order
    with stream, py7zr.SevenZipFile(stream, "r") as archive:
        stream.most = SIP_BYTES
        yield archive


class _Sips(io.BufferedReader):
    """Gives little at a time once `most` is set.

    py7zr reads on for each member, though the decoder may still hold input: in large steps, most of an archive would
    gather there.
    """

    most: int | None = None

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(size if self.most is None or size is None or size < 0 else min(size, self.most))
