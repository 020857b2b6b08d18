"""Many encoded images in few files: plain tar archives, read at an offset.

A tar keeps every byte as it was and opens with any tool; the offset in the table makes one
`pread` enough for one image (DESIGN, rule 1). Headers hold nothing but name and size, so the same
members in the same order give the same bytes on any machine.
"""

import hashlib
import tarfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from pipeline import atomic
from pipeline.errors import SourceError
from pipeline.manifest import Stored

WRITE_BYTES = 1 << 20
"""Small members reach the disk's cache in writes of so many bytes."""

_BLANK = tarfile.TarInfo("").tobuf(tarfile.USTAR_FORMAT)
_BLANK_SUM = sum(_BLANK[:124]) + sum(_BLANK[135:148]) + 8 * ord(" ") + sum(_BLANK[156:])


class ContainerWriter:
    """Appends members to one open container; see `writing_container`."""

    def __init__(self, archive: tarfile.TarFile, reference: str) -> None:
        self._archive = archive
        self._reference = reference

    def add(self, name: str, content: bytes) -> Stored:
        """Append `content` as member `name` (ASCII, under 100 characters); return where it lies."""
        header = header_of(name, len(content))
        offset = self._archive.offset + len(header)
        padding = bytes(-len(content) % tarfile.BLOCKSIZE)
        # tarfile's own addfile copies in small steps
        assert self._archive.fileobj is not None
        self._archive.fileobj.write(b"".join((header, content, padding)))
        self._archive.offset += len(header) + len(content) + len(padding)
        digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
        return Stored(container=self._reference, offset=offset, size=len(content), md5=digest)


@contextmanager
def writing_container(path: Path, reference: str) -> Generator[ContainerWriter]:
    """Write a container to `path`, whole or not at all.

    Parameters
    ----------
    path
        The file to write, `*.tar`.
    reference
        Its final name relative to the data folder, recorded in every `Stored` (the file may be
        written in a work folder and published later).
    """
    with (
        atomic.writing(path) as partial,
        partial.open("wb", WRITE_BYTES) as file,
        tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        yield ContainerWriter(archive, reference)


def header_of(name: str, size: int) -> bytes:
    """The block that `tarfile` writes for a `TarInfo` of nothing but name and size, made ten times as fast.

    Fields by place (POSIX.1-1988, ustar): name 0...100, size as 11 octal digits at 124, checksum at 148: the sum of
    all bytes, where its own eight count as spaces.
    """
    encoded, digits = name.encode("ascii"), b"%011o" % size
    if len(encoded) >= 100 or len(digits) != 11:
        raise ValueError(f"{name!r} of {size} bytes: a plain tar holds names under 100 letters and files under 8 GiB")
    total = _BLANK_SUM + sum(encoded) + sum(digits)
    return b"".join(
        (encoded.ljust(100, b"\0"), _BLANK[100:124], digits, _BLANK[135:148], b"%06o\0 " % total, _BLANK[156:])
    )


def read_stored(data: Path, stored: Stored) -> bytes:
    """The bytes that `stored` names, from below the folder `data`.

    Raises
    ------
    SourceError
        The container is absent, or ends before the member does.
    """
    path = data / stored.container
    try:
        with path.open("rb") as file:
            file.seek(stored.offset)
            content = file.read(stored.size)
    except FileNotFoundError as error:
        raise SourceError(f"{path}: container not found; run dvc repro {path.parent.name} to make it again.") from error
    if len(content) != stored.size:
        raise SourceError(
            f"{path}: ends at byte {stored.offset + len(content)}, but a member reaches to "
            f"{stored.offset + stored.size}. The file is incomplete: run dvc repro {path.parent.name}."
        )
    return content
