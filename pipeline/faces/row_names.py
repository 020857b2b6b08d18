"""Which row of an annotation file belongs to which photograph.

Equal names first. The rest by ever weaker likeness, each only where it is unique on both sides: of whole paths, then of
their last parts (`set1/a.jpg` and `a.jpg`); in another Unicode form or with other slashes, in other case, with another
suffix or none, with other spaces.
"""

import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from pipeline.faces.annotation_table import has_image_suffix

MAX_DEPTH = 8
"""Parts of a path that are compared."""


@dataclass(frozen=True, slots=True)
class Match:
    """The row of a photograph, and how its name differs; `difference` is empty where names are equal."""

    row: str
    difference: str


class Matches(Mapping[str, Match]):
    """The row of each of `photographs` that has one, in their order; of equal names none is kept.

    `others` are those of another name.
    """

    def __init__(self, photographs: Collection[str], rows: Collection[str]) -> None:
        self._photographs, self._rows = photographs, rows
        left = [name for name in photographs if name not in rows]
        self.others = _match_others(left, self._not_named(rows)) if left else dict[str, Match]()
        self._count = len(photographs) - len(left) + len(self.others)

    def __getitem__(self, photograph: str) -> Match:
        return self.others[photograph] if photograph not in self._rows else Match(photograph, "")

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._photographs if name in self._rows or name in self.others)

    def __len__(self) -> int:
        return self._count

    def rows_of(self, photographs: Iterable[str]) -> Iterable[str]:
        """The name of the row of each photograph; of one without a row its own."""
        if not self.others:
            return photographs
        return (found.row if (found := self.others.get(name)) is not None else name for name in photographs)

    def unused(self) -> list[str]:
        """The rows that belong to no photograph."""
        used = {match.row for match in self.others.values()}
        return [name for name in self._not_named(self._rows) if name not in used]

    def _not_named(self, rows: Iterable[str]) -> list[str]:
        named = {*self._photographs}
        return [name for name in rows if name not in named]


def _match_others(photographs: Collection[str], rows: Collection[str]) -> dict[str, Match]:
    found: dict[str, Match] = {}
    left, rest = [_Name.of(name) for name in photographs], [_Name.of(name) for name in rows]
    depth = min(max((len(name.parts) for name in names), default=0) for names in (left, rest))
    for parts in range(min(depth, MAX_DEPTH), 0, -1):
        for difference, key in _KEYS.items():
            if not (left and rest):
                return found
            new = _unique_pairs(left, rest, parts, key)
            for photograph, row in new:
                same = len(photograph.parts) == len(row.parts)
                words = [word for word in ("" if same else "folder", difference) if word]
                found[photograph.name] = Match(row.name, " and ".join(words) or _form(row.name))
            done = {id(name) for pair in new for name in pair}
            left = [name for name in left if id(name) not in done]
            rest = [name for name in rest if id(name) not in done]
    return found


def _form(row: str) -> str:
    return "slashes" if "\\" in row else "Unicode form"


@dataclass(frozen=True, slots=True)
class _Name:
    name: str
    parts: tuple[str, ...]

    @classmethod
    def of(cls, name: str) -> "_Name":
        parts = unicodedata.normalize("NFC", name).replace("\\", "/").split("/")
        return cls(name, tuple(part for part in parts if part not in ("", ".")))


def _stem(path: str) -> str:
    return path.rpartition(".")[0] if has_image_suffix(path) else path


_KEYS: dict[str, Callable[[str], str]] = {
    "": lambda path: path,
    "case": lambda path: path.casefold(),
    "suffix": _stem,
    "suffix and case": lambda path: _stem(path).casefold(),
    "spaces": lambda path: "/".join(" ".join(part.split()) for part in path.split("/")),
}


def _unique_pairs(
    photographs: Iterable[_Name], rows: Iterable[_Name], parts: int, key: Callable[[str], str]
) -> list[tuple[_Name, _Name]]:
    """Photographs and rows whose last `parts` parts have a key that nothing else has; one has no more parts."""
    by_key: dict[str, tuple[list[_Name], list[_Name]]] = {}
    for side, names in enumerate((photographs, rows)):
        for name in names:
            if len(name.parts) >= parts:
                by_key.setdefault(key("/".join(name.parts[-parts:])), ([], []))[side].append(name)
    return [
        (ours[0], theirs[0])
        for ours, theirs in by_key.values()
        if len(ours) == len(theirs) == 1 and parts in (len(ours[0].parts), len(theirs[0].parts))
    ]
