"""Containers: plain tar archives of encoded images, each read directly at the offset that its table records.

Member headers hold only name and size, so equal members in equal order give equal bytes on any machine.
"""

import hashlib
import io
import os
import socket
import tarfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from pipeline import atomic
from pipeline.errors import SourceError
from pipeline.manifest import Stored

WRITE_BUFFER_BYTES = 1 << 20


class ContainerWriter:
    """Appends members to an open container; see `writing_container`."""

    def __init__(self, archive: tarfile.TarFile, reference: str) -> None:
        self._archive = archive
        self._reference = reference
        self.members: list[Stored] = []

    def add(self, name: str, content: bytes) -> Stored:
        """Append `content` as member `name` (ASCII, under 100 characters); return its place."""
        member = tarfile.TarInfo(name)
        member.size = len(content)
        offset = self._archive.offset + tarfile.BLOCKSIZE
        self._archive.addfile(member, io.BytesIO(content))
        stored = Stored(container=self._reference, offset=offset, size=len(content), md5=_md5(content))
        self.members.append(stored)
        return stored


@contextmanager
def writing_container(path: Path, reference: str) -> Generator[ContainerWriter]:
    """Write a container to `path` (*.tar) atomically; every member is read back before the file gets its name.

    `reference` is its final name relative to the data folder, which every `Stored` records: the file may be written in
    a work folder and published later. `SourceError` if a member reads back differently.
    """
    members: list[Stored] = []

    def verify(written: Path) -> None:
        with written.open("rb") as file:
            for stored in members:
                _read_member(file, stored, path)

    with (
        atomic.writing(path, verify) as partial,
        partial.open("wb", WRITE_BUFFER_BYTES) as file,
        tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        writer = ContainerWriter(archive, reference)
        yield writer
        members += writer.members


def read_stored(data: Path, stored: Stored) -> bytes:
    """Read a member of a container below the folder `data`, or a user's photograph, which stays where it is.

    `SourceError` if it is absent or not the recorded one.
    """
    if is_in_place(stored):
        return _read_in_place(Path(os.path.normpath(data / stored.container)), stored)
    path = data / stored.container
    try:
        with path.open("rb") as file:
            return _read_member(file, stored, path)
    except FileNotFoundError as error:
        raise SourceError(f"{path}: container not found; make it again: dvc repro {path.parent.name}.") from error


def is_in_place(stored: Stored) -> bool:
    """Whether `container` is a file of the user's own: its name leads out of the data folder, or is absolute."""
    return stored.container.startswith(("../", "/"))


def _read_in_place(path: Path, stored: Stored) -> bytes:
    remedy = "Run dvc repro, which reads the folder again; or put the file back as it was."
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        host = socket.gethostname()
        raise SourceError(
            f"{path}: this photograph is gone since the stage extract noted it, or {host} does not see it. {remedy}"
        ) from error
    except OSError as error:
        raise SourceError(f"{path}: this photograph cannot be read any more ({error.strerror}). {remedy}") from error
    if len(content) != stored.size or _md5(content) != stored.md5:
        raise SourceError(f"{path}: this photograph has changed since the stage extract noted it. {remedy}")
    return content


def _read_member(file: BinaryIO, stored: Stored, path: Path) -> bytes:
    file.seek(stored.offset)
    content = file.read(stored.size)
    if len(content) != stored.size:
        raise SourceError(
            f"{path}: ends at byte {stored.offset + len(content)}, but a member reaches to "
            f"{stored.offset + stored.size}. The file is incomplete: run dvc repro -f -s {path.parent.name}."
        )
    digest = _md5(content)
    if digest != stored.md5:
        raise SourceError(
            f"{path}: the {stored.size} bytes at {stored.offset} have MD5 {digest}, but its table says {stored.md5}. "
            f"The file is damaged: check the disk, and run dvc repro -f -s {path.parent.name}."
        )
    return content


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
