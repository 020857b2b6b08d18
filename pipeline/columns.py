"""Parquet tables of any length a part at a time: written in row groups of one size, read and merged group by group.

A table here has a column `drop_reason`, which is null in kept rows. How many rows of a group are kept stands in the
file's footer, so a task that wants some of them reads their groups alone.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline import atomic

# Arrow's default allocator keeps 20 MiB more after a join of 100,000 rows
pa.set_memory_pool(pa.system_memory_pool())

ROWS_PER_GROUP = 4096
DROPPED = "drop_reason"
KEYS = ("index", "face")
"""Columns that order the rows, as far as a table has them."""

Adapt = Callable[[int, pa.Table], pa.Table]
"""Makes the columns of the joined table of some rows, with all of their columns, of a part with this number.

The order of the keys stays.
"""


class TableFile:
    """A table on disk, which must exist. No file stays open."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._metadata = pq.read_metadata(path)

    @property
    def names(self) -> list[str]:
        """The names of the columns."""
        return self._metadata.schema.to_arrow_schema().names

    @property
    def groups(self) -> range:
        """The numbers of the row groups."""
        return range(self._metadata.num_row_groups)

    @property
    def rows(self) -> int:
        """The number of all rows."""
        return self._metadata.num_rows

    @property
    def kept(self) -> int:
        """The number of kept rows."""
        return int(self.kept_ends[-1]) if len(self.groups) else 0

    @cached_property
    def ends(self) -> NDArray[np.int64]:
        """The number of rows up to the end of each group."""
        return np.cumsum([self._metadata.row_group(group).num_rows for group in self.groups], dtype=np.int64)

    @cached_property
    def kept_ends(self) -> NDArray[np.int64]:
        """The number of kept rows up to the end of each group."""
        return np.cumsum([self._kept_of(group) for group in self.groups], dtype=np.int64)

    def _kept_of(self, group: int) -> int:
        names = self._metadata.schema.names
        statistics = self._metadata.row_group(group).column(names.index(DROPPED)).statistics
        if statistics is not None and statistics.has_null_count:
            return statistics.null_count
        return self.read(group, [DROPPED])[DROPPED].null_count

    def read(self, group: int, columns: Sequence[str]) -> pa.Table:
        """Some columns of a group, in their order."""
        with pq.ParquetFile(self._path, metadata=self._metadata) as file:
            return file.read_row_group(group, columns=list(columns), use_threads=False).select(list(columns))

    def read_kept(self, group: int, columns: Sequence[str]) -> pa.Table:
        """Some columns of the kept rows of a group."""
        table = self.read(group, [*columns, *([] if DROPPED in columns else [DROPPED])])
        return table.filter(table[DROPPED].is_null()).select(list(columns))

    def read_dropped(self, group: int, columns: Sequence[str]) -> pa.Table | None:
        """Some columns, `DROPPED` among them, of the dropped rows of a group; None where there are none."""
        before = self.kept_ends[group - 1] if group else 0
        if self._metadata.row_group(group).num_rows == self.kept_ends[group] - before:
            return None
        table = self.read(group, columns)
        return table.filter(table[DROPPED].is_valid())


def kept_groups(file: TableFile, columns: Sequence[str], start: int = 0, stop: int | None = None) -> Iterator[pa.Table]:
    """Some columns of the kept rows `start`...`stop`, group by group."""
    stop = file.kept if stop is None else min(stop, file.kept)
    first = int(np.searchsorted(file.kept_ends, start, side="right"))
    for group in file.groups[first:]:
        before = int(file.kept_ends[group - 1]) if group else 0
        if before >= stop:
            return
        begin = max(start - before, 0)
        table = file.read_kept(group, columns)
        yield table.slice(begin, stop - before - begin)


def take_kept(file: TableFile, columns: Sequence[str], places: Sequence[int]) -> pa.Table | None:
    """Some columns of the kept rows at `places`, in that order; None for no places."""
    places_N = np.asarray(places, np.int64)
    if not len(places_N):
        return None
    order = np.argsort(places_N, kind="stable")
    groups_N = np.searchsorted(file.kept_ends, places_N[order], side="right")
    found: list[pa.Table] = []
    for group in np.unique(groups_N).tolist():
        before = file.kept_ends[group - 1] if group else 0
        found.append(file.read_kept(group, columns).take(pa.array(places_N[order][groups_N == group] - before)))
    return pa.concat_tables(found).take(pa.array(_inverse(order)))


