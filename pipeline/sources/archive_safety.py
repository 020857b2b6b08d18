"""What an archive may hold: checked in its index, before a byte of it is unpacked.

One hostile member refuses the whole archive. Links, and names that are only odd or that collide, do not: no member is
written under its own name, and no link is read.
"""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from pipeline.errors import DropReason, SourceError

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
    link: bool = False
    line_feed: bool = False
    """Whether the name has a line feed, which `name` does not show."""


class Limits(BaseModel):
    """The largest member and the largest sum of all, in unpacked bytes; `ratio`: that sum by the archive's size."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    member_bytes: Annotated[int, Field(gt=0)]
    total_bytes: Annotated[int, Field(gt=0)]
    ratio: Annotated[float, Field(gt=0)]


OWN_LIMITS = Limits(member_bytes=1 << 30, total_bytes=1 << 37, ratio=100.0)
"""Of archives that no manifest lists: the user's own."""


def check_archive(
    path: Path,
    packed_bytes: int,
    entries: Iterable[Entry],
    limits: Limits | None,
    lost: dict[str, tuple[DropReason, str]],
) -> list[str]:
    """The members' names in the archive's order, without links and odd names, which are added to `lost` with why.

    Raises `SourceError` at the first name that leaves the archive or is there twice; at a device or an encrypted
    member; at more unpacked bytes than `limits` allow.
    """
    names: list[str] = []
    taken: set[str] = set()
    total = 0
    for entry in entries:
        fault = _fault(entry) or ("is there twice" if entry.name in taken else None)
        if fault is not None:
            raise refused(path, entry.name, fault)
        taken.add(entry.name)
        total += entry.size
        if limits is not None:
            if entry.size > limits.member_bytes:
                raise too_large(path, f"member {entry.name!r} ", limits.member_bytes, "member_bytes")
            if total > limits.total_bytes:
                raise too_large(path, "", limits.total_bytes, "total_bytes")
            if total > limits.ratio * packed_bytes:
                raise too_large(path, "", int(limits.ratio * packed_bytes), "ratio")
        if (oddity := _oddity(entry)) is not None:
            lost[entry.name] = (DropReason.ODD_NAME, oddity)
        elif entry.link:
            lost[entry.name] = (DropReason.ARCHIVED_LINK, "links in an archive are not followed")
        else:
            names.append(entry.name)
    return names


def refused(path: Path, member: str, fault: str) -> SourceError:
    """The error about an archive with a member that must not be there."""
    return SourceError(f"{path}: member {member!r} {fault}. Such an archive is not unpacked: pack it again.")


def _fault(entry: Entry) -> str | None:
    name = entry.name
    parts = name.replace("\\", "/").split("/")
    faults = (
        (not (entry.regular or entry.link), "is a device, a sparse file or a folder with content"),
        (entry.encrypted, "is encrypted"),
        (parts[0] == "" or parts[0].endswith(":"), "has an absolute name"),
        (".." in parts, "has a name that leaves the archive"),
        (entry.size < 0, f"claims {entry.size} bytes"),
    )
    return next((fault for is_there, fault in faults if is_there), None)


def _oddity(entry: Entry) -> str | None:
    name = entry.name
    if entry.line_feed or not (name.isprintable() or all(unicodedata.category(letter) != "Cc" for letter in name)):
        return "a control character in its name"
    if max(map(_bytes, name.split("/"))) > NAME_BYTES_MAX:
        return f"a name longer than the {NAME_BYTES_MAX} bytes of a file's"
    if _bytes(name) > PATH_BYTES_MAX:
        return f"a name longer than {PATH_BYTES_MAX} bytes"
    if not any(part not in ("", ".") for part in name.split("/")):
        return "no name"
    return None


def _bytes(name: str) -> int:
    return len(name) if name.isascii() else len(name.encode(errors="replace"))


def too_large(path: Path, member: str, allowed_bytes: int, limit: str) -> SourceError:
    """The error about an archive or a member that is larger than `Limits` allow."""
    return SourceError(
        f"{path}: {member}unpacks to more than the {allowed_bytes} bytes that limits.{limit} allows. If it is no bomb, "
        f"unpack it and give what it holds; or, for a published file, raise that limit in its manifest."
    )
