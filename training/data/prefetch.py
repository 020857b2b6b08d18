"""Reads images in other processes: those of coming minibatches, and whole levels."""

import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import TrainingError
from pipeline.shards.reader import DataSet
from training.runtime.signals import die_with_parent

Images = NDArray[np.uint8]
RowsAt = Callable[[int], NDArray[np.int64]]


class ReaderPool:
    """Processes that read images of a data set; started with the first request.

    They read ahead while this process computes, and each decompresses in one thread.
    """

    def __init__(self, dataset: DataSet, workers: int) -> None:
        self.workers = workers
        self._dataset = dataset
        self._pool: ProcessPoolExecutor | None = None

    def submit(self, resolution: int, rows: NDArray[np.int64]) -> Future[Images]:
        """Have images of a level read; `result` gets them."""
        with self._naming_a_killed_worker():
            if self._pool is None:
                self._pool = ProcessPoolExecutor(
                    self.workers, multiprocessing.get_context("spawn"), initializer=_start, initargs=(self._dataset,)
                )
            return self._pool.submit(_read, resolution, rows)

    def result(self, future: Future[Images]) -> Images:
        """What was read.

        Raises
        ------
        ShardError
            A shard cannot be read.
        TrainingError
            A worker was killed.
        """
        with self._naming_a_killed_worker():
            return future.result()

    def close(self) -> None:
        """Stop the workers; the next request starts new ones."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    @contextmanager
    def _naming_a_killed_worker(self) -> Generator[None]:
        try:
            yield
        except BrokenProcessPool as error:
            self.close()
            raise TrainingError(
                "a process that reads images was killed, perhaps for lack of memory. Lower speed.workers or "
                "speed.minibatches_ahead of the run, and train again: training resumes from the newest checkpoint."
            ) from error


class Prefetcher:
    """Reads minibatches with `workers` processes, up to `ahead` of them before they are needed.

    Without workers each is read when it is needed. They hold at most `ahead` + 1 results.
    """

    def __init__(self, dataset: DataSet, *, workers: int, ahead: int) -> None:
        self._dataset = dataset
        self.pool = ReaderPool(dataset, workers)
        self._ahead = ahead
        self._pending: deque[tuple[tuple[int, int, bytes], Future[Images]]] = deque()

    def read(self, resolution: int, position: int, stride: int, rows_at: RowsAt) -> Images:
        """The images `rows_at(position)` of the level of `resolution`, (N, C, H, W).

        The next reads are expected at `position + stride` and so on. Another one gives the right images too; only what
        was prefetched is lost.

        Raises
        ------
        ShardError
            A shard cannot be read.
        TrainingError
            A worker was killed.
        """
        rows = rows_at(position)
        if not self.pool.workers:
            return self._dataset.read(resolution, rows)
        if self._pending and self._pending[0][0] != (resolution, position, rows.tobytes()):
            self._cancel()
        for coming in range(position + len(self._pending) * stride, position + self._ahead * stride + 1, stride):
            rows = rows_at(coming)
            request = resolution, coming, rows.tobytes()
            self._pending.append((request, self.pool.submit(resolution, rows)))
        try:
            return self.pool.result(self._pending.popleft()[1])
        except TrainingError:
            self._cancel()
            raise

    def close(self) -> None:
        """Stop the workers; the next read starts new ones."""
        self._cancel()
        self.pool.close()

    def _cancel(self) -> None:
        for _, result in self._pending:
            result.cancel()
        self._pending.clear()


class _Worker:
    """The data set of a worker process."""

    dataset: DataSet


def _start(dataset: DataSet) -> None:
    # signals that stop a run are for its main process, which stops its workers; they end with it in any case
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    die_with_parent()
    _Worker.dataset = dataset


def _read(resolution: int, rows: NDArray[np.int64]) -> Images:
    return _Worker.dataset.read(resolution, rows)
