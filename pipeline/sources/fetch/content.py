"""What the bytes of a file show without a published hash: the format's signature, and the archive's own checksums."""

import gzip
import zipfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from pipeline.errors import SourceError
from pipeline.sources import archive
from pipeline.sources.published import BLOCK_BYTES, PublishedFile, Source

HEAD_BYTES = 512
"""How much of an answer is inspected before anything is written."""

_SIGNATURES = {
    ".zip": (b"PK\x03\x04", b"PK\x05\x06"),
    ".7z.001": (b"7z\xbc\xaf\x27\x1c",),
    ".7z": (b"7z\xbc\xaf\x27\x1c",),
    ".gz": (b"\x1f\x8b",),
}


def wrong_signature(name: str, head: bytes) -> str | None:
    """What is wrong with the first bytes of the file `name`; None if nothing is."""
    for suffix, signatures in _SIGNATURES.items():
        if name.endswith(suffix):
            return None if head.startswith(signatures) else f"starts with {head[:8]!r}, as no {suffix} file does"
    if name.endswith(".txt") and b"\0" in head:
        return "is not a text file: it starts with zero bytes"
    return None


def has_checksums(name: str) -> bool:
    """Whether the format of the file `name` has checksums of its own."""
    return name.endswith((".zip", ".gz"))


def problem(
    path: Path, file: PublishedFile, manifest: Source, hashes: Mapping[str, str], *, checksums: bool = True
) -> str | None:
    """Why `path`, which has these hashes, is not the published `file`; None if it is, as far as is known.

    If no hash is published, the members of an archive are compared, which refuses a hostile one before it is
    decompressed, and then its own `checksums`.
    """
    found = file.fault(path.stat().st_size, hashes)
    if found is None and not file.hashes:
        found = wrong_members(path, file.name, manifest)
        if found is None and checksums:
            found = wrong_checksum(path, file.name)
    return found


def wrong_members(path: Path, name: str, manifest: Source) -> str | None:
    """How the members of an archive differ from those in the manifest; None if they agree or the manifest lists none.

    Folders in member names are ignored, and so are additional members.
    """
    if manifest.members is None:
        return None
    try:
        listed = archive.list_members(path, manifest.limits)
    except SourceError as error:
        return str(error)
    count = Counter(member.split("/")[-1] for member in listed)
    expected = manifest.members.names(name)
    missing = [member for member in expected if not count[member]]
    if missing:
        return f"{len(missing)} of its {len(expected)} members are missing (the first is {missing[0]})"
    duplicate = next((member for member in expected if count[member] > 1), None)
    return None if duplicate is None else f"it has {duplicate} more than once"


def wrong_checksum(path: Path, name: str) -> str | None:
    """What the archive's own checksums show; None if all agree. The file is read block by block."""
    try:
        if name.endswith(".zip"):
            with zipfile.ZipFile(path) as file:
                bad = file.testzip()
            return None if bad is None else f"the CRC of its member {bad} is wrong"
        if name.endswith(".gz"):
            with gzip.open(path) as stream:
                while stream.read(BLOCK_BYTES):
                    pass
    except (*archive.DAMAGE, RuntimeError, OSError) as error:
        if isinstance(error, OSError) and not archive.is_damage(error):
            raise
        return f"the archive is damaged ({type(error).__name__}: {error})"
    return None
