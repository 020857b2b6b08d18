"""Work in chunks of rows on a dask cluster: each chunk's files appear together, and only once.

An execution of a chunk writes to a folder of its own, which is renamed to the chunk's name at the end. So a killed run
resumes with the missing chunks, and where dask runs a chunk twice (a lost heartbeat, a client that was killed), the
files and the table of one execution are published, never a mixture.
"""

import math
import queue
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from dask.distributed import Client, Future, KilledWorker

from pipeline import atomic, manifest
from pipeline.errors import ClusterError, DropReason, RejectedInputError
from pipeline.progress import Progress, progress
from pipeline.task import Chunk, Task
from pipeline.task import execute as execute_task
from pipeline.workers import check_workers, open_call, write_call

TABLE = "rows.parquet"
"""The name of a chunk's table in its folder."""

DEATHS = 2
"""After so many deaths of workers on one task, the row that kills them is searched."""

MORE_MEMORY = "give them more (cluster.memory_per_worker_mib, or dask worker --memory-limit)"
MAX_KILLERS = 10
"""More rows of a run that kill workers are taken for a fault of the workers."""

TASKS_PER_WORKER = 4
"""So many tasks of each worker are known to the scheduler, which keeps each in memory with all of its arguments."""
SECONDS_BETWEEN_COUNTS = 5
"""After this, it is asked again how many workers there are."""

SECONDS_WITHOUT_WORKERS = 120
SECONDS_UNTIL_VISIBLE = 120  # NFS clients may list a folder that is a minute old


ChunkFunction = Callable[[Chunk, Path], None]
"""Writes all files of a chunk, and its table `TABLE`, to a folder; called in a worker, picklable."""


def killed_worker() -> RejectedInputError:
    """Why a row of `Chunk.killers` is dropped."""
    return RejectedInputError(
        DropReason.KILLED_WORKER, f"each of {DEATHS} workers died with it: out of memory, or a crash in a library"
    )


def folder_of(table: Path) -> Path:
    """The folder of the chunks of the future `table`."""
    return table.absolute().with_name(f"{table.stem}.chunks")


def finished_chunks(folder: Path) -> list[str]:
    """The names of the chunks that are finished in `folder`, in order."""
    if not folder.exists():
        return []
    return sorted(path.name for path in folder.iterdir() if path.suffix != atomic.PARTIAL_SUFFIX)


def run_chunks(
    client: Client,
    function: ChunkFunction,
    chunks: Sequence[Chunk],
    folder: Path,
    finished: Callable[[Path], None] = lambda table: None,
) -> list[Path]:
    """Run `function` on each chunk whose files are not yet in `folder`; return the tables of all of them.

    `finished` is called with the table of each chunk that is there or ends; what it raises ends the run.

    Raises
    ------
    ClusterError
        A worker is unsuitable, none is left, or a chunk kills them though none of its rows does.
    Exception
        The first error of a chunk.
    """
    folder.mkdir(parents=True, exist_ok=True)
    atomic.sweep(folder)
    for old in folder.parent.glob("*.part.parquet"):  # versions before 0.2 kept the tables of chunks there
        old.unlink()
    done = {*finished_chunks(folder)}
    missing = [chunk for chunk in chunks if chunk.name not in done]
    tables = [folder / chunk.name / TABLE for chunk in chunks]
    dropped = 0
    for chunk, table in zip(chunks, tables, strict=True):
        if chunk.name in done:
            finished(table)
            dropped += _dropped(table)
    if missing:
        call = write_call(folder, function, local=client.cluster is not None)
        check_workers(client, call)
        rows_done = sum(chunk.stop - chunk.start for chunk in chunks if chunk.name in done)
        _Run(client, call, finished).run(missing, rows_done, dropped)
    return tables


def collect(folder: Path) -> None:
    """Move the files of all chunks, without their tables, to the folder above, and remove `folder` if it exists."""
    if not folder.exists():
        return
    atomic.sweep(folder)
    for path in sorted(folder.glob("*/*")):
        if path.name != TABLE:
            path.replace(folder.parent / path.name)
    atomic.remove_folder(folder)


