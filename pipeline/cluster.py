"""Tables processed in chunks of rows with dask.distributed; tasks exchange file names, never pixels.

One task writes the files of one chunk, and its part table last: a chunk whose part exists is done. So a killed run
resumes with the missing chunks, and the result does not depend on the number of workers or their order.
"""

import logging
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import cv2
import dask.config
from dask.distributed import Client, LocalCluster, as_completed
from tqdm import tqdm

from pipeline import manifest
from pipeline.errors import RejectedInputError
from pipeline.manifest import Accounting, Drop, Photograph
from pipeline.params import ClusterParams

RowIn = TypeVar("RowIn", bound=Photograph)
RowOut = TypeVar("RowOut", bound=Photograph)
Task = TypeVar("Task")

_PART = ".part.parquet"
_WORKER_ENVIRONMENT = {
    "OMP_NUM_THREADS": 1,
    "MKL_NUM_THREADS": 1,
    "OPENBLAS_NUM_THREADS": 1,
    # with dask's own value malloc returns the memory of every image to the system, which must zero its pages again
    "MALLOC_TRIM_THRESHOLD_": 256 << 20,
    "MALLOC_MMAP_THRESHOLD_": 32 << 20,
    # errors of tasks reach the client; the log would only say that a worker lost its scheduler at the end
    "DASK_LOGGING__DISTRIBUTED": "critical",
}


@contextmanager
def connect(params: ClusterParams) -> Generator[Client]:
    """Connect to the scheduler at `params.scheduler`, or start a local cluster of `params.workers` processes.

    A local worker has one thread, and dask's memory limit is `params.memory_per_worker_mib` MiB.
    """
    if params.scheduler is not None:
        with Client(params.scheduler) as client:
            yield client
        return
    settings = {
        "distributed.worker.daemon": True,
        "distributed.admin.system-monitor.gil.enabled": False,
        "distributed.nanny.pre-spawn-environ": _WORKER_ENVIRONMENT,
    }
    with (
        dask.config.set(settings),
        LocalCluster(
            n_workers=params.workers,
            threads_per_worker=1,
            processes=True,
            memory_limit=f"{params.memory_per_worker_mib}MiB",
            dashboard_address=None,  # pyright: ignore[reportArgumentType]  (documented, but annotated str)
            silence_logs=logging.ERROR,
        ) as cluster,
        Client(cluster) as client,
    ):
        client.run(cv2.setNumThreads, 1)
        yield client


def map_rows(
    cluster: ClusterParams,
    function: Callable[[Sequence[RowIn], Path], Iterable[RowOut | Drop]],
    *,
    table: Path,
    row_in: type[RowIn],
    row_out: type[RowOut],
    rows_per_chunk: int,
    out: Path,
    finished: Callable[[Path], None] = lambda part: None,
) -> Accounting:
    """Apply `function` to the kept rows of `table`, chunk by chunk in a cluster, and write the results to `out`.

    Parameters
    ----------
    function
        Called in a worker with the rows of a chunk and the chunk's file stem (a path without suffix), with which the
        files that it writes must start: `crop-000048` in the folder of `crop.parquet` for the chunk that begins with
        row 48. Yields one kept or dropped row per input row. Must be picklable.
    row_in, row_out
        The types of the rows of `table` and of the kept rows that `function` yields.
    out
        A table in the stage's work folder. Parts that a killed run left there are used, also those of another
        `rows_per_chunk`: it decides how rows are grouped in files, not what is made of them.
    finished
        Called with the part of `out` that each chunk made, also in a run that was killed; what it raises ends the run.
    """
    if not out.exists():
        count = manifest.account(table).kept
        parts = {_first_row(part): part for part in sorted(out.parent.glob(f"{out.stem}-*{_PART}"))}
        for part in parts.values():
            finished(part)
        chunks = [
            (start, stop, out.with_name(f"{out.stem}-{start:06d}"))
            for start, stop in _spans(
                count, rows_per_chunk, {row: manifest.account(part).given for row, part in parts.items()}
            )
        ]
        task = partial(_run_chunk, function=function, table=table, row_in=row_in, row_out=row_out)
        with connect(cluster) as client:
            missing = [chunk for chunk in chunks if chunk[0] not in parts]
            run_all(client, task, missing, lambda chunk: finished(_part(chunk[2])))
        manifest.join_parts(out, row_out, [_part(stem) for _, _, stem in chunks])
    for part in out.parent.glob(f"*{_PART}"):
        part.unlink()
    return manifest.account(out)


def run_all(
    client: Client,
    function: Callable[[Task], None],
    tasks: Sequence[Task],
    finished: Callable[[Task], None] = lambda task: None,
) -> None:
    """Run `function` on every task in the cluster, with a progress bar; raise the first error.

    `finished` is called here with each task that ended; what it raises ends the run.
    """
    futures = client.map(function, tasks, pure=False)
    task_of = {future.key: task for future, task in zip(futures, tasks, strict=True)}
    try:
        for future in tqdm(as_completed(futures), total=len(futures), unit="chunk", leave=False, disable=None):
            future.result()
            finished(task_of[future.key])
    finally:
        client.cancel(futures)


def outcomes(rows: Iterable[RowIn], function: Callable[[RowIn], RowOut]) -> Iterator[RowOut | Drop]:
    """Apply `function` to each row; a row that raises `RejectedInputError` becomes a `Drop`."""
    for row in rows:
        try:
            yield function(row)
        except RejectedInputError as rejected:
            yield Drop.of(row, rejected)


def _spans(count: int, rows_per_chunk: int, finished: Mapping[int, int]) -> Iterator[tuple[int, int]]:
    """First row and end of each chunk of `count` rows; `finished` has the numbers of rows of chunks by first row.

    Finished chunks stay, also those of another size; the rows between them are divided anew.
    """
    start = 0
    for first in [*sorted(finished), count]:
        yield from ((row, min(row + rows_per_chunk, first)) for row in range(start, first, rows_per_chunk))
        if first in finished:
            yield first, first + finished[first]
            start = first + finished[first]


def _first_row(part: Path) -> int:
    return int(part.name.removesuffix(_PART).rpartition("-")[2])


def _run_chunk(
    chunk: tuple[int, int, Path],
    *,
    function: Callable[[Sequence[RowIn], Path], Iterable[RowOut | Drop]],
    table: Path,
    row_in: type[RowIn],
    row_out: type[RowOut],
) -> None:
    start, stop, stem = chunk
    rows = manifest.read_kept(table, row_in, start, stop)
    manifest.write_rows(_part(stem), row_out, function(rows, stem))


def _part(stem: Path) -> Path:
    return stem.with_name(stem.name + _PART)
