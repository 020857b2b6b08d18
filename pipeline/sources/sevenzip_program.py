"""The system's own 7z program as a stream of members: it writes no file, we cut its output by the archive's index."""

import shutil
import subprocess
import zlib
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import py7zr.exceptions

PROGRAMS = ("7zz", "7z", "7za")
"""Names under which 7-Zip and p7zip are installed."""


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


def read(program: str, path: Path, listed: Sequence[Listed]) -> Generator[tuple[str, bytes]]:
    """Names and bytes of the wanted members, in the order of `listed`, which holds every file of the archive.

    Raises
    ------
    py7zr.exceptions.Bad7zFile
        The program ends early or reports a fault, or a member has not the checksum of the index.
    """
    command = [program, "x", "-so", "-bd", "-bsp0", "--", str(path)]
    with (
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, pipesize=1 << 20
        ) as process,
    ):
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            yield from _members(process.stdout, listed)
            rest = process.stdout.read(1)
            complaint = process.stderr.read().decode(errors="replace").strip()
            if rest or process.wait() != 0:
                raise py7zr.exceptions.Bad7zFile(complaint[-500:] or "holds more bytes than its index names")
        finally:
            process.kill()


def _members(stream: IO[bytes], listed: Sequence[Listed]) -> Generator[tuple[str, bytes]]:
    for member in listed:
        content = stream.read(member.size)
        if len(content) != member.size:
            raise py7zr.exceptions.Bad7zFile(f"ends before {member.name}")
        if member.wanted:
            check(member, content)
            yield member.name, content


def check(member: Listed, content: bytes) -> None:
    """Raise `CrcError` unless `content` has the checksum of the index."""
    if member.crc32 is not None and zlib.crc32(content) != member.crc32:
        raise py7zr.exceptions.CrcError(member.crc32, zlib.crc32(content), member.name)
