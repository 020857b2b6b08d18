"""Tables processed in chunks of rows with dask.distributed; tasks exchange file names, never pixels."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from pipeline import chunks, manifest
from pipeline.chunks import Chunk
from pipeline.errors import RejectedInputError
from pipeline.manifest import Accounting, Drop, Photograph
from pipeline.params import ClusterParams
from pipeline.workers import connect

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
) -> Accounting:
    """Apply `function` to the kept rows of `table`, chunk by chunk in a cluster, and write the results to `out`.

    Parameters
    ----------
    function
        Called in a worker with the rows of a chunk and the chunk's file stem (an absolute path without suffix), with
        which the files that it writes must start: `crop-00003` in a folder of this execution. They are moved to the
        folder of `out` at the end. Yields one kept or dropped row per input row. Must be picklable.
    row_in, row_out
        The types of the rows of `table` and of the kept rows that `function` yields.
    out
        A table in the stage's work folder. Chunks that a killed run finished there are used.
    memory_mib
        What one row needs in a worker, in MiB; see `connect`.

    Raises
    ------
    ClusterError
        See `connect` and `chunks.run_chunks`.
    """
    folder = chunks.folder_of(out)
    if not out.exists():
        count = manifest.account(table).kept
        parts = [
            Chunk(f"{out.stem}-{number:05d}", start, min(start + rows_per_chunk, count))
            for number, start in enumerate(range(0, count, rows_per_chunk))
        ]
        task = partial(_run_chunk, function=function, table=table.absolute(), row_in=row_in, row_out=row_out)
        with connect(cluster, memory_mib) as client:
            tables = chunks.run_chunks(client, task, parts, folder)
        manifest.join_parts(out, row_out, tables)
    chunks.collect(folder)
    return manifest.account(out)


def outcomes(rows: Iterable[RowIn], function: Callable[[RowIn], RowOut]) -> Iterator[RowOut | Drop]:
    """Apply `function` to each row; a row that raises `RejectedInputError` becomes a `Drop`."""
    for row in rows:
        try:
            yield function(row)
        except RejectedInputError as rejected:
            yield Drop.of(row, rejected)


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
