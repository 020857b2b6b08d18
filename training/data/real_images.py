"""Real images for training: one level of a data set at a time, in an order that needs no state.

N = minibatch, C = 3, H = W = resolution of the level, L = label size.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import TrainingError
from pipeline.params import TrainRun
from pipeline.shards.reader import DataSet
from training.data import random_streams
from training.data.prefetch import Prefetcher

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Minibatch:
    """Real images as stored: (N, C, H, W) uint8 RGB, which of them to mirror (N,), labels (N, L) or None."""

    images_NCHW: NDArray[np.uint8]
    mirrored_N: NDArray[np.bool_]
    labels_NL: NDArray[np.float32] | None

    def as_shown(self) -> NDArray[np.uint8]:
        """The images, mirrored where they are to be."""
        return np.where(self.mirrored_N[:, None, None, None], self.images_NCHW[..., ::-1], self.images_NCHW)


class Reals:
    """The real images of one run.

    Each pass over the data set is a new permutation without repetition. What lies at a position, and
    whether it is mirrored, follows from the seed and the number of images shown alone.

    Parameters
    ----------
    dataset
        Holds at least the levels up to `run.resolution`.
    run
        `seed`, `labels`, `mirror`; a level of up to `ram_mib` MiB is held in memory, a larger one is
        read from the shards minibatch by minibatch, ahead of need as `speed` says.

    Raises
    ------
    TrainingError
        The data set is smaller than the run's resolution, or has no labels where the run wants them.
    """

    def __init__(self, dataset: DataSet, run: TrainRun) -> None:
        if dataset.resolution < run.resolution:
            raise TrainingError(
                f"{run.dataset}: its images are {dataset.resolution}x{dataset.resolution}, the run wants "
                f"{run.resolution}x{run.resolution}. Lower the run's resolution in params.yaml, or train on another "
                f"data set."
            )
        if run.labels and dataset.labels is None:
            raise TrainingError(
                f"{run.dataset}: the data set has no labels, the run wants them. Set labels: false in the run's params."
            )
        self._dataset = dataset
        self._run = run
        self._labels_ML = dataset.labels if run.labels else None
        self._held: tuple[int, NDArray[np.uint8] | None] = (0, None)
        self._ahead = Prefetcher(dataset, workers=run.speed.workers, ahead=run.speed.minibatches_ahead)
        self._order = lru_cache(maxsize=2)(self._permutation)

    def __len__(self) -> int:
        return len(self._dataset)

    @property
    def label_size(self) -> int:
        """L, 0 without labels."""
        return 0 if self._labels_ML is None else self._labels_ML.shape[1]

    def minibatch(
        self, resolution: int, images_shown: int, count: int, samples: NDArray[np.int64] | None = None
    ) -> Minibatch:
        """Of the `count` images that follow after `images_shown`, the `samples` (or all), from one level."""
        samples = np.arange(count) if samples is None else samples
        level_MCHW = self.level(resolution)
        if level_MCHW is None:
            images_NCHW = self._ahead.read(
                resolution, images_shown, lambda place: self.rows(place, count)[samples], lambda place: place + count
            )
        else:
            images_NCHW = level_MCHW[self.rows(images_shown, count)[samples]]
        return Minibatch(images_NCHW, *self.beside(images_shown, count, samples))

    def beside(
        self, images_shown: int, count: int, samples: NDArray[np.int64]
    ) -> tuple[NDArray[np.bool_], NDArray[np.float32] | None]:
        """What goes with the images of a minibatch: which are mirrored, and their labels."""
        mirrored = (
            random_streams.mirrored(self._run.seed, images_shown, count) if self._run.mirror else np.zeros(count, bool)
        )
        labels = None if self._labels_ML is None else self._labels_ML[self.rows(images_shown, count)[samples]]
        return mirrored[samples], labels

    def random_labels(self, images_shown: int, count: int) -> NDArray[np.float32] | None:
        """Labels (N, L) of images drawn at random, for fakes; None without labels."""
        if self._labels_ML is None:
            return None
        rows = random_streams.rows(self._run.seed, random_streams.Stream.G_LABELS, images_shown, count, len(self))
        return self._labels_ML[rows]

    def read(self, resolution: int, images_shown: int, count: int) -> Minibatch:
        """As `minibatch`, for who looks once: no level is brought into memory, and nothing is read ahead."""
        rows = self.rows(images_shown, count)
        return Minibatch(self._read(resolution, rows), *self.beside(images_shown, count, np.arange(count)))

    def first(self, resolution: int, count: int) -> Minibatch:
        """The first `count` images ever shown, unmirrored: what the pictures of reals show."""
        rows = self.rows(0, count)
        labels = None if self._labels_ML is None else self._labels_ML[rows]
        return Minibatch(self._read(resolution, rows), np.zeros(count, bool), labels)

    def rows(self, images_shown: int, count: int) -> NDArray[np.int64]:
        """Which images of the data set follow after `images_shown`."""
        parts: list[NDArray[np.int64]] = []
        while count:
            epoch, start = divmod(images_shown, len(self))
            part = self._order(epoch)[start : start + count]
            parts.append(part)
            images_shown += len(part)
            count -= len(part)
        return np.concatenate(parts)

    def _permutation(self, epoch: int) -> NDArray[np.int64]:
        return random_streams.permutation(self._run.seed, epoch, len(self))

    def _read(self, resolution: int, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        held, level_MCHW = self._held
        return self._dataset.read(resolution, rows) if held != resolution or level_MCHW is None else level_MCHW[rows]

    def mib(self, resolution: int) -> float:
        """Size of a level."""
        return len(self) * 3 * resolution**2 / MIB

    def level(self, resolution: int) -> NDArray[np.uint8] | None:
        """The images of a level if they may be held in memory; the level before is let go."""
        if self._held[0] != resolution:
            self._held = (resolution, None)
            if self.mib(resolution) <= self._run.ram_mib:
                self._held = (resolution, self._whole_level(resolution))
        return self._held[1]

    def parts(self, resolution: int) -> Iterator[tuple[slice, NDArray[np.uint8]]]:
        """A level from its first image to its last, in pieces of about 64 MiB."""
        rows_at_once = max(1, 64 * MIB // (3 * resolution**2))
        for start in range(0, len(self), rows_at_once):
            stop = min(start + rows_at_once, len(self))
            yield slice(start, stop), self._dataset.read(resolution, np.arange(start, stop))

    def close(self) -> None:
        """Stop the processes that read ahead."""
        self._ahead.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _whole_level(self, resolution: int) -> NDArray[np.uint8]:
        level_MCHW = np.empty((len(self), 3, resolution, resolution), np.uint8)
        for part, images_NCHW in self.parts(resolution):
            level_MCHW[part] = images_NCHW
        return level_MCHW
