"""Which images go through the metrics, and how: the same reals, latents, places and directions for every snapshot.

As in the original, everything is measured at the run's full resolution R: reals as stored at R and mirrored if the
run mirrors them, generated images of an earlier stage enlarged to R by repeating pixels.

Suffixes: N image, C channel, H height, W width, L latent or label.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.params import EvaluateParams, TrainRun
from training.data.real_images import Reals
from training.generate import Snapshot
from training.metrics import inception, mode_count, short_count
from training.metrics.inception import Collected, InceptionNetwork
from training.metrics.mode_count import DigitClassifier, ModeCount
from training.metrics.msssim import measurable, msssim_of_pairs
from training.metrics.plots import Row
from training.metrics.swd import PatchSet, level_sides, sliced_wasserstein

Images = NDArray[np.uint8]
Batches = Iterator[Images]


class _Stream(IntEnum):
    """What the legacy generator is seeded for. The values are part of every result: never renumber them."""

    REAL_PATCHES = 0
    OTHER_PATCHES = 1
    DIRECTIONS = 2


@dataclass(frozen=True)
class Judges:
    """The networks that some figures are by; None for those that are not wanted."""

    inception: InceptionNetwork | None
    digits: DigitClassifier | None


class Protocol:
    """SWD and MS-SSIM of one run's snapshots, and what other networks tell of them.

    Parameters
    ----------
    params
        Counts and seed.
    run
        Its resolution, and whether reals are mirrored.
    reals
        The data set, gone through in shuffled passes. The first `swd_images` of them stand for it; where it has
        fewer, later passes repeat them (at other patches).
    scratch
        A folder for descriptors, 588 bytes x `swd_images` x `swd_patches_per_image` x levels, twice. Emptied first.
    judges
        The networks that `params.inception` and `params.modes` want.

    Attributes
    ----------
    swd_names
        The figures of the distance: each level from fine to coarse, and their mean.
    msssim_names
        The figure of the similarity; none for images under 16 pixels.
    inception_names
        The figures of the Inception network; none without one.
    modes_names
        The count of modes; none where it is not wanted.
    """

    def __init__(self, params: EvaluateParams, run: TrainRun, reals: Reals, scratch: Path, judges: Judges) -> None:
        self._params = params
        self._run = run
        self._reals = reals
        self._scratch = scratch
        self._judges = judges
        self._reals_used = max(params.swd_images, params.inception.images if params.inception else 0)
        self._total = max(self._reals_used, 2 * params.msssim_pairs, params.modes.samples if params.modes else 0)
        sides = level_sides(run.resolution)
        prefix = f"swd{short_count(params.swd_images)}"
        self.swd_names = [f"{prefix}_{side}" for side in sides] + ([f"{prefix}_mean"] if sides else [])
        self.msssim_names = [f"msssim{short_count(params.msssim_pairs)}"] if measurable(run.resolution) else []
        self.inception_names = inception.names(params.inception) if params.inception else []
        self.modes_names = mode_count.names(params.modes) if params.modes else []
        shutil.rmtree(scratch, ignore_errors=True)
        self._real_set = self._gathered(self._real_batches(0, self._reals_used), _Stream.REAL_PATCHES)

    def measure_fakes(self, snapshot: Snapshot) -> Row:
        """The figures of a snapshot."""
        return self._measure(self._fake_batches(snapshot))

    def measure_reals(self) -> Row:
        """The figures of other reals, against those that stand for the data set: what a perfect generator reaches.

        The sample is the next of the shuffled passes: it shares no image with the first one if the data set holds
        twice as many as are used.
        """
        return self._measure(self._real_batches(self._reals_used, self._total))

    def _measure(self, batches: Batches) -> Row:
        params, similarities = self._params, list[float]()
        count = ModeCount(params.modes, self._judges.digits) if params.modes and self._judges.digits else None
        seen = 0

        def watched() -> Batches:
            nonlocal seen
            for images_NCHW in batches:
                if self.msssim_names:
                    similarities.extend(msssim_of_pairs(images_NCHW[: max(2 * params.msssim_pairs - seen, 0)]))
                if count:
                    count.feed(images_NCHW)
                seen += len(images_NCHW)
                yield images_NCHW

        patches, features = self._gathered(watched(), _Stream.OTHER_PATCHES)
        figures = self._swd(patches)
        figures |= {name: round(float(np.mean(similarities)), 5) for name in self.msssim_names}
        real_features = self._real_set[1]
        if params.inception and real_features and features:
            figures |= inception.figures(params.inception, real_features, features, params.seed)
        return figures | (count.figures() if count else {})

    def _gathered(self, batches: Batches, stream: _Stream) -> tuple[PatchSet, Collected | None]:
        options, network = self._params.inception, self._judges.inception
        patches = self._patch_set(stream)
        features = Collected(options, network) if options and network else None
        seen = 0
        for images_NCHW in batches:
            for_swd = images_NCHW[: max(self._params.swd_images - seen, 0)]
            if len(for_swd):
                patches.feed(for_swd)
            if features:
                features.feed(images_NCHW)
            seen += len(images_NCHW)
        return patches.complete(), features

    def _swd(self, patches: PatchSet) -> Row:
        by_level = sliced_wasserstein(
            self._real_set[0],
            patches,
            repeats=self._params.swd_repeats,
            directions=self._params.swd_directions,
            rng=self._rng(_Stream.DIRECTIONS),
            threads=self._params.threads,
        )
        values = list(by_level.values())
        figures = [*values, float(np.mean(values))] if values else []
        return {name: round(value, 4) for name, value in zip(self.swd_names, figures, strict=True)}

    def _real_batches(self, position: int, count: int) -> Batches:
        for start in range(0, count, self._params.minibatch):
            size = min(self._params.minibatch, count - start)
            yield self._reals.minibatch(self._run.resolution, position + start, size).as_shown()

    def _fake_batches(self, snapshot: Snapshot) -> Batches:
        latents_NL = snapshot.latents(self._params.seed, self._total)
        labels_NL = self._reals.random_labels(0, self._total)
        for start in range(0, self._total, self._params.minibatch):
            part = slice(start, start + self._params.minibatch)
            labels = None if labels_NL is None else labels_NL[part]
            yield enlarged(snapshot.images(latents_NL[part], labels, self._params.minibatch), self._run.resolution)

    def _patch_set(self, stream: _Stream) -> PatchSet:
        folder = self._scratch / stream.name.lower()
        return PatchSet(folder, self._run.resolution, self._params.swd_patches_per_image, self._rng(stream))

    def _rng(self, stream: _Stream) -> np.random.RandomState:
        return np.random.RandomState([self._params.seed, stream])


def enlarged(images_NCHW: Images, resolution: int) -> Images:
    """Images enlarged to `resolution` by repeating pixels."""
    factor = resolution // images_NCHW.shape[-1]
    return images_NCHW.repeat(factor, axis=2).repeat(factor, axis=3)
