"""How far a run's samples are from the reals, at the resolution that it has reached: a quick look at every snapshot.

The sliced Wasserstein distance of `training.metrics.swd` on fewer images than the stage evaluate takes, which
measures at full resolution.
"""

import shutil
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.params import SnapshotSwd, TrainRun
from training import generate
from training.data import random_streams
from training.data.random_streams import Stream
from training.data.real_images import Reals
from training.metrics import short_count
from training.metrics.swd import PatchSet, collect, level_sides, sliced_wasserstein
from training.networks import Generator as GeneratorNetwork
from training.schedule import Step


class _Seed(IntEnum):
    """What the legacy generator is seeded for. The values are part of every result: never renumber them."""

    REALS = 0
    SAMPLES = 1
    DIRECTIONS = 2


class Distance:
    """The mean over levels of the distance, x 1,000; the reals' descriptors are kept from one snapshot to the next."""

    def __init__(self, options: SnapshotSwd, run: TrainRun, reals: Reals, scratch: Path) -> None:
        self.name = f"swd{short_count(options.images)}"
        self.options = options
        self._run = run
        self._reals = reals
        self._scratch = scratch
        self._real_set: tuple[int, PatchSet] | None = None

    def measure(self, average: GeneratorNetwork, step: Step) -> float | None:
        """Of samples at the step's level of detail; None where images are too small for a patch."""
        if not level_sides(step.resolution):
            return None
        if self._real_set is None or self._real_set[0] != step.resolution:
            self._real_set = (step.resolution, self._described(self._real_batches(step), step, _Seed.REALS))
        by_level = sliced_wasserstein(
            self._real_set[1],
            self._described(self._sample_batches(average, step), step, _Seed.SAMPLES),
            repeats=1,
            directions=self.options.directions,
            rng=self._rng(_Seed.DIRECTIONS),
            threads=self._run.threads,
        )
        return round(float(np.mean(list(by_level.values()))), 4)

    def _described(self, batches: Iterator[NDArray[np.uint8]], step: Step, seed: _Seed) -> PatchSet:
        folder = self._scratch / seed.name.lower()
        shutil.rmtree(folder, ignore_errors=True)
        return collect(batches, PatchSet(folder, step.resolution, self.options.patches_per_image, self._rng(seed)))

    def _real_batches(self, step: Step) -> Iterator[NDArray[np.uint8]]:
        for start, count in self._parts(step):
            yield self._reals.read(step.resolution, start, count).as_shown()

    def _sample_batches(self, average: GeneratorNetwork, step: Step) -> Iterator[NDArray[np.uint8]]:
        images, latent_size = self.options.images, self._run.networks.latent_size
        latents_NL = random_streams.latents(self._run.seed, Stream.SNAPSHOT_SWD, 0, (images, latent_size))
        labels_NL = self._reals.random_labels(0, images)
        for start, count in self._parts(step):
            part = slice(start, start + count)
            labels = None if labels_NL is None else labels_NL[part]
            yield generate.images(average, latents_NL[part], labels, lod=step.lod, minibatch=count)

    def _parts(self, step: Step) -> Iterator[tuple[int, int]]:
        for start in range(0, self.options.images, step.minibatch):
            yield start, min(step.minibatch, self.options.images - start)

    def _rng(self, seed: _Seed) -> np.random.RandomState:
        return np.random.RandomState([self._run.seed, seed])


@contextmanager
def measuring(run: TrainRun, reals: Reals, folder: Path) -> Generator[Distance | None]:
    """A `Distance` whose descriptors lie in `folder` meanwhile; None where `run.snapshot_swd` is."""
    scratch = folder / "scratch"
    shutil.rmtree(scratch, ignore_errors=True)  # what a killed run left
    try:
        yield None if run.snapshot_swd is None else Distance(run.snapshot_swd, run, reals, scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
