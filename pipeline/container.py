"""Containers: plain tar archives of encoded images, each read directly at the offset that its table records.

Member headers hold only name and size, so equal members in equal order give equal bytes on any machine.
"""

import hashlib
import tarfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from pipeline import atomic
from pipeline.errors import SourceError
from pipeline.manifest import Stored

WRITE_BUFFER_BYTES = 1 << 20

_BLANK = tarfile.TarInfo("").tobuf(tarfile.USTAR_FORMAT)
_BLANK_SUM = sum(_BLANK[:124]) + sum(_BLANK[135:148]) + 8 * ord(" ") + sum(_BLANK[156:])


class ContainerWriter:
    """Appends members to an open container; see `writing_container`."""

    def __init__(self, archive: tarfile.TarFile, reference: str) -> None:
        self._archive = archive
        self._reference = reference

    def add(self, name: str, content: bytes) -> Stored:
        """Append `content` as member `name` (ASCII, under 100 characters); return its place."""
        header = header_of(name, len(content))
        offset = self._archive.offset + len(header)
        padding = bytes(-len(content) % tarfile.BLOCKSIZE)
        # tarfile's addfile would copy in small steps
        assert self._archive.fileobj is not None
        self._archive.fileobj.write(b"".join((header, content, padding)))
        self._archive.offset += len(header) + len(content) + len(padding)
        digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
        return Stored(container=self._reference, offset=offset, size=len(content), md5=digest)


@contextmanager
def writing_container(path: Path, reference: str) -> Generator[ContainerWriter]:
    """Write a container to `path` (*.tar) atomically.

    `reference` is its final name relative to the data folder, which every `Stored` records: the file may be written in
    a work folder and published later.
    """
    with (
        atomic.writing(path) as partial,
        partial.open("wb", WRITE_BUFFER_BYTES) as file,
        tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        yield ContainerWriter(archive, reference)


def header_of(name: str, size: int) -> bytes:
    """The header block that `tarfile` writes for a member with only name and size, in 1 us instead of 30.

    Fields (POSIX.1-1988, ustar): name at 0, size as 11 octal digits at 124, checksum at 148: the sum of all bytes, its
    own eight counted as spaces.
    """
    encoded, digits = name.encode("ascii"), b"%011o" % size
    if len(encoded) >= 100 or len(digits) != 11:
        raise ValueError(f"{name!r} of {size} bytes: a plain tar holds names under 100 letters and files under 8 GiB")
    total = _BLANK_SUM + sum(encoded) + sum(digits)
    return b"".join(
        (encoded.ljust(100, b"\0"), _BLANK[100:124], digits, _BLANK[135:148], b"%06o\0 " % total, _BLANK[156:])
    )


def read_stored(data: Path, stored: Stored) -> bytes:
    """Read a member of a container below the folder `data`; `SourceError` if it is absent or incomplete."""
    path = data / stored.container
    try:
        with path.open("rb") as file:
            file.seek(stored.offset)
            content = file.read(stored.size)
    except FileNotFoundError as error:
        raise SourceError(f"{path}: container not found; make it again: dvc repro {path.parent.name}.") from error
    if len(content) != stored.size:
        raise SourceError(
            f"{path}: ends at byte {stored.offset + len(content)}, but a member reaches to "
            f"{stored.offset + stored.size}. The file is incomplete: run dvc repro {path.parent.name}."
        )
    return content
