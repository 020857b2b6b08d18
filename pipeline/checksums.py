"""`SHA256SUMS`: the digests of all files of a published folder, in the form of coreutils (`sha256sum -c SHA256SUMS`).

It stands for what no checksum inside a file covers: the structures of HDF5, the footers of parquet, pictures, records.
"""

import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from pathlib import Path

from pipeline import atomic
from pipeline.cores import cores
from pipeline.errors import ChecksumError
from pipeline.provenance import digest_of_file

FILE = "SHA256SUMS"
UNCOVERED = (
    "timing.csv", "interpolation.mp4", "progress.mp4", "neighbours.png", "neighbours.csv", "network-*.md",
)  # fmt: skip
"""Files without a digest: times, which differ between equal runs, and what commands add to a published run or write
anew there (`.dvcignore` has the same names)."""
THREADS = 8
LINE = re.compile(r"(\\?)([0-9a-f]{64}) [ *](.+)")
ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r"}


def write(folder: Path) -> None:
    """Write the digests of all files below `folder`, in the order of their names."""
    names = files_of(folder)
    with ThreadPoolExecutor(min(THREADS, cores())) as pool:
        digests = dict(zip(names, pool.map(lambda name: digest_of_file(folder / name), names), strict=True))
    atomic.write_bytes(folder / FILE, "".join(map(_line, digests.items())).encode())


def files_of(folder: Path) -> list[str]:
    """The files below `folder` that have, or would have, a digest, by their names relative to it."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(path.as_posix() for path in found if not _is_uncovered(path))


def read(folder: Path) -> Mapping[str, str] | None:
    """The digests by name relative to `folder`; None if there is no such file.

    `ChecksumError` if it has another form, or is empty.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    found: dict[str, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="surrogateescape").splitlines(), 1):
        match = LINE.fullmatch(line)
        if match is None:
            raise ChecksumError(f"{path}: line {number} is no digest with a name; the file was changed or damaged.")
        escaped, digest, name = match.groups()
        for plain, written in reversed(ESCAPES.items()) if escaped else ():
            name = name.replace(written, plain)
        found[name] = digest
    if not found:
        raise ChecksumError(f"{path}: lists no file; it was cut short.")
    return found


def _line(entry: tuple[str, str]) -> str:
    name, digest = entry
    written = name
    for plain, escape in ESCAPES.items():
        written = written.replace(plain, escape)
    return f"{'' if written == name else chr(92)}{digest}  {written}\n"


def _is_uncovered(path: Path) -> bool:
    partial = any(part.endswith(atomic.PARTIAL_SUFFIX) for part in path.parts)
    return partial or any(fnmatchcase(path.name, pattern) for pattern in (FILE, *UNCOVERED))
