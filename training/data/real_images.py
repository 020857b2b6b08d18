"""Real images for training: one level of a data set at a time, in an order that is a function of the images shown.

N = minibatch, M = images of the data set, C = 3, H = W = resolution of the level, L = label size.
"""

import hashlib
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.errors import TrainingError
from pipeline.params import TrainRun
from pipeline.shards.reader import DataSet
from training.data import random_streams
from training.data.prefetch import Prefetcher, ReaderPool
from training.runtime import signals
from training.runtime.device import to_device

MIB = 1 << 20
READ_MIB = 64
"""A level is read in pieces of about this size by this process."""
PIECE_MIB = 8
"""And of this size by other processes, which send them here."""
PIECES_AT_ONCE = 4
"""The most pieces of the next level that are taken between two steps."""


@dataclass(frozen=True, slots=True)
class Minibatch:
    """Real images as stored: (N, C, H, W) uint8 RGB, which of them to mirror (N,), labels (N, L) or None."""

    images_NCHW: NDArray[np.uint8]
    mirrored_N: NDArray[np.bool_]
    labels_NL: NDArray[np.float32] | None

    def as_shown(self) -> NDArray[np.uint8]:
        """The images, mirrored where `mirrored_N` says so."""
        return np.where(self.mirrored_N[:, None, None, None], self.images_NCHW[..., ::-1], self.images_NCHW)


