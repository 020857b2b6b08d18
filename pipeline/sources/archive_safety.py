"""What an archive may hold: checked in its index, before a byte of it is unpacked.

One hostile member refuses the whole archive.
"""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from pipeline.errors import SourceError

NAME_BYTES_MAX, PATH_BYTES_MAX = 255, 1024
"""What common file systems allow as the name of a file, and more than any data set needs as a path."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What an archive's index states about a member; `size` in bytes, unpacked.

    `crc32` is None where the archive has none, or where its library checks it.
    """

    name: str
    size: int
    regular: bool
    encrypted: bool = False
    crc32: int | None = None


class Limits(BaseModel):
    """The largest member and the largest sum of all, in unpacked bytes; `ratio`: that sum by the archive's size."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    member_bytes: Annotated[int, Field(gt=0)]
    total_bytes: Annotated[int, Field(gt=0)]
    ratio: Annotated[float, Field(gt=0)]


OWN_LIMITS = Limits(member_bytes=1 << 30, total_bytes=1 << 37, ratio=100.0)
"""Of archives that no manifest lists: the user's own."""


def check_archive(path: Path, packed_bytes: int, entries: Iterable[Entry], limits: Limits | None) -> list[str]:
    """The members' names in the archive's order.

    Raises `SourceError` at the first name that leaves the archive, that no file can have, or that collides with
    another; at a link, a device or an encrypted member; at more unpacked bytes than `limits` allow.
    """
    names: list[str] = []
    taken: dict[str, str] = {}
    folders: dict[str, str] = {}
    total = 0
    for entry in entries:
        fault = _fault(entry) or _collision(entry.name, taken, folders)
        if fault is not None:
            raise refused(path, entry.name, fault)
        total += entry.size
        if limits is not None:
            if entry.size > limits.member_bytes:
                raise too_large(path, f"member {entry.name!r} ", limits.member_bytes, "member_bytes")
            if total > limits.total_bytes:
                raise too_large(path, "", limits.total_bytes, "total_bytes")
            if total > limits.ratio * packed_bytes:
                raise too_large(path, "", int(limits.ratio * packed_bytes), "ratio")
        names.append(entry.name)
    return names


def refused(path: Path, member: str, fault: str) -> SourceError:
    """The error about an archive with a member that must not be there."""
    return SourceError(f"{path}: member {member!r} {fault}. Such an archive is not unpacked: pack it again.")


def _fault(entry: Entry) -> str | None:
    name = entry.name
    parts = name.replace("\\", "/").split("/")
    faults = (
        (not entry.regular, "is a link, a device or a folder with content"),
        (entry.encrypted, "is encrypted"),
        (parts[0] == "" or parts[0].endswith(":"), "has an absolute name"),
        (".." in parts, "has a name that leaves the archive"),
        ("\\" in name or _is_odd(name), "has a backslash, a control character or broken Unicode in its name"),
        (max(map(_bytes, parts)) > NAME_BYTES_MAX, f"has a name longer than the {NAME_BYTES_MAX} bytes of a file's"),
        (_bytes(name) > PATH_BYTES_MAX, f"has a name longer than {PATH_BYTES_MAX} bytes"),
        (entry.size < 0, f"claims {entry.size} bytes"),
    )
    return next((fault for is_there, fault in faults if is_there), None)


def _is_odd(name: str) -> bool:
    if name.isascii():
        return not name.isprintable()
    return any(unicodedata.category(letter) in ("Cc", "Cs") for letter in name)


def _bytes(name: str) -> int:
    return len(name) if name.isascii() else len(name.encode(errors="replace"))


def _collision(name: str, taken: dict[str, str], folders: dict[str, str]) -> str | None:
    """Add the member, or name the one that has its path, also on file systems that ignore case and forms of accents."""
    folded = unicodedata.normalize("NFC", name).casefold()
    key = "/".join(part for part in folded.split("/") if part not in ("", "."))
    if not key:
        return "has no name"
    if key in taken:
        other = taken[key]
        if other == name:
            return "is there twice"
        return f"has the place of {other!r}: some systems do not distinguish these names"
    if key in folders:
        return f"is a file, but {folders[key]!r} needs a folder of that name"
    taken[name if key == name else key] = name
    above = key
    while above := above.rpartition("/")[0]:
        if above in taken:
            return f"lies in a folder that is also a file, {taken[above]!r}"
        if folders.setdefault(above, name) != name:
            break
    return None


def too_large(path: Path, member: str, allowed_bytes: int, limit: str) -> SourceError:
    """The error about an archive or a member that is larger than `Limits` allow."""
    return SourceError(
        f"{path}: {member}unpacks to more than the {allowed_bytes} bytes that limits.{limit} allows. If it is no bomb, "
        f"unpack it and give what it holds; or, for a published file, raise that limit in its manifest."
    )
