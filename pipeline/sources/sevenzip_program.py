"""The system's own 7z program as a stream of members: it writes no file, we cut its output by the archive's index."""

import shutil
import subprocess
import tempfile
import zlib
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import py7zr.exceptions

PROGRAMS = ("7zz", "7z", "7za")
"""Names under which 7-Zip and p7zip are installed."""

COMPLAINT_BYTES = 500
"""So much of what the program says is quoted."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A file of the index: `size` unpacked bytes of checksum `crc32` (None where the archive keeps none)."""

    name: str
    size: int
    crc32: int | None
    wanted: bool


def find() -> str | None:
    """The program's path, None where there is none."""
    return next((found for name in PROGRAMS if (found := shutil.which(name)) is not None), None)


def read(program: str, path: Path, listed: Iterable[Listed]) -> Generator[tuple[str, bytes]]:
    """Names and bytes of the wanted members, in the order of `listed`, which holds every file of the archive.

    Raises
    ------
    py7zr.exceptions.Bad7zFile
        The program ends early or reports a fault, or a member has not the checksum of the index.
    """
    command = [program, "x", "-so", "-bd", "-bsp0", "--", str(path)]
    # complaints go to a file: of a damaged archive they may be longer than a pipe that nobody reads can hold
    with (
        tempfile.TemporaryFile() as complaints,
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=complaints, pipesize=1 << 20
        ) as process,
    ):
        assert process.stdout is not None
        try:
            yield from _members(process.stdout, listed)
            if process.stdout.read(1):
                raise py7zr.exceptions.Bad7zFile("holds more bytes than its index names")
            if process.wait() != 0:
                raise py7zr.exceptions.Bad7zFile(f"{Path(program).name} ended with {process.returncode}")
        except py7zr.exceptions.Bad7zFile as error:
            process.kill()
            process.wait()
            raise py7zr.exceptions.Bad7zFile(f"{error}{_said(complaints)}") from error
        finally:
            process.kill()


def _said(complaints: IO[bytes]) -> str:
    complaints.seek(0)
    said = complaints.read(COMPLAINT_BYTES).decode(errors="replace").strip("\0 \n")
    return f"; it said: {said}" if said else ""


def _members(stream: IO[bytes], listed: Iterable[Listed]) -> Generator[tuple[str, bytes]]:
    for member in listed:
        content = stream.read(member.size)
        if member.wanted:
            check(member, content)
            yield member.name, content
        elif len(content) != member.size:
            raise py7zr.exceptions.Bad7zFile(f"ends before {member.name}")


def check(member: Listed, content: bytes) -> None:
    """Raise unless `content` has the size and the checksum of the index."""
    if len(content) != member.size:
        raise py7zr.exceptions.Bad7zFile(f"ends before {member.name}")
    if member.crc32 is not None and zlib.crc32(content) != member.crc32:
        raise py7zr.exceptions.CrcError(member.crc32, zlib.crc32(content), member.name)
