"""What a file's own bytes tell: the format's mark at its start, and the sums that archives carry in themselves."""

import errno
import gzip
import lzma
import struct
import zipfile
import zlib
from collections import Counter
from pathlib import Path

from pipeline.errors import SourceError
from pipeline.sources import archive
from pipeline.sources.published import Source

HEAD_BYTES = 512
"""So much is looked at before a byte is kept."""

_MAGIC = {
    ".zip": (b"PK\x03\x04", b"PK\x05\x06"),
    ".7z.001": (b"7z\xbc\xaf\x27\x1c",),
    ".7z": (b"7z\xbc\xaf\x27\x1c",),
    ".gz": (b"\x1f\x8b",),
}
_BLOCK_BYTES = 1 << 20
_DAMAGE = (
    zipfile.BadZipFile,
    gzip.BadGzipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    RuntimeError,
    ValueError,
    OverflowError,
    struct.error,
)
"""What `zipfile` and `gzip` raise on damaged bytes; RuntimeError stands for encryption and unknown methods."""


def wrong_start(name: str, head: bytes) -> str | None:
    """What is wrong with the first bytes of a file of that name, in words; None where nothing is to be seen."""
    for ending, marks in _MAGIC.items():
        if name.endswith(ending):
            return None if head.startswith(marks) else f"starts with {head[:8]!r}, as no {ending} file does"
    if name.endswith(".txt") and b"\0" in head:
        return "is no text: it has zero bytes at its start"
    return None


def tells_damage(name: str) -> bool:
    """Whether a file of that name carries sums by which `damage` knows it to be whole."""
    return name.endswith((".zip", ".gz"))


def fault_inside(path: Path, name: str, source: Source) -> str | None:
    """What is wrong inside an archive of no known hash, in words: its index is judged before it is unpacked."""
    return misfit(path, name, source) or damage(path, name)


def misfit(path: Path, name: str, source: Source) -> str | None:
    """What of an archive's index is not as the manifest of `source` states, in words; None where nothing is stated.

    Members are known by the last part of their names: some packers put a folder before them. Others than the stated
    ones do no harm.
    """
    if source.members is None:
        return None
    try:
        listed = archive.list_members(path, source.limits)
    except SourceError as error:
        return str(error)
    count = Counter(member.split("/")[-1] for member in listed)
    wanted = source.members.names(name)
    missing = [member for member in wanted if not count[member]]
    if missing:
        return f"it lacks {len(missing)} of its {len(wanted)} members ({missing[0]} and so on): it is another archive"
    twice = next((member for member in wanted if count[member] > 1), None)
    return None if twice is None else f"it has {twice} more than once"


def damage(path: Path, name: str) -> str | None:
    """What the archive's own sums say, in words; None where every one of them agrees. Read block by block.

    Parameters
    ----------
    path
        The file, under whatever name it lies.
    name
        The published name, which tells the format.
    """
    try:
        if name.endswith(".zip"):
            with zipfile.ZipFile(path) as archive:
                bad = archive.testzip()
            return None if bad is None else f"its member {bad} does not agree with its CRC"
        if name.endswith(".gz"):
            with gzip.open(path) as stream:
                while stream.read(_BLOCK_BYTES):
                    pass
    except _DAMAGE as error:
        return f"it is no whole archive ({type(error).__name__}: {error})"
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return f"it is no whole archive: it points outside itself ({error})"
    return None
