"""The sliced Wasserstein distance of every snapshot during training, at the current resolution.

Fewer images than in stage evaluate, which measures at full resolution.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pipeline.params import SnapshotSwd, TrainRun
from training import generate
from training.data import random_streams
from training.data.random_streams import Stream
from training.data.real_images import Reals
from training.metrics import Images, short_count
from training.metrics.compute import Compute
from training.metrics.swd import PatchSet, SwdSeed, collect, level_sides, sliced_wasserstein
from training.networks import Generator as GeneratorNetwork
from training.schedule import Step


class SnapshotMetric:
    """Mean distance over all levels; the reals' patches are kept as long as the resolution stays."""

    def __init__(self, options: SnapshotSwd, run: TrainRun, reals: Reals, scratch: Path, compute: Compute) -> None:
        self.name = f"swd{short_count(options.images)}"
        self._options = options
        self._run = run
        self._reals = reals
        self._scratch = scratch
        self._compute = compute
        self._real_patches: tuple[int, PatchSet] | None = None

    def measure(self, average: GeneratorNetwork, step: Step) -> float | None:
        """The distance of samples at the step's level of detail; None where images are too small for a patch."""
        if not level_sides(step.resolution):
            return None
        if self._real_patches is None or self._real_patches[0] != step.resolution:
            self._real_patches = (step.resolution, self._collect(self._real_batches(step), step, SwdSeed.REALS))
        levels = sliced_wasserstein(
            self._real_patches[1],
            self._collect(self._fake_batches(average, step), step, SwdSeed.FAKES),
            repeats=1,
            directions=self._options.directions,
            rng=SwdSeed.DIRECTIONS.rng(self._run.seed),
            compute=self._compute,
        )
        return round(float(np.mean(list(levels.values()))), 4)

    def _collect(self, batches: Iterator[Images], step: Step, draws: SwdSeed) -> PatchSet:
        folder, rng = self._scratch / draws.name.lower(), draws.rng(self._run.seed)
        return collect(batches, PatchSet(folder, step.resolution, self._options.patches_per_image, rng, self._compute))

    def _real_batches(self, step: Step) -> Iterator[Images]:
        for start in range(0, self._options.images, step.minibatch):
            count = min(step.minibatch, self._options.images - start)
            yield self._reals.read(step.resolution, start, count).as_shown()

    def _fake_batches(self, average: GeneratorNetwork, step: Step) -> Iterator[Images]:
        shape = (self._options.images, self._run.networks.latent_size)
        latents_NL = random_streams.latents(self._run.seed, Stream.SNAPSHOT_SWD, 0, shape)
        labels_NL = self._reals.random_labels(0, self._options.images)
        for start in range(0, self._options.images, step.minibatch):
            part = slice(start, start + step.minibatch)
            labels = None if labels_NL is None else labels_NL[part]
            yield generate.images(average, latents_NL[part], labels, lod=step.lod, minibatch=step.minibatch)
