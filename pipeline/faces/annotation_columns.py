"""Values of an annotation file in the rows of an array: the fields of plain rows are read all at once.

A plain row has a name and as many fields as the others, all of which are values. A row as an object takes longer to
make than to be understood.
"""

from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from pipeline.faces.annotation_table import Row, Rows

Value = TypeVar("Value")


Names = dict[str, int]
"""Names numbered from 0. The files of a source share one: a million names take 130 MB."""


class Places(Collection[str]):
    """The names of the rows of a file by their numbers among `names`."""

    def __init__(self, names: Names, rows_N: NDArray[np.int64]) -> None:
        self._names, self._rows_N = names, rows_N
        self._places = np.full(len(names) + 1, -1, np.int32)  # the last is that of a name without a number
        self._places[rows_N] = np.arange(len(rows_N))

    def __len__(self) -> int:
        return len(self._rows_N)

    def __iter__(self) -> Iterator[str]:
        return map([*self._names].__getitem__, self._rows_N.tolist())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.place(name) >= 0

    def are_distinct(self) -> bool:
        """Whether no name is there twice."""
        return np.count_nonzero(self._places >= 0) == len(self)

    def place(self, name: str) -> int:
        """The row of a name; -1 of one that has none."""
        return int(self._places[min(self._names.get(name, -1), len(self._places) - 1)])

    def of(self, names: Iterable[str]) -> NDArray[np.int64]:
        """The rows of some names, as `place`."""
        numbers = np.fromiter((self._names.get(name, -1) for name in names), np.int64)
        return self._places[np.minimum(numbers, len(self._places) - 1)].astype(np.int64)


class ByName(Mapping[str, Value]):
    """Values by name, most of them as rows of `numbers_NK`, of which `value_of` makes a value; `others` as they are."""

    def __init__(
        self,
        names: Places,
        numbers_NK: NDArray[Any],
        value_of: Callable[[list[Any]], Value],
        others: dict[str, Value],
    ) -> None:
        self.numbers_NK, self.others = numbers_NK, others
        self._places, self._value_of = names, value_of

    def __getitem__(self, name: str) -> Value:
        place = self._places.place(name)
        return self.others[name] if place < 0 else self._value_of(self.numbers_NK[place].tolist())

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
        return self._places.of(names)


@dataclass(frozen=True, slots=True)
class Plain:
    """The names of plain rows, their fields as numbers, and all other rows."""

    names: Places
    numbers_NK: NDArray[Any]
    odd: Collection[Row]

    @classmethod
    def none_of(cls, rows: Collection[Row]) -> Self:
        """All rows are others."""
        return cls(Places({}, np.empty(0, np.int64)), np.empty((0, 0)), rows)


def read_plain(
    rows: Collection[Row],
    numbers_of: Callable[[list[str]], NDArray[Any]],
    columns: int,
    places: Sequence[int] | None,
    names: Names | None = None,
) -> Plain:
    """Read the plain rows; none where they are few, or a name is there twice, which is a matter of all of its rows.

    `names` gets those that it has not yet.
    `columns`: how many fields a row has, 0 where the file does not say it; `places`: which of them count.

    `numbers_of` makes a number of each field. It raises `ValueError` if one of them is no value: then none of these
    rows counts as plain.
    """
    nothing = Plain.none_of(rows)
    if not isinstance(rows, Rows):
        return nothing
    names = {} if names is None else names
    numbered, found_NK, odd = array("q"), np.empty((0, 0)), list[Row]()
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
            if not numbered:
                found_NK = np.empty((len(rows), width - 1), numbers_NK.dtype)
            found_NK[len(numbered) : len(numbered) + len(own)] = numbers_NK
            numbered.extend(names.setdefault(name, len(names)) for name in own)
        odd += block.others if fields else block.rows()
    if len(numbered) <= len(odd) or columns not in (0, found_NK.shape[1]) or places == []:
        return nothing
    rows_N = np.array(numbered)
    found = Places(names, rows_N)
    if not found.are_distinct() or any(row.name in found for row in odd):
        return nothing
    found_NK = found_NK[: len(rows_N)]
    ordered = places is None or places == [*range(found_NK.shape[1])]
    return Plain(found, found_NK if ordered else found_NK[:, places], odd)


def numbers_in(numbers: Mapping[str, int]) -> Callable[[list[str]], NDArray[np.int8]]:
    """For `read_plain`: fields that are keys of `numbers`, -128...127; others are no values."""

    def numbers_of(fields: list[str]) -> NDArray[np.int8]:
        try:
            return np.fromiter(map(numbers.__getitem__, fields), np.int8, len(fields))
        except KeyError as other:
            raise ValueError(other) from other

    return numbers_of
