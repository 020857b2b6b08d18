"""One reader over tar, zip and 7z: regular files only, in the archive's own order, one held at a time.

An archive is untrusted: names that leave its root, links and devices end the run before a byte is used.
"""

import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Collection, Generator, Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import SourceError
from pipeline.sources import sevenzip

MEMBER_BYTES_MAX = 1 << 30
"""No photograph is this large; a member that claims so would only exhaust memory."""

DAMAGE = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, *sevenzip.DAMAGE)
UNREADABLE = RuntimeError
"""What `zipfile` raises for encryption and, in a subclass, for methods that it does not know."""


@dataclass(frozen=True, slots=True)
class Member:
    """One regular file of an archive."""

    name: str
    content: bytes


@dataclass(frozen=True, slots=True)
class _Entry:
    """What an archive says about a member before it is read."""

    name: str
    size: int
    regular: bool


def list_members(path: Path) -> list[str]:
    """Names of all regular files in the archive `path` (for a multi-part 7z: its first part), in its order.

    Raises
    ------
    SourceError
        No such archive, an unknown format, a damaged index, or a member that must not be there.
    """
    with _naming(path):
        if sevenzip.is_sevenzip(path):
            entries = [_Entry(name, size, regular) for name, size, regular in sevenzip.entries(path)]
        elif zipfile.is_zipfile(path):
            entries = _zip_entries(path)
        elif tarfile.is_tarfile(path):
            entries = _tar_entries(path)
        else:
            raise SourceError(f"{path}: neither a tar, a zip nor a 7z. Give one of these, or a folder of images.")
    return _checked(path, entries)


def read_members(path: Path, wanted: Collection[str]) -> Generator[Member]:
    """The members of those names with their bytes, in the order of `list_members`; the others are passed over.

    Raises
    ------
    SourceError
        The archive is damaged, encrypted or packed by an unknown method.
    """
    wanted = frozenset(wanted)
    with _naming(path):
        if sevenzip.is_sevenzip(path):
            members = sevenzip.read(path, wanted)
        elif zipfile.is_zipfile(path):
            members = _read_zip(path, wanted)
        else:
            members = _read_tar(path, wanted)
        with closing(members):
            for name, content in members:
                yield Member(name, content)


class _naming:  # noqa: N801 - used as a statement, `with _naming(path)`
    """Turn a library's error about an archive into ours, which names the file and the remedy."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        if not self._path.is_file():
            raise SourceError(f"{self._path}: no such archive. Run dvc repro download, or correct download.source.")

    def __exit__(self, _kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, DAMAGE):
            raise SourceError(
                f"{self._path}: the archive is damaged ({type(error).__name__}: {error}). Fetch or pack it again."
            ) from error
        if isinstance(error, UNREADABLE):
            raise SourceError(
                f"{self._path}: cannot be unpacked ({error}). Pack it again without encryption, by a common method."
            ) from error


def _checked(path: Path, entries: Iterable[_Entry]) -> list[str]:
    names: dict[str, None] = {}
    for entry in entries:
        fault = "is there twice" if entry.name in names else _fault(entry)
        if fault is not None:
            raise SourceError(f"{path}: member {entry.name!r} {fault}. Such an archive is not unpacked: pack it again.")
        names[entry.name] = None
    return list(names)


def _fault(entry: _Entry) -> str | None:
    parts = entry.name.replace("\\", "/").split("/")
    if not entry.regular:
        return "is a link or a device"
    if parts[0] == "" or parts[0].endswith(":") or "\0" in entry.name:
        return "has an absolute name"
    if ".." in parts:
        return "has a name that leaves the archive"
    if entry.size > MEMBER_BYTES_MAX:
        return f"has {entry.size} bytes, more than any photograph ({MEMBER_BYTES_MAX})"
    return None


def _zip_entries(path: Path) -> list[_Entry]:
    with zipfile.ZipFile(path) as archive:
        return [
            _Entry(info.filename, info.file_size, stat.S_IFMT(info.external_attr >> 16) in (0, stat.S_IFREG))
            for info in archive.infolist()
            if not info.is_dir()
        ]


def _tar_entries(path: Path) -> list[_Entry]:
    with tarfile.open(path) as archive:
        entries = [_Entry(info.name, info.size, info.isreg()) for info in archive if not info.isdir()]
        # tarfile takes a file that was cut between two members for a whole one; the end mark tells
        assert archive.fileobj is not None
        archive.fileobj.seek(archive.offset)
        if not archive.fileobj.read(tarfile.BLOCKSIZE):
            raise EOFError("it ends without an end mark")
        return entries


def _read_zip(path: Path, wanted: frozenset[str]) -> Generator[tuple[str, bytes]]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if info.filename in wanted:
                yield info.filename, archive.read(info)


def _read_tar(path: Path, wanted: frozenset[str]) -> Generator[tuple[str, bytes]]:
    with tarfile.open(path) as archive:
        for info in archive:
            if info.name in wanted:
                content = archive.extractfile(info)
                assert content is not None  # a regular file: list_members refuses all others
                data = content.read()
                if len(data) != info.size:
                    raise EOFError(f"{info.name} ends after {len(data)} of {info.size} bytes")
                yield info.name, data
