"""Work over many images with dask.distributed: tasks exchange file names, never pixels.

A table's kept rows are cut into chunks. One task owns one chunk: it reads its rows, writes its
files beside the part table, and the part table last; a part that exists is a chunk that is done.
So a killed run resumes with the chunks that are missing, and the joined result does not depend on
the number of workers nor on the order in which they finish.
"""

import logging
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
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


_PART = ".part.parquet"
_WORKER_ENVIRONMENT = {
    "OMP_NUM_THREADS": 1,
    "MKL_NUM_THREADS": 1,
    "OPENBLAS_NUM_THREADS": 1,
    # Dask's own value makes malloc hand every image back to the system, which then zeroes its pages anew.
    "MALLOC_TRIM_THRESHOLD_": 256 << 20,
    "MALLOC_MMAP_THRESHOLD_": 32 << 20,
    # A task's error reaches the client; what is left is the farewell of a worker whose scheduler went first.
    "DASK_LOGGING__DISTRIBUTED": "critical",
}


@contextmanager
def connect(params: ClusterParams) -> Generator[Client]:
    """A client of the scheduler at `params.scheduler`, or of a local cluster of `params.workers` processes.

    Each local worker runs one thread and may hold `memory_per_worker_mib` MiB before dask pauses it.
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
        client.run(_single_thread)
        yield client


def map_rows(
    client: Client,
    function: Callable[[Sequence[RowIn], Path], Iterable[RowOut | Drop]],
    *,
    stage: str,
    table: Path,
    row_in: type[RowIn],
    row_out: type[RowOut],
    rows_per_chunk: int,
    work: Path,
) -> Accounting:
    """Apply `function` to the kept rows of `table`, chunk by chunk; write them to `work/<stage>.parquet`.

    Parameters
    ----------
    function
        Called in a worker with the rows of one chunk and the chunk's file stem (a path without
        suffix); files that it writes must start with that stem. Picklable: a module-level function, or a
        `functools.partial` of one. Yields one kept or dropped row for each row it is given.
    stage
        Names the files: chunk 3 of `crop` has the stem `work/crop-00003`.
    table, row_in
        The table to read and the type of its rows.
    row_out
        The type of the rows that `function` keeps.
    rows_per_chunk
        Kept rows of one task.
    work
        The stage's work folder; parts that a killed run left there are used.

    Returns
    -------
    Accounting
        Of the joined table: in = kept + dropped.
    """
    joined = work / f"{stage}.parquet"
    if joined.exists():
        _remove_parts(work)
        return manifest.account(joined)
    count = manifest.account(table).kept
    chunks = [
        _Chunk(table, start, min(start + rows_per_chunk, count), work / f"{stage}-{number:05d}")
        for number, start in enumerate(range(0, count, rows_per_chunk))
    ]
    run_all(client, _OneChunk(function, row_in, row_out), [chunk for chunk in chunks if not chunk.part.exists()])
    account = manifest.join_parts(joined, row_out, [chunk.part for chunk in chunks])
    _remove_parts(work)
    return account


Task = TypeVar("Task")


def run_all(client: Client, function: Callable[[Task], None], tasks: Sequence[Task]) -> None:
    """Run `function` on every task in the cluster; show progress; raise the first error."""
    futures = client.map(function, tasks, pure=False)
    try:
        for future in tqdm(as_completed(futures), total=len(futures), unit="chunk", leave=False, disable=None):
            future.result()
    finally:
        client.cancel(futures)


def outcomes(rows: Iterable[RowIn], function: Callable[[RowIn], RowOut]) -> Iterator[RowOut | Drop]:
    """Apply `function` to each row; a `RejectedInputError` becomes a `Drop` and the others go on."""
    for row in rows:
        try:
            yield function(row)
        except RejectedInputError as rejected:
            yield Drop.of(row, rejected)


def _remove_parts(work: Path) -> None:
    for part in work.glob(f"*{_PART}"):
        part.unlink()


@dataclass(frozen=True)
class _Chunk:
    table: Path
    start: int
    stop: int
    stem: Path

    @property
    def part(self) -> Path:
        return self.stem.with_name(self.stem.name + _PART)


@dataclass(frozen=True)
class _OneChunk:
    function: Callable[..., Iterable[Photograph | Drop]]
    row_in: type[Photograph]
    row_out: type[Photograph]

    def __call__(self, chunk: _Chunk) -> None:
        rows = manifest.read_kept(chunk.table, self.row_in, chunk.start, chunk.stop)
        manifest.write_rows(chunk.part, self.row_out, self.function(rows, chunk.stem))


def _single_thread() -> None:
    cv2.setNumThreads(1)
