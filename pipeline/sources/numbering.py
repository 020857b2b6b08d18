"""The index and the file name of every photograph, whatever order its archive has."""

import os
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

    `sorted`: the place in sorted order; the file name is the path below the folder that all share.
    `celeba`: NNNNNN.jpg gets NNNNNN - 1; other names follow in sorted order. Two of one number are a `SourceError`.
    """
    folders = [name[: name.rfind("/") + 1] for name in members]
    common = os.path.commonprefix(folders).rfind("/") + 1  # noqa: RUF071 - the letters of the folder that all share
    numbers = _celeba_numbers(members) if numbering == "celeba" else {}
    others = sorted(name for name in members if name not in numbers)
    places = {name: place for place, name in enumerate(others, start=max(numbers.values(), default=-1) + 1)}
    return [
        Numbered(name, numbers[name], name.rfind("/") + 1) if name in numbers else Numbered(name, places[name], common)
        for name in members
    ]


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


def _celeba_numbers(members: Sequence[str]) -> dict[str, int]:
    found: dict[int, str] = {}
    for name in members:
        match = _CELEBA_NAME.fullmatch(name, name.rfind("/") + 1)
        if match is not None and match[1] != "000000":
            other = found.setdefault(int(match[1]) - 1, name)
            if other != name:
                raise SourceError(f"the archive holds photograph {match[0]} twice: {other} and {name}. Keep one.")
    return {name: index for index, name in found.items()}
