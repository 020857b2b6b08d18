"""Images of a data set, read by other processes before they are needed."""

import multiprocessing
import signal
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import TrainingError
from training.runtime.signals import die_with_parent

Images = NDArray[np.uint8]


class Readable(Protocol):
    """A data set as far as reading goes."""

    def read(self, resolution: int, indices: NDArray[np.int64]) -> Images:
        """The images at these positions, (N, C, H, W)."""
        ...


class _Question(NamedTuple):
    """What was asked for: `rows` are the bytes of the array of indices."""

    resolution: int
    place: int
    rows: bytes


class Prefetcher:
    """Reads what is asked, and what will be asked next, with `workers` processes; without any, when it is asked.

    HDF5 serves one thread of a process at a time, decompression included; hence processes. They hold at most
    `ahead` + 1 answers.
    """

    def __init__(self, dataset: Readable, *, workers: int, ahead: int) -> None:
        self._dataset = dataset
        self._workers = workers
        self._ahead = ahead
        self._pool: ProcessPoolExecutor | None = None
        self._under_way: deque[tuple[_Question, Future[Images]]] = deque()

    def read(
        self,
        resolution: int,
        place: int,
        rows_at: Callable[[int], NDArray[np.int64]],
        following: Callable[[int], int],
    ) -> Images:
        """The images `rows_at(place)` of the level of `resolution`.

        Parameters
        ----------
        place
            Where in the run this is asked.
        following
            Where, presumably, the next one after a place will be; another place, level or step is as right, only
            what was read for nothing is lost.

        Raises
        ------
        ShardError
            A shard cannot be read.
        TrainingError
            A worker was killed.
        """
        if not self._workers:
            return self._dataset.read(resolution, rows_at(place))
        try:
            return self._asked(resolution, place, rows_at, following).result()
        except BrokenProcessPool as error:
            self.close()
            raise TrainingError(
                "a process that reads images was killed, perhaps for lack of memory. Lower speed.workers or "
                "speed.minibatches_ahead of the run, and train again: it goes on from its newest snapshot."
            ) from error

    def close(self) -> None:
        """Stop the workers; reading again starts new ones."""
        self._forget()
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def _asked(
        self,
        resolution: int,
        place: int,
        rows_at: Callable[[int], NDArray[np.int64]],
        following: Callable[[int], int],
    ) -> Future[Images]:
        """What is wanted now, under way; as much of what follows is too."""
        pool, rows = self._started(), rows_at(place)
        if not self._under_way or self._under_way[0][0] != _Question(resolution, place, rows.tobytes()):
            self._forget()
            self._ask(pool, resolution, place, rows)
        _, asked = self._under_way.popleft()
        last = self._under_way[-1][0].place if self._under_way else place
        while len(self._under_way) < self._ahead:
            last = following(last)
            self._ask(pool, resolution, last, rows_at(last))
        return asked

    def _started(self) -> ProcessPoolExecutor:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                self._workers, multiprocessing.get_context("spawn"), initializer=_start, initargs=(self._dataset,)
            )
        return self._pool

    def _ask(self, pool: ProcessPoolExecutor, resolution: int, place: int, rows: NDArray[np.int64]) -> None:
        question = _Question(resolution, place, rows.tobytes())
        self._under_way.append((question, pool.submit(_read, resolution, rows)))

    def _forget(self) -> None:
        for _, asked in self._under_way:
            asked.cancel()
        self._under_way.clear()


class _Worker:
    """What a reading process keeps."""

    dataset: Readable


def _start(dataset: Readable) -> None:
    # who stops a run stops its first process, which stops this one; where it dies at once, so does this
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    die_with_parent()
    _Worker.dataset = dataset


def _read(resolution: int, rows: NDArray[np.int64]) -> Images:
    return _Worker.dataset.read(resolution, rows)