class _Loading:
    """A level that is being read, piece by piece, with the processes of `pool` or without any."""

    def __init__(self, dataset: DataSet, pool: ReaderPool, resolution: int, device: torch.device) -> None:
        self.resolution = resolution
        total = len(dataset)
        self._level_MCHW = torch.empty(total, 3, resolution, resolution, dtype=torch.uint8, device=device)
        count = max(1, int((PIECE_MIB if pool.workers else READ_MIB) * MIB) // (3 * resolution**2))
        self._pieces = iter([np.arange(start, min(start + count, total)) for start in range(0, total, count)])
        self._dataset = dataset
        self._pool = pool
        self._device = device
        self._pending: deque[tuple[NDArray[np.int64], Future[NDArray[np.uint8]]]] = deque()

    def advance(self) -> None:
        """Take some pieces that are read, without waiting for others."""
        for _ in range(PIECES_AT_ONCE):
            self._request()
            if not self._pending or not self._pending[0][1].done():
                return
            self._take()

    def finish(self) -> Tensor | None:
        """The whole level (M, C, H, W) uint8, when it is read; None if the run was requested to stop before."""
        while not signals.requested():
            self._request()
            if self._pending:
                self._take()
            elif (rows := next(self._pieces, None)) is not None:
                self._store(rows, self._dataset.read(self.resolution, rows))
            else:
                return self._level_MCHW
        return None

    def _request(self) -> None:
        while len(self._pending) < 2 * self._pool.workers and (rows := next(self._pieces, None)) is not None:
            self._pending.append((rows, self._pool.submit(self.resolution, rows)))

    def _take(self) -> None:
        rows, future = self._pending.popleft()
        self._store(rows, self._pool.result(future))

    def _store(self, rows: NDArray[np.int64], images_NCHW: NDArray[np.uint8]) -> None:
        self._level_MCHW[rows[0] : rows[-1] + 1] = to_device(images_NCHW, self._device)


class LevelCache:
    """Keeps one level of a data set on `device`, if it is not larger than `limit_mib`; it may read the next one ahead.

    Levels are read by the processes of `pool`; without any, by this process when they are needed.
    """

    def __init__(self, dataset: DataSet, device: torch.device, limit_mib: float, pool: ReaderPool) -> None:
        self._dataset = dataset
        self._device = device
        self._limit_mib = limit_mib
        self._pool = pool
        self._resolution = 0
        self._level_MCHW: Tensor | None = None
        self._next: _Loading | None = None

    def holds(self, resolution: int) -> bool:
        """Whether a level is small enough."""
        return len(self._dataset) * 3 * resolution**2 <= self._limit_mib * MIB

    def load(self, resolution: int) -> Tensor | None:
        """The whole level (M, C, H, W) uint8, None where it is too large; another level in the cache is dropped.

        None too if the run was requested to stop before all was read, which takes minutes for a large level: the last
        step reads its own images.
        """
        if self._resolution != resolution:
            loading, self._next = self._next, None
            self._resolution, self._level_MCHW = resolution, None  # freed before the new level is read
            if self.holds(resolution):
                if loading is None or loading.resolution != resolution:
                    loading = self._loading(resolution)
                self._level_MCHW = loading.finish()
        return self._level_MCHW

    def preload(self, resolution: int) -> None:
        """Read a part of another level, in addition to the one in the cache; does not wait."""
        if self._pool.workers and self.holds(resolution) and resolution != self._resolution:
            if self._next is None or self._next.resolution != resolution:
                self._next = self._loading(resolution)
            self._next.advance()

    def cached(self, resolution: int) -> Tensor | None:
        """The level if it is in the cache."""
        return self._level_MCHW if self._resolution == resolution else None

    def _loading(self, resolution: int) -> _Loading:
        return _Loading(self._dataset, self._pool, resolution, self._device)


class Reals:
    """The real images of one run.

    Each epoch is a new permutation of the data set. Which image stands at a position, and whether it is mirrored, is a
    function of the seed and the number of images shown.

    Parameters
    ----------
    dataset
        Holds at least the levels up to `run.resolution`.
    run
        `seed`, `labels`, `mirror`; a level of up to `ram_mib` MiB is kept in memory, a larger one is read from the
        shards minibatch by minibatch and prefetched as `speed` says.

    Raises
    ------
    TrainingError
        The data set has a lower resolution than the run, or no labels where the run uses labels.
    """

    def __init__(self, dataset: DataSet, run: TrainRun) -> None:
        if dataset.resolution < run.resolution:
            raise TrainingError(
                f"{run.dataset}: its images are {dataset.resolution}x{dataset.resolution}, the run needs "
                f"{run.resolution}x{run.resolution}. Lower the run's resolution in params.yaml, or train on another "
                f"data set."
            )
        if run.labels and dataset.labels is None:
            raise TrainingError(
                f"{run.dataset}: the data set has no labels, the run needs them. Set labels: false in the run's params."
            )
        self.dataset = dataset
        self._run = run
        self._total = len(dataset)
        self._labels_ML = dataset.labels if run.labels else None
        self._prefetcher = Prefetcher(dataset, workers=run.speed.workers, ahead=run.speed.minibatches_ahead)
        self.pool = self._prefetcher.pool
        self._ram = LevelCache(dataset, torch.device("cpu"), run.ram_mib, self.pool)
        self._order = lru_cache(maxsize=2)(partial(random_streams.permutation, run.seed, total=self._total))

    def __len__(self) -> int:
        return self._total

    @property
    def label_size(self) -> int:
        """L, 0 without labels."""
        return 0 if self._labels_ML is None else self._labels_ML.shape[1]

    def digest(self) -> str:
        """SHA-256 over the MD5s of the images in order, and the labels if they are used: what a run learns from."""
        sha256 = hashlib.sha256("\n".join(self.dataset.md5s).encode())
        if self._labels_ML is not None:
            sha256.update(self._labels_ML.astype("<f4").tobytes())
        return sha256.hexdigest()

    def minibatch(
        self, resolution: int, images_shown: int, count: int, samples: NDArray[np.int64] | None = None
    ) -> Minibatch:
        """Of the `count` images that start at `images_shown`, the `samples` (default: all), from one level."""
        samples = np.arange(count) if samples is None else samples
        level_MCHW = self._ram.load(resolution)
        if level_MCHW is None:
            images_NCHW = self._prefetcher.read(
                resolution, images_shown, count, lambda position: self.rows(position, count)[samples]
            )
        else:
            images_NCHW = level_MCHW.numpy()[self.rows(images_shown, count)[samples]]
        return Minibatch(images_NCHW, *self.mirrored_and_labels(images_shown, count, samples))

    def mirrored_and_labels(
        self, images_shown: int, count: int, samples: NDArray[np.int64]
    ) -> tuple[NDArray[np.bool_], NDArray[np.float32] | None]:
        """Which images of a minibatch are mirrored, and their labels."""
        mirrored = (
            random_streams.mirrored(self._run.seed, images_shown, count) if self._run.mirror else np.zeros(count, bool)
        )
        labels = None if self._labels_ML is None else self._labels_ML[self.rows(images_shown, count)[samples]]
        return mirrored[samples], labels

    def random_labels(self, images_shown: int, count: int) -> NDArray[np.float32] | None:
        """Labels (N, L) of images drawn at random, for fakes; None without labels."""
        if self._labels_ML is None:
            return None
        rows = random_streams.rows(self._run.seed, random_streams.Stream.G_LABELS, images_shown, count, self._total)
        return self._labels_ML[rows]

    def preload(self, resolution: int) -> None:
        """Read a part of the level that is needed next, if it will be kept in memory; does not wait."""
        self._ram.preload(resolution)

    def read(self, resolution: int, images_shown: int, count: int) -> Minibatch:
        """As `minibatch`, for a single use: the level is not loaded into memory, and nothing is prefetched."""
        rows, level_MCHW = self.rows(images_shown, count), self._ram.cached(resolution)
        images_NCHW = self.dataset.read(resolution, rows) if level_MCHW is None else level_MCHW.numpy()[rows]
        return Minibatch(images_NCHW, *self.mirrored_and_labels(images_shown, count, np.arange(count)))

    def rows(self, images_shown: int, count: int) -> NDArray[np.int64]:
        """The rows in the data set of the `count` images that start at `images_shown`."""
        parts: list[NDArray[np.int64]] = []
        while count:
            epoch, start = divmod(images_shown, self._total)
            part = self._order(epoch)[start : start + count]
            parts.append(part)
            images_shown += len(part)
            count -= len(part)
        return np.concatenate(parts)

    def level_mib(self, resolution: int) -> float:
        """Size of a level in MiB."""
        return self._total * 3 * resolution**2 / MIB

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the processes that prefetch."""
        self._prefetcher.close()
