"""Which index and which file name a photograph gets, whatever order its archive has."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import SourceError
from pipeline.sources.source import Numbering

NAMED = 10
"""Members that a message names."""

_CELEBA_NAME = re.compile(r"(\d{6})\.jpg")


@dataclass(frozen=True, slots=True)
class Numbered:
    """One member: its name in the archive, the photograph's index (from 0), and where the name for tables starts."""

    member: str
    index: int
    start: int

    @property
    def file(self) -> str:
        """The name that tables show."""
        return self.member[self.start :]


def number(members: Sequence[str], numbering: Numbering) -> list[Numbered]:
    """Number the members of an archive; the result keeps their order.

    Parameters
    ----------
    members
        Names in the archive's order.
    numbering
        `sorted`: the place in sorted order; the file is named below the folder that all share.
        `celeba`: NNNNNN.jpg gets NNNNNN - 1, wherever in the archive it lies; whatever is named otherwise
        comes after, in sorted order.

    Raises
    ------
    SourceError
        Two members have the same CelebA number.
    """
    common = len(_common_folder(members))
    numbers = _celeba_numbers(members) if numbering == "celeba" else {}
    after = max(numbers.values(), default=-1) + 1
    places = {name: after + place for place, name in enumerate(sorted(name for name in members if name not in numbers))}
    return [
        Numbered(name, numbers[name], name.rfind("/") + 1) if name in numbers else Numbered(name, places[name], common)
        for name in members
    ]


def check_complete(archive: Path, numbered: Sequence[Numbered], photographs: int) -> None:
    """Raise `SourceError` unless the members are 000001.jpg to the last of `photographs`; names what is amiss."""
    wanted = {f"{place + 1:06d}.jpg" for place in range(photographs)}
    found = {entry.file for entry in numbered}
    if wanted == found:
        return
    faults = [
        f"{len(names)} {what} ({', '.join(sorted(names)[:NAMED])}{', ...' if len(names) > NAMED else ''})"
        for what, names in (("missing", wanted - found), ("not published", found - wanted))
        if names
    ]
    raise SourceError(
        f"{archive}: {len(numbered)} members, published are {photographs}: {'; '.join(faults)}. Fetch it again, or "
        f"give an archive of your own making another name."
    )


def _celeba_numbers(members: Sequence[str]) -> dict[str, int]:
    found: dict[int, str] = {}
    for name in members:
        match = _CELEBA_NAME.fullmatch(name, name.rfind("/") + 1)
        if match is None or int(match[1]) == 0:
            continue
        index = int(match[1]) - 1
        if index in found:
            raise SourceError(f"the archive holds photograph {match[0]} twice: {found[index]} and {name}. Keep one.")
        found[index] = name
    return {name: index for index, name in found.items()}


def _common_folder(members: Sequence[str]) -> str:
    if not members:
        return ""
    first, last = (name.split("/")[:-1] for name in (min(members), max(members)))
    shared = 0
    while shared < min(len(first), len(last)) and first[shared] == last[shared]:
        shared += 1
    return "".join(f"{folder}/" for folder in first[:shared])
