"""7z archives, in one file or in numbered parts, read as one stream of members."""

import glob
import io
import re
import struct
from array import array
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, cast

import multivolumefile
import py7zr
import py7zr.exceptions
import py7zr.io

from pipeline.errors import SourceError
from pipeline.sources import sevenzip_program as system
from pipeline.sources.archive_safety import Entry
from pipeline.sources.prefetch import Put, Unpacked, ahead, pushed
from pipeline.sources.sevenzip_program import Listed, check

SIP_BYTES = 1024
MAGIC = b"7z\xbc\xaf\x27\x1c"
DAMAGE = (py7zr.exceptions.ArchiveError, py7zr.exceptions.AbsolutePathError)
UNREADABLE = (py7zr.exceptions.UnsupportedCompressionMethodError, py7zr.exceptions.PasswordRequired)
GARBAGE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    TypeError,
    ValueError,
    struct.error,
)
"""What py7zr raises, beside its own errors, for an index of garbage; caught around its own code alone."""

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
        for path in first.parent.iterdir()
        if path.stem == first.stem and path.suffix[1:].isdecimal() and len(path.suffix) == digits + 1
    }
    missing = [f"{first.stem}.{number:0{digits}d}" for number in range(1, max(numbered)) if number not in numbered]
    if missing:
        raise SourceError(f"{first.parent}: parts are missing: {', '.join(missing)}. Put them beside {first.name}.")
    return [numbered[number] for number in sorted(numbered)]


def files_of(path: Path) -> list[Path]:
    """The files that make up an archive: all parts where it is the first of a multi-part 7z, else itself."""
    return parts_of(path) if is_first_part(path) else [path]


def entries(path: Path) -> Generator[Entry]:
    """What the index says of all members but folders, in the archive's order."""
    with _opened(path) as archive:
        encrypted = archive.needs_password()
        for info in _files(archive):
            yield Entry(info.filename, info.uncompressed, info.is_file and not info.is_directory, encrypted)


def read(path: Path, wanted: frozenset[str]) -> Generator[Unpacked]:
    """Names and bytes of the wanted members, in the archive's order: a solid archive is read once, front to back.

    The system's 7z program unpacks where there is one, several times as fast as py7zr (benchmarks/extraction.py).
    Either way every member is held to the checksum in the index, so the bytes are the same.
    """
    program = system.find()
    if program is not None:
        return ahead(system.read(program, path, _Index.of(path).listed(wanted)))
    return pushed(lambda put: _unpack(path, wanted, put))


@dataclass(frozen=True, slots=True, eq=False)
class _Index:
    """The files of an archive in columns; py7zr's own index takes six times as much memory."""

    names: list[str]
    sizes: "array[int]"
    sums: "array[int]"

    @classmethod
    def of(cls, path: Path) -> Self:
        index = cls([], array("q"), array("q"))
        with _opened(path) as archive:
            for info in _files(archive):
                index.names.append(info.filename)
                index.sizes.append(info.uncompressed)
                index.sums.append(-1 if info.crc32 is None else info.crc32)
        return index

    def listed(self, wanted: frozenset[str]) -> Iterator[Listed]:
        for name, size, crc32 in zip(self.names, self.sizes, self.sums, strict=True):
            yield Listed(name, size, None if crc32 < 0 else crc32, name in wanted)


def _unpack(path: Path, wanted: frozenset[str], put: Put) -> None:
    """Unpack by py7zr, which pushes the content of one member after the other."""
    expected = (member for member in _Index.of(path).listed(wanted) if member.wanted)

    def take(content: bytes) -> None:
        for member in expected:
            check(member, content if member.size else b"")
            put((member.name, content if member.size else b""))
            if member.size:
                return
        raise py7zr.exceptions.Bad7zFile("holds more members than its index names")

    with _opened(path) as archive:
        names = {info.filename for info in _files(archive) if info.uncompressed and info.filename in wanted}
        with _library():
            archive.extract(targets=names, factory=_Receivers(take))
    for member in expected:
        check(member, b"")
        put((member.name, b""))


class _Receiver(py7zr.io.Py7zIO):
    """Collects one member; hands it over when py7zr closes it."""

    def __init__(self, take: Callable[[bytes], None]) -> None:
        self._take = take
        self._content = bytearray()

    def write(self, s: bytes | bytearray) -> int:
        self._content += s
        return len(s)

    def close(self) -> None:
        self._take(bytes(self._content))
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
    def __init__(self, take: Callable[[bytes], None]) -> None:
        self._take = take

    def create(self, filename: str) -> py7zr.io.Py7zIO:
        return _Receiver(self._take)


@contextmanager
def _opened(path: Path) -> Generator[py7zr.SevenZipFile]:
    if is_first_part(path):
        parts_of(path)
        # it takes the name for a pattern
        volumes = multivolumefile.MultiVolume(path.with_name(glob.escape(path.stem)), "rb")
        # a read that crosses two parts comes back short from multivolumefile; the buffer completes it
        stream = _Sips(volumes)
    else:
        stream = _Sips(path.open("rb", buffering=0))
    with stream:
        with _library():
            # given a path, py7zr unpacks blocks of members in several threads, and members come in any order
            archive = py7zr.SevenZipFile(stream, "r")
        stream.most = SIP_BYTES
        with archive:
            yield archive
            # py7zr's index refers to itself in a circle, and would stay in memory
            for info in archive.files.files_list:
                cast(dict[str, Any], info).clear()


@contextmanager
def _library() -> Generator[None]:
    """Name what py7zr trips over in an index of garbage as what it is."""
    try:
        yield
    except GARBAGE as error:
        raise py7zr.exceptions.Bad7zFile(f"{type(error).__name__}: {error}") from error


def _files(archive: py7zr.SevenZipFile) -> Iterator[Any]:
    """All members but folders; what calls itself a folder and has content is none."""
    return (info for info in archive.files if not (info.is_directory and info.emptystream))


class _Sips(io.BufferedReader):
    """Gives little at a time once `most` is set.

    py7zr reads on for each member, though the decoder may still hold input: in large steps, most of an archive would
    gather there.
    """

    most: int | None = None

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(size if self.most is None or size is None or size < 0 else min(size, self.most))
