"""Values of an annotation file in the rows of an array: the fields of plain rows are read all at once.

A plain row has a name and as many fields as the others, all of which are values. A row as an object takes longer to
make than to be understood.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from pipeline.faces.annotation_table import Row, Rows

Value = TypeVar("Value")


class ByName(Mapping[str, Value]):
    """Values by name, most of them as rows of `numbers_NK`, of which `value_of` makes a value; `others` as they are."""

    def __init__(
        self,
        names: Collection[str],
        numbers_NK: NDArray[Any],
        value_of: Callable[[list[Any]], Value],
        others: dict[str, Value],
    ) -> None:
        self.numbers_NK, self.others = numbers_NK, others
        self._places, self._value_of = {name: place for place, name in enumerate(names)}, value_of

    def __getitem__(self, name: str) -> Value:
        place = self._places.get(name)
        return self.others[name] if place is None else self._value_of(self.numbers_NK[place].tolist())

    def __contains__(self, name: object) -> bool:
        return name in self._places or name in self.others

    def __iter__(self) -> Iterator[str]:
        return chain(self._places, self.others)

    def __len__(self) -> int:
        return len(self._places) + len(self.others)

    def without(self, names: Collection[str]) -> "ByName[Value]":
        """The same without `names`, all of which are among `others`."""
        others = {name: value for name, value in self.others.items() if name not in names}
        return ByName(self._places, self.numbers_NK, self._value_of, others)

    def places(self, names: Iterable[str]) -> NDArray[np.int64]:
        """The row of each name in `numbers_NK`; -1 of a name that has none."""
        return np.fromiter((self._places.get(name, -1) for name in names), np.int64)


@dataclass(frozen=True, slots=True)
class Plain:
    """The names of plain rows, their fields as numbers, and all other rows."""

    names: Collection[str]
    numbers_NK: NDArray[Any]
    odd: Collection[Row]

    @classmethod
    def none_of(cls, rows: Collection[Row]) -> Self:
        """All rows are others."""
        return cls((), np.empty((0, 0)), rows)


def read_plain(
    rows: Collection[Row], numbers_of: Callable[[list[str]], NDArray[Any]], columns: int, places: Sequence[int] | None
) -> Plain:
    """Read the plain rows; none where they are few, or a name is there twice, which is a matter of all of its rows.

    `columns`: how many fields a row has, 0 where the file does not say it; `places`: which of them count.

    `numbers_of` makes a number of each field. It raises `ValueError` if one of them is no value: then none of these
    rows counts as plain.
    """
    nothing = Plain.none_of(rows)
    if not isinstance(rows, Rows):
        return nothing
    names, found, odd = list[str](), list[NDArray[Any]](), list[Row]()
    for block in rows.blocks():
        fields = list(chain.from_iterable(block.plain))
        width = len(block.plain[0]) if block.plain else 1
        own = fields[::width]
        del fields[::width]
        try:
            numbers_NK = numbers_of(fields).reshape(len(own), width - 1)
        except ValueError:
            odd += block.rows()
            continue
        if fields:
            names += own
            found.append(numbers_NK)
        odd += block.others if fields else block.rows()
    known = {*names}
    if len(names) <= len(odd) or len(known) < len(names) or any(row.name in known for row in odd):
        return nothing
    numbers_NK = np.concatenate(found)
    if columns not in (0, numbers_NK.shape[1]) or places == []:
        return nothing
    return Plain(names, numbers_NK if places is None else numbers_NK[:, places], odd)


def numbers_in(numbers: Mapping[str, int]) -> Callable[[list[str]], NDArray[np.int8]]:
    """For `read_plain`: fields that are keys of `numbers`, -128...127; others are no values."""

    def numbers_of(fields: list[str]) -> NDArray[np.int8]:
        try:
            return np.fromiter(map(numbers.__getitem__, fields), np.int8, len(fields))
        except KeyError as other:
            raise ValueError(other) from other

    return numbers_of