class _WorkersDiedError(Exception):
    """The executions of this task before were killed."""


def execute(task: Task, call: Path) -> None:
    """Do a task in this worker, if it is suitable."""
    folder, function = call.parent, open_call(call)
    if not task.probe and (folder / task.chunk.name).exists():
        return  # dask repeats a task that ended if its worker dies before the client knows it
    # a folder of an earlier execution is still there if its worker died, or lost its scheduler and is still running
    if len([*folder.glob(f"{task.prefix}.*{atomic.PARTIAL_SUFFIX}")]) >= _deaths(task):
        raise _WorkersDiedError
    write_chunk(task.chunk, function, folder, task.prefix, probe=task.probe)


def _deaths(task: Task) -> int:
    """After how many deaths of its worker a task is not tried again."""
    return 1 if task.probe and task.chunk.stop - task.chunk.start > 1 else DEATHS


def write_chunk(chunk: Chunk, function: ChunkFunction, folder: Path, prefix: str, *, probe: bool = False) -> None:
    """Execute a chunk in a folder of its own, named `prefix`...; publish it, unless `probe`, as `folder`/`name`.

    Where several executions of a chunk end, the first one is published; all others leave nothing.
    """
    with atomic.writing_folder(folder / chunk.name, prefix, keep=not probe) as own:
        function(chunk, own)


class _Run:
    """One call of `run_chunks`."""

    def __init__(self, client: Client, call: Path, finished: Callable[[Path], None]) -> None:
        self._client = client
        self._finished = finished
        self._address = client.scheduler_info()["address"]
        self._call = call
        self._waiting = deque[Chunk]()
        self._jobs: dict[Future, Task] = {}
        self._threads, self._counted = 0, -math.inf
        self._ended = queue.SimpleQueue[Future]()
        self._searches: dict[str, _Search] = {}
        self._dropped = 0

    def run(self, chunks: Sequence[Chunk], rows_done: int, dropped: int) -> None:
        self._dropped = dropped
        self._waiting.extend(chunks)
        total = rows_done + sum(chunk.stop - chunk.start for chunk in chunks)
        what = self._call.parent.stem
        try:
            with progress(total=total, initial=rows_done, unit="row", desc=what) as bar:
                bar.set_dropped(dropped)
                self._submit_some()
                while self._jobs:
                    future = self._next(bar)
                    bar.update(self._end(self._jobs.pop(future), future, bar))
                    self._submit_some()
        finally:
            if self._client.status == "running":
                self._client.cancel([*self._jobs])

    def _submit_some(self) -> None:
        if time.monotonic() - self._counted > SECONDS_BETWEEN_COUNTS:
            threads: Any = self._client.nthreads()
            self._threads, self._counted = sum(threads.values()), time.monotonic()
        while self._waiting and len(self._jobs) < TASKS_PER_WORKER * max(self._threads, 1):
            self._submit(Task(self._waiting.popleft()))

    def _submit(self, task: Task) -> None:
        future = self._client.submit(execute_task, task, self._call, pure=False)
        self._jobs[future] = task
        future.add_done_callback(self._ended.put)

    def _next(self, bar: Progress) -> Future:
        """Wait for the next task that ends, as long as there are workers."""
        alone_since = None
        while True:
            try:
                return self._ended.get(timeout=5)
            except queue.Empty:
                bar.refresh()
                if self._client.nthreads():
                    alone_since = None
                elif alone_since is None:
                    alone_since = time.monotonic()
                elif time.monotonic() - alone_since > SECONDS_WITHOUT_WORKERS:
                    raise ClusterError(
                        f"no worker is left since {SECONDS_WITHOUT_WORKERS} seconds, and "
                        f"{len(self._jobs) + len(self._waiting)} chunks are missing. Start workers, and run again: "
                        f"finished chunks are kept."
                    ) from None

    def _end(self, task: Task, future: Future, bar: Progress) -> int:
        """Note the end of a task; return the number of rows that are finished by it."""
        if future.cancelled():
            raise ClusterError(
                f"the scheduler {self._address} has ended or was cut off. Start it and its workers again, then run "
                f"again: finished chunks are kept."
            )
        error = future.exception()
        died = isinstance(error, _WorkersDiedError | KilledWorker)
        if error is not None and not died:
            future.result()
        if task.probe:
            self._searches[task.chunk.name].end_probe(task.chunk, died)
            self._go_on(task.chunk.name)
            return 0
        if not died:
            folder = self._call.parent
            _wait_until_visible(folder, task.chunk.name)
            table = folder / task.chunk.name / TABLE
            self._finished(table)
            self._dropped += _dropped(table)
            bar.set_dropped(self._dropped)
            return task.chunk.stop - task.chunk.start
        search = self._searches.setdefault(task.chunk.name, _Search(task.chunk))
        search.begin()
        self._go_on(task.chunk.name)
        return 0

    def _go_on(self, name: str) -> None:
        search = self._searches[name]
        for probe in search.next_probes():
            self._submit(Task(probe, probe=True))
        if search.ended:
            self._check_killers()
            self._submit(Task(search.result()))

    def _check_killers(self) -> None:
        killers = sum(len(search.result().killers) for search in self._searches.values())
        if killers > MAX_KILLERS:
            raise ClusterError(
                f"{killers} rows have killed their workers, in {', '.join(self._searches)}: so many point to the "
                f"workers. Look at their logs; {MORE_MEMORY}. Finished chunks are kept."
            )


