"""Tables processed in chunks of rows with dask.distributed; tasks exchange file names, never pixels."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from pipeline import chunks, manifest
from pipeline.chunks import Chunk
from pipeline.errors import RejectedInputError, TableError
from pipeline.manifest import Accounting, Drop, Photograph
from pipeline.params import ClusterParams
from pipeline.workers import connect

SHARE = 64
"""A chunk has at most this part of the rows that are left, so that many workers end at about the same time."""
SMALLEST, SMALLEST_SLOW = 64, 16
"""Rows of a chunk below which it is not made smaller for that; the second where a row takes a second or more."""

RowIn = TypeVar("RowIn", bound=Photograph)
RowOut = TypeVar("RowOut", bound=Photograph)


def map_rows(
    cluster: ClusterParams,
    function: Callable[[Sequence[RowIn], Path], Iterable[RowOut | Drop]],
    *,
    table: Path,
    row_in: type[RowIn],
    row_out: type[RowOut],
    rows_per_chunk: int,
    out: Path,
    memory_mib: int = 0,
    finished: Callable[[Path], None] = lambda table: None,
    account: Callable[[Path], Accounting] = manifest.account,
    slow: bool = False,
) -> Accounting:
    """Apply `function` to the kept rows of `table`, chunk by chunk in a cluster, and write the results to `out`.

    Parameters
    ----------
    function
        Called in a worker with the rows of a chunk and the chunk's file stem (an absolute path without suffix), with
        which the files that it writes must start: `crop-000048`, in a folder of this execution, for the chunk that
        begins with row 48. They are moved to the folder of `out` at the end. Yields one kept or dropped row per input
        row. Must be picklable.
    row_in, row_out
        The types of the rows of `table` and of the kept rows that `function` yields.
    rows_per_chunk
        How many rows a chunk has at most: see `chunk_size`. Each chunk costs a task, files, and a start of the work.
    out
        A table in the stage's work folder. Chunks that a killed run finished there are used, also those of another
        `rows_per_chunk`: it decides how rows are grouped in files, not what is made of them.
    memory_mib
        What one row needs in a worker, in MiB; see `connect`.
    finished
        Called with the table of each chunk, also of those that a killed run finished; what it raises ends the run.
    account
        How inputs are counted in a table of results: by row, or, where `function` yields several kept rows for an
        input, with `manifest.account_inputs`.
    slow
        A row takes a second or more: the last chunks are smaller; see `chunk_size`.

    Raises
    ------
    ClusterError
        See `connect` and `chunks.run_chunks`.
    """
    folder = chunks.folder_of(out)
    if not out.exists():
        count = manifest.account(table).kept
        sizes = {
            int(name[len(out.stem) + 1 :]): account(folder / name / chunks.TABLE).given
            for name in chunks.finished_chunks(folder)
        }
        found = spans(count, rows_per_chunk, sizes, slow=slow)
        parts = [Chunk(f"{out.stem}-{start:06d}", start, stop) for start, stop in found]
        task = partial(_run_chunk, function=function, table=table.absolute(), row_in=row_in, row_out=row_out)
        with connect(cluster, memory_mib) as client:
            tables = chunks.run_chunks(client, task, parts, folder, finished)
        given = sum(account(part).given for part in tables)
        if given != count:
            raise TableError(
                f"{folder}: its chunks have {given} of {count} rows, since two runs with different sizes of chunks "
                f"have worked there. Remove the folder, and run again."
            )
        manifest.join_parts(out, row_out, tables)
    chunks.collect(folder)
    return account(out)


def outcomes(rows: Iterable[RowIn], function: Callable[[RowIn], RowOut]) -> Iterator[RowOut | Drop]:
    """Apply `function` to each row; a row that raises `RejectedInputError` becomes a `Drop`."""
    for row in rows:
        try:
            yield function(row)
        except RejectedInputError as rejected:
            yield Drop.of(row, rejected)


def chunk_size(start: int, count: int, rows_per_chunk: int, *, slow: bool = False) -> int:
    """The rows of the chunk that begins with row `start` of `count`, whatever the number of workers.

    `rows_per_chunk` at most; towards the end of the table, or in a short one, fewer: the last chunks decide for how
    long workers wait for each other.
    """
    return min(rows_per_chunk, max((count - start) // SHARE, SMALLEST_SLOW if slow else SMALLEST))


def spans(
    count: int, rows_per_chunk: int, finished: Mapping[int, int] | None = None, *, slow: bool = False
) -> Iterator[tuple[int, int]]:
    """First row and end of each chunk of `count` rows; `finished` has the numbers of rows of chunks by first row.

    Finished chunks stay, also those of another size; the rows between them are divided anew.
    """
    start, finished = 0, finished or {}
    for first in [*sorted(finished), count]:
        while start < first:
            stop = min(start + chunk_size(start, count, rows_per_chunk, slow=slow), first)
            yield start, stop
            start = stop
        if first in finished:
            yield first, first + finished[first]
            start = first + finished[first]


def _run_chunk(
    chunk: Chunk,
    folder: Path,
    *,
    function: Callable[[Sequence[RowIn], Path], Iterable[RowOut | Drop]],
    table: Path,
    row_in: type[RowIn],
    row_out: type[RowOut],
) -> None:
    rows = manifest.read_kept(table, row_in, chunk.start, chunk.stop)
    killers = [rows[place - chunk.start] for place in sorted(chunk.killers) if chunk.start <= place < chunk.stop]
    alive = [row for row in rows if row not in killers]
    results = [*function(alive, folder / chunk.name), *(Drop.of(row, chunks.killed_worker()) for row in killers)]
    manifest.write_rows(folder / chunks.TABLE, row_out, results)