def write(path: Path, schema: pa.Schema, tables: Iterable[pa.Table]) -> None:
    """Write tables of one schema below each other; the bytes depend on the rows alone."""
    with atomic.writing(path) as partial, pq.ParquetWriter(partial, schema, compression="zstd") as writer:
        left, written = schema.empty_table(), False
        for table in tables:
            left = pa.concat_tables([left, table])
            whole = len(left) // ROWS_PER_GROUP * ROWS_PER_GROUP
            for start in range(0, whole, ROWS_PER_GROUP):
                writer.write_table(left.slice(start, ROWS_PER_GROUP).combine_chunks(), ROWS_PER_GROUP)
                written = True
            left = left.slice(whole)
        if len(left) or not written:
            writer.write_table(left.combine_chunks(), ROWS_PER_GROUP)


def merge(path: Path, schema: pa.Schema, parts: Sequence[Path], adapt: Adapt | None = None) -> None:
    """Write the rows of `parts`, each of which is ordered by `KEYS`, in that order; equal keys in the order of parts.

    Of each part a group is in memory at a time, and only while its rows come.
    """
    write(path, schema, _merged(schema, parts, adapt))


def _merged(schema: pa.Schema, parts: Sequence[Path], adapt: Adapt | None) -> Iterator[pa.Table]:
    keys = [name for name in KEYS if name in schema.names]
    files = [_Part(part, number, schema, adapt) for number, part in enumerate(parts)]
    if _follow_each_other(parts):
        for file in files:
            yield from file.groups()
        return
    counts = [file.rows for file in files]
    keys_N = [np.concatenate([np.empty(0, np.int64), *(file.key(name) for file in files)]) for name in keys]
    order = np.lexsort(keys_N[::-1])
    of_part = np.repeat(np.arange(len(parts), dtype=np.int32), counts)[order]
    in_part = order - np.repeat(np.cumsum([0, *counts[:-1]], dtype=np.int64), counts)[order] if parts else order
    del keys_N, order
    for start in range(0, len(of_part), ROWS_PER_GROUP):
        parts_N, rows_N = (values[start : start + ROWS_PER_GROUP] for values in (of_part, in_part))
        grouped = np.argsort(parts_N, kind="stable")
        found = [files[part].take(rows_N[parts_N == part]) for part in np.unique(parts_N).tolist()]
        yield pa.concat_tables(found).take(pa.array(_inverse(grouped)))


def _follow_each_other(parts: Sequence[Path]) -> bool:
    """Whether no `index` of a part is that of another, and they rise from part to part, by what the footers say."""
    last: int | None = None
    for part in parts:
        metadata = pq.read_metadata(part)
        column = metadata.schema.names.index(KEYS[0])
        for group in range(metadata.num_row_groups if metadata.num_rows else 0):
            statistics = metadata.row_group(group).column(column).statistics
            if statistics is None or not statistics.has_min_max:
                return False
            if group == 0 and last is not None and statistics.min <= last:
                return False
            last = statistics.max
    return True


class _Part:
    """A part that is merged, read once from its begin to its end."""

    def __init__(self, path: Path, number: int, schema: pa.Schema, adapt: Adapt | None) -> None:
        self._path, self._number, self._schema, self._adapt = path, number, schema, adapt
        self.rows = pq.read_metadata(path).num_rows
        self._file: TableFile | None = None
        self._held: dict[int, pa.Table] = {}

    def key(self, name: str) -> NDArray[np.int64]:
        return pq.read_table(self._path, columns=[name])[name].to_numpy()

    def groups(self) -> Iterator[pa.Table]:
        """The whole part, group by group."""
        file = TableFile(self._path)
        return (self._read(file, group) for group in file.groups)

    def _read(self, file: TableFile, group: int) -> pa.Table:
        if self._adapt is None:
            table = file.read(group, self._schema.names)
        else:
            table = self._adapt(self._number, file.read(group, file.names))
        return table.cast(self._schema).combine_chunks()

    def take(self, rows_N: NDArray[np.int64]) -> pa.Table:
        """The rows with these numbers, which are not asked for again; of an ordered part they follow each other."""
        self._file = self._file or TableFile(self._path)
        ends = self._file.ends
        groups_N = np.searchsorted(ends, rows_N, side="right")
        found: list[pa.Table] = []
        for group in np.unique(groups_N).tolist():
            if group not in self._held:
                self._held[group] = self._read(self._file, group)
            before = ends[group - 1] if group else 0
            found.append(self._held[group].take(pa.array(rows_N[groups_N == group] - before)))
            if int(rows_N.max()) >= ends[group] - 1:
                del self._held[group]
        if int(rows_N.max()) == self.rows - 1:
            self._file = None
        return pa.concat_tables(found)


def _inverse(order: NDArray[np.int64]) -> NDArray[np.int64]:
    inverse = np.empty_like(order)
    inverse[order] = np.arange(len(order))
    return inverse