class _Search:
    """The bisection of a chunk that killed its workers."""

    def __init__(self, chunk: Chunk) -> None:
        self._chunk = chunk
        self._killers = set[int]()
        self._begun_with: int | None = None
        self._waiting: list[Chunk] = []
        self._running = 0

    def begin(self) -> None:
        """The chunk, without the killers found so far, killed its workers."""
        rows = f"rows {self._chunk.start} to {self._chunk.stop - 1} of its input"
        if len(self._killers) in (self._begun_with, self._chunk.stop - self._chunk.start):
            raise ClusterError(
                f"{self._chunk.name} ({rows}) killed {2 * DEATHS} workers, though none of its rows alone does. "
                f"If the memory is too small, {MORE_MEMORY}. Finished chunks are kept."
            )
        print(
            f"{self._chunk.name}: {DEATHS} workers died with it ({rows}); looking for the row that kills them",
            file=sys.stderr,
        )
        self._begun_with = len(self._killers)
        self._split(self._chunk)

    def end_probe(self, probe: Chunk, died: bool) -> None:
        """A part was run."""
        self._running -= 1
        if died:
            self._split(probe)

    def next_probes(self) -> list[Chunk]:
        """The parts to run now."""
        probes, self._waiting = self._waiting, []
        self._running += len(probes)
        return probes

    @property
    def ended(self) -> bool:
        """Whether all parts were run."""
        return self._running == 0

    def result(self) -> Chunk:
        """The chunk without the rows that kill workers."""
        return Chunk(self._chunk.name, self._chunk.start, self._chunk.stop, frozenset(self._killers))

    def _split(self, part: Chunk) -> None:
        rows = [row for row in range(part.start, part.stop) if row not in self._killers]
        if len(rows) == 1:
            self._killers.add(rows[0])
            return
        middle, killers = rows[len(rows) // 2], frozenset(self._killers)
        self._waiting += [
            Chunk(part.name, part.start, middle, killers),
            Chunk(part.name, middle, part.stop, killers),
        ]


def _dropped(table: Path) -> int:
    account = manifest.account(table)
    return account.given - account.kept


def _wait_until_visible(folder: Path, name: str) -> None:
    """Wait for a chunk of another host: a network file system may show it late."""
    deadline = time.monotonic() + SECONDS_UNTIL_VISIBLE
    # that it does not exist may be an old answer; and to list the folder takes longer, the more chunks are in it
    while not (folder / name).exists() and name not in {path.name for path in folder.iterdir()}:
        if time.monotonic() > deadline:
            raise ClusterError(
                f"{folder}: {name} was written by a worker but is not visible here after {SECONDS_UNTIL_VISIBLE} "
                f"seconds. Check that all hosts have the same file system at this path."
            )
        time.sleep(1)
