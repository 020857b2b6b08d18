"""One reader over tar, zip and 7z: regular files only, in the archive's own order, one held at a time.

An archive is untrusted: `archive_safety` checks its index, and no member yields more bytes than its index states.
"""

import bz2
import errno
import gzip
import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Collection, Generator, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import IO, Any, cast

from pipeline.errors import DropReason, SourceError
from pipeline.sources import sevenzip
from pipeline.sources.archive_safety import Entry, Limits, check_archive

TAR_HEADER_BYTES_MAX = 1 << 20
"""The largest name or attribute of a tar's member, which tarfile reads into memory."""

ZIP_UTF8 = 1 << 11
"""The flag of a zip's member whose name is UTF-8; without it Python reads code page 437."""

ZIP_WINDOWS = 0
"""The system of a zip's member whose names may have \\ for /."""

DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    ValueError,
    OverflowError,
    sevenzip.DamagedError,
)
"""What the libraries raise on damaged bytes; and some an OSError, see `is_damage`."""


def list_members(
    path: Path, limits: Limits | None = None, lost: dict[str, tuple[DropReason, str]] | None = None
) -> list[str]:
    """Names of all regular files in the archive `path` (for a multi-part 7z: its first part), in its order.

    `limits` is None only for an archive that this project made itself. Links, and members with an odd name, are left
    out, and added to `lost` with why. Raises `SourceError` if there is no such archive, its format is unknown, its
    index is damaged, or a member must not be there.
    """
    with _naming(path):
        packed_bytes = sum(part.stat().st_size for part in sevenzip.files_of(path))
        index = sevenzip.entries if sevenzip.is_sevenzip(path) else _zip_entries if _is_zip(path) else _tar_entries
        with closing(index(path)) as entries:
            return check_archive(path, packed_bytes, entries, limits, {} if lost is None else lost)


def read_members(path: Path, names: Collection[str]) -> Generator[tuple[str, bytes]]:
    """Names and bytes of the members of those names, in the order of `list_members`.

    Raises `SourceError` if the archive is damaged, encrypted or packed by an unknown method.
    """
    with _naming(path):
        read = sevenzip.read if sevenzip.is_sevenzip(path) else _read_zip if _is_zip(path) else _read_tar
        with closing(read(path, frozenset(names))) as members:
            yield from members


def is_damage(error: Exception) -> bool:
    """Whether a library's error is about damaged bytes, not about the disk or the file's permissions."""
    # gzip and bz2 report damage without a number; EINVAL is a seek to where no file can reach
    return isinstance(error, DAMAGE) or (isinstance(error, OSError) and error.errno in (None, errno.EINVAL))


@contextmanager
def _naming(path: Path) -> Generator[None]:
    """Turn a library's error about an archive into ours, which names the file and the remedy."""
    if not path.is_file():
        raise SourceError(f"{path}: no such archive. Run dvc repro download, or correct download.source.")
    try:
        yield
    except RuntimeError as error:  # encryption; a subclass: methods that zipfile does not know
        raise SourceError(
            f"{path}: cannot be unpacked ({error}). Pack it again without encryption, by a common method."
        ) from error
    except MemoryError as error:
        raise SourceError(
            f"{path}: takes more memory to unpack than there is. Pack it again with a smaller dictionary; or fetch it "
            f"again, if it is damaged."
        ) from error
    except (*DAMAGE, OSError) as error:
        fault, remedy = (
            (f"the archive is damaged ({type(error).__name__}: {error})", "Fetch or pack it again.")
            if is_damage(error)
            else (f"cannot be read ({error})", "Check its permissions and its disk, and run again.")
        )
        raise SourceError(f"{path}: {fault}. {remedy}") from error


def _is_zip(path: Path) -> bool:
    """By the first bytes: `zipfile.is_zipfile` also accepts a tar whose last member is a zip."""
    with path.open("rb") as file:
        return file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")


def _zip_entries(path: Path) -> Generator[Entry]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            name = _zip_name(info)
            is_folder = name.endswith("/")
            if not is_folder or info.file_size:
                kind = stat.S_IFMT(info.external_attr >> 16)
                regular = kind in (0, stat.S_IFREG) and not is_folder
                yield Entry(name, info.file_size, regular, bool(info.flag_bits & 1), link=kind == stat.S_IFLNK)


def _read_zip(path: Path, names: frozenset[str]) -> Generator[tuple[str, bytes]]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if (name := _zip_name(info)) in names:
                yield name, archive.read(info)


def _zip_name(info: zipfile.ZipInfo) -> str:
    """The member's name, with /.

    Some programs, such as macOS's Archive Utility, do not set the mark of UTF-8; some of Windows separate by \\.
    """
    name = info.filename
    if not (name.isascii() or info.flag_bits & ZIP_UTF8):
        with suppress(UnicodeError):
            name = name.encode("cp437").decode()
    return name.replace("\\", "/") if info.create_system == ZIP_WINDOWS else name


def _tar_entries(path: Path) -> Generator[Entry]:
    with _tar(path) as (archive, stream):
        for info in _headers(archive):
            if not info.isdir():
                regular = info.isreg() and not info.issparse()
                yield Entry(info.name, info.size, regular, link=info.issym() or info.islnk())
        # tarfile takes a garbled header, or a file that was cut between two members, for the end of the archive
        stream.seek(archive.offset)
        if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise EOFError(f"no member and no end mark at byte {archive.offset}")


def _read_tar(path: Path, names: frozenset[str]) -> Generator[tuple[str, bytes]]:
    with _tar(path) as (archive, stream):
        for info in _headers(archive):
            if info.name in names and not info.isdir():
                stream.seek(info.offset_data)
                content = stream.read(info.size)
                if len(content) != info.size:
                    raise EOFError(f"{info.name} ends after {len(content)} of {info.size} bytes")
                yield info.name, content


def _headers(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    while (info := archive.next()) is not None:
        cast(Any, archive).members.clear()  # else tarfile keeps every header it has read
        yield info


@contextmanager
def _tar(path: Path) -> Generator[tuple[tarfile.TarFile, IO[bytes]]]:
    """An open tar, and the stream of its unpacked bytes."""
    with path.open("rb") as file:
        head = file.read(6)
    openers = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
    opener = next((opener for magic, opener in openers.items() if head.startswith(magic)), Path.open)
    with opener(path, "rb") as stream:
        try:
            archive = tarfile.TarFile(fileobj=cast(Any, _Headers(stream)))
        except (*DAMAGE, OSError) as error:
            if not is_damage(error):
                raise
            raise SourceError(
                f"{path}: neither a tar, a zip nor a 7z. Give one of these, or a folder of images."
            ) from error
        with archive:
            yield archive, cast(IO[bytes], stream)


class _Headers:
    """What tarfile reads headers through: one that claims to be huge is refused."""

    mode = "rb"

    def __init__(self, stream: Any) -> None:
        self.seek = stream.seek
        self.tell = stream.tell
        self._stream = stream

    def read(self, size: int) -> bytes:
        if size > TAR_HEADER_BYTES_MAX:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return self._stream.read(size)
