"""The index and the file name of every photograph, whatever order its archive has."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import SourceError
from pipeline.sources.listing import Listing, Lost, readable, sort_key
from pipeline.sources.source import Numbering

NAMED = 10
"""Members that a message names."""

_CELEBA_NAME = re.compile(r"(\d{6})\.(?:jpg|jpeg|png)", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True, slots=True)
class Numbered:
    """One member: its name in the archive or below the folder, and the photograph's index (from 0).

    `start`: where the name for tables starts. `lost`: why it cannot be read.
    """

    member: str
    index: int
    start: int
    lost: Lost | None = None

    @property
    def file(self) -> str:
        """The name that tables show."""
        return readable(self.member[self.start :])


def number(listing: Listing, numbering: Numbering) -> list[Numbered]:
    """Number the files of a folder or an archive; members keep their order, what is lost follows.

    A name is the path below the folder or in the archive, so it does not depend on other files.
    `sorted`: the index is the place in the order of `sort_key`. `celeba`: NNNNNN.jpg gets NNNNNN - 1 and is named
    without folders, as published, and so do copies as .png and .jpeg, in lower or upper case; others follow in sorted
    order. Two of one number are a `SourceError`.
    """
    names = listing.names
    numbers = _celeba_numbers(names) if numbering == "celeba" else {}
    others = sorted((name for name in names if name not in numbers), key=sort_key)
    places = {name: place for place, name in enumerate(others, start=max(numbers.values(), default=-1) + 1)}
    return [_numbered(name, numbers, places, listing.lost) for name in names]


def check_complete(archive: Path, numbered: Sequence[Numbered], photographs: int) -> None:
    """Raise `SourceError`, which names some of the differences, unless the files are 000001.jpg ... `photographs`."""
    wanted = {f"{place + 1:06d}.jpg" for place in range(photographs)}
    found = {entry.file for entry in numbered}
    faults = [
        f"{len(names)} {what} ({', '.join(sorted(names)[:NAMED])}{', ...' if len(names) > NAMED else ''})"
        for what, names in (("missing", wanted - found), ("not published", found - wanted))
        if names
    ]
    if faults:
        raise SourceError(
            f"{archive}: {len(numbered)} members, published are {photographs}: {'; '.join(faults)}. Fetch it again, or "
            f"give an archive of your own making another name."
        )


def _numbered(name: str, numbers: Mapping[str, int], places: Mapping[str, int], lost: Mapping[str, Lost]) -> Numbered:
    if name in numbers:
        return Numbered(name, numbers[name], name.rfind("/") + 1, lost.get(name))
    start = 0
    while name.startswith(("./", "/"), start):
        start = name.index("/", start) + 1
    return Numbered(name, places[name], start, lost.get(name))


def _celeba_numbers(names: Collection[str]) -> dict[str, int]:
    found: dict[int, str] = {}
    for name in names:
        match = _CELEBA_NAME.fullmatch(name, name.rfind("/") + 1)
        if match is not None and match[1] != "000000":
            other = found.setdefault(int(match[1]) - 1, name)
            if other != name:
                raise SourceError(f"photograph {match[1]} is there twice: {other} and {name}. Keep one.")
    return {name: index for index, name in found.items()}
