"""Verifies files in parallel, each in a process of its own: damaged files may kill a library that reads them."""

import multiprocessing
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from pipeline import checksums
from pipeline.cores import cores
from pipeline.errors import ChecksumError, PipelineError
from pipeline.progress import Progress, progress
from pipeline.provenance import digest_of_file
from pipeline.trust.fault import Fault

CPU_SECONDS = 15.0
CPU_BYTES_PER_SECOND = 2e6
"""A check may take so many seconds of CPU, plus those for its bytes; usual are 50 MB/s."""
Check = Callable[[Path], Iterable[Fault]]
"""Finds the faults of a file or folder; errors that it raises are faults as well. Picklable."""


@dataclass(frozen=True)
class Task:
    """What one process does: compare a file with its digest, if it has one, and find its faults."""

    path: Path
    sha256: str | None = None
    check: Check | None = None
    cpu_seconds: float = CPU_SECONDS


@dataclass
class Result:
    """What was verified.

    `without_digests` are folders without `SHA256SUMS`, and files that are in none; `unlisted` are files without a
    digest where others have one. `bytes` are those of the files.
    """

    path: Path
    files: int = 0
    bytes: int = 0
    seconds: float = 0.0
    faults: list[Fault] = field(default_factory=list[Fault])
    without_digests: list[Path] = field(default_factory=list[Path])
    unlisted: list[Path] = field(default_factory=list[Path])


def tasks_of_folder(folder: Path, check_of: Callable[[Path], Check | None], result: Result) -> Iterator[Task]:
    """A task for each file of a published folder; what is missing or uncovered is added to `result`."""
    present = checksums.files_of(folder)
    digests = {}
    try:
        listed = checksums.read(folder)
    except ChecksumError as error:
        result.faults.append(Fault(folder / checksums.FILE, str(error).partition(": ")[2]))
    else:
        digests = listed or {}
        if listed is None:
            result.without_digests.append(folder)
    for name in sorted({*present, *digests}):
        path = folder / name
        if name not in present:
            result.faults.append(Fault(path, f"is missing, but {checksums.FILE} lists it"))
            continue
        check = check_of(path)
        if digests and name not in digests:
            result.unlisted.append(path)
        if name in digests or check is not None:
            yield Task(path, digests.get(name), check)


def run(tasks: Sequence[Task], result: Result, workers: int | None = None) -> None:
    """Run the tasks in `workers` processes, one for each core by default, and add what they find to `result`."""
    started = time.monotonic()
    sizes = {task: task.path.stat().st_size if task.path.is_file() else 0 for task in tasks}
    total = sum(sizes.values())
    # the largest first: so no process is left with one at the end
    waiting = sorted(tasks, key=lambda task: -sizes[task])
    with progress(total=total, unit="B", bytes_=True, desc="verify") as bar:
        found = _run_all(waiting, min(workers or cores(), len(waiting)), sizes, bar) if waiting else {}
    for task in tasks:
        result.faults += found[task]
    result.files += sum(task.path.is_file() for task in tasks)
    result.bytes += total
    result.seconds += time.monotonic() - started


def _run_all(waiting: Sequence[Task], workers: int, sizes: dict[Task, int], bar: Progress) -> dict[Task, list[Fault]]:
    found: dict[Task, list[Fault]] = {}
    while left := [task for task in waiting if task not in found]:
        suspects: list[Task] = []
        with _pool(workers) as pool:
            jobs: dict[Future[list[Fault]], Task] = {}
            with suppress(BrokenProcessPool):
                for task in left:
                    jobs[pool.submit(_execute, task)] = task
            running = {*jobs}
            while running:
                begun = [jobs[job] for job in running if job.running()]
                ended, running = wait(running, return_when=FIRST_COMPLETED)
                for job in ended:
                    try:
                        found[jobs[job]] = job.result()
                        bar.update(sizes[jobs[job]])
                    except BrokenProcessPool:
                        suspects, running = begun, set()
        # a pool that broke does not say whose task it was: those that had begun are run alone, the others again
        for task in [task for task in suspects or left[:1] if task not in found]:
            found[task] = _run_alone(task)
            bar.update(sizes[task])
    return found


def _run_alone(task: Task) -> list[Fault]:
    with _pool(1) as pool:
        try:
            return pool.submit(_execute, task).result()
        except BrokenProcessPool:
            return [Fault(task.path, "kills the process that reads it, or never ends; it is damaged")]


def _execute(task: Task) -> list[Fault]:
    faults: list[Fault] = []
    try:
        if task.sha256 is not None and digest_of_file(task.path) != task.sha256:
            faults.append(Fault(task.path, f"its SHA-256 is not the one in {checksums.FILE}"))
        if task.check is not None:
            # libraries may never end on damaged bytes: beyond this CPU time the system ends the process
            signal.signal(signal.SIGPROF, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_PROF, task.cpu_seconds + _bytes_of(task.path) / CPU_BYTES_PER_SECOND)
            faults += task.check(task.path)
    except PipelineError as error:
        faults.append(Fault(task.path, str(error).removeprefix(f"{task.path}: ")))
    except Exception as error:  # noqa: BLE001 - whatever damaged bytes make a library raise
        faults.append(Fault(task.path, f"cannot be read ({type(error).__name__}: {error})"))
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return faults


def _bytes_of(path: Path) -> int:
    return path.stat().st_size if path.is_file() else sum(each.stat().st_size for each in path.glob("*"))


def _pool(workers: int) -> ProcessPoolExecutor:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pipeline.shards.verify_set", "pipeline.trust.table"])
    return ProcessPoolExecutor(workers, mp_context=context)
