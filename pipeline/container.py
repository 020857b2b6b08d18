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


class ContainerWriter:
    """Appends members to one open container; see `writing_container`."""

    def __init__(self, archive: tarfile.TarFile, reference: str) -> None:
        self._archive = archive
        self._reference = reference

    def add(self, name: str, content: bytes) -> Stored:
        """Append `content` as member `name` (ASCII, under 100 characters); return where it lies."""
        info = tarfile.TarInfo(name)
        info.size = len(content)
        header = info.tobuf(tarfile.USTAR_FORMAT)
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
    with atomic.writing(path) as partial, tarfile.open(partial, "w", format=tarfile.USTAR_FORMAT) as archive:
        yield ContainerWriter(archive, reference)


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
