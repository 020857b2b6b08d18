"""Real images for training: one level of a data set at a time, in an order that needs no state.

N = minibatch, C = 3, H = W = resolution of the level, L = label size.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import TrainingError
from pipeline.params import TrainRun
from pipeline.shards.reader import DataSet
from training import draws

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Minibatch:
    """Real images as stored: (N, C, H, W) uint8 RGB, which of them to mirror (N,), labels (N, L) or None."""

    images_NCHW: NDArray[np.uint8]
    mirrored_N: NDArray[np.bool_]
    labels_NL: NDArray[np.float32] | None


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
        read from the shards minibatch by minibatch.

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
        self._order = lru_cache(maxsize=2)(self._permutation)

    def __len__(self) -> int:
        return len(self._dataset)

    @property
    def label_size(self) -> int:
        """L, 0 without labels."""
        return 0 if self._labels_ML is None else self._labels_ML.shape[1]

    def minibatch(self, resolution: int, images_shown: int, count: int) -> Minibatch:
        """The `count` images that follow after `images_shown`, from the level of `resolution`."""
        rows = self._rows(images_shown, count)
        mirrored = draws.mirrored(self._run.seed, images_shown, count) if self._run.mirror else np.zeros(count, bool)
        labels = None if self._labels_ML is None else self._labels_ML[rows]
        return Minibatch(self._read(resolution, rows), mirrored, labels)

    def random_labels(self, images_shown: int, count: int) -> NDArray[np.float32] | None:
        """Labels (N, L) of images drawn at random, for fakes; None without labels."""
        if self._labels_ML is None:
            return None
        rows = draws.rows(self._run.seed, draws.Stream.G_LABELS, images_shown, count, len(self))
        return self._labels_ML[rows]

    def first(self, resolution: int, count: int) -> Minibatch:
        """The first `count` images ever shown, unmirrored: what the pictures of reals show."""
        rows = self._rows(0, count)
        labels = None if self._labels_ML is None else self._labels_ML[rows]
        return Minibatch(self._read(resolution, rows), np.zeros(count, bool), labels)

    def _rows(self, images_shown: int, count: int) -> NDArray[np.int64]:
        parts: list[NDArray[np.int64]] = []
        while count:
            epoch, start = divmod(images_shown, len(self))
            part = self._order(epoch)[start : start + count]
            parts.append(part)
            images_shown += len(part)
            count -= len(part)
        return np.concatenate(parts)

    def _permutation(self, epoch: int) -> NDArray[np.int64]:
        return draws.permutation(self._run.seed, epoch, len(self))

    def _read(self, resolution: int, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        if self._held[0] != resolution:
            self._held = (resolution, None)  # the old level is let go before the new one comes
            if len(self) * 3 * resolution**2 <= self._run.ram_mib * MIB:
                self._held = (resolution, self._whole_level(resolution))
        level_MCHW = self._held[1]
        return self._dataset.read(resolution, rows) if level_MCHW is None else level_MCHW[rows]

    def _whole_level(self, resolution: int) -> NDArray[np.uint8]:
        level_MCHW = np.empty((len(self), 3, resolution, resolution), np.uint8)
        rows_at_once = max(1, 64 * MIB // (3 * resolution**2))
        for start in range(0, len(self), rows_at_once):
            rows = np.arange(start, min(start + rows_at_once, len(self)))
            level_MCHW[rows[0] : rows[-1] + 1] = self._dataset.read(resolution, rows)
        return level_MCHW
