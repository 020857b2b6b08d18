"""The metrics of stage evaluate: the same reals, latents, patch positions and directions for every snapshot.

As in the original, everything is measured at the run's full resolution R: reals as stored at R, and mirrored if the
run mirrors them; generated images of an earlier stage enlarged to R by repeating pixels.

Suffixes: N image, C channel, H height, W width, L latent or label.
"""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.params import EvaluateParams, TrainRun
from training.data.real_images import Reals
from training.generate import Snapshot
from training.metrics import FirstImages, Images, inception, mode_count, short_count
from training.metrics.inception import InceptionFeatures, InceptionNetwork
from training.metrics.mode_count import DigitClassifier, ModeCount
from training.metrics.msssim import measurable, msssim_of_pairs
from training.metrics.plots import Row
from training.metrics.swd import PatchSet, SlicedWasserstein, SwdSeed, level_sides

Batches = Iterator[Images]


@dataclass(frozen=True)
class MetricNetworks:
    """The networks that some metrics use; None where a metric is off."""

    inception: InceptionNetwork | None
    digits: DigitClassifier | None


class Evaluator:
    """Measures the snapshots of one run against its reals.

    Parameters
    ----------
    params
        Counts and seed.
    run
        Its resolution, and whether reals are mirrored.
    reals
        The data set, read in shuffled epochs: its first `swd_images` represent it. A smaller data set is repeated, with
        patches at other positions.
    scratch
        A folder for descriptors, 588 bytes x `swd_images` x `swd_patches_per_image` x levels, twice. Emptied first.
    networks
        As `params.inception` and `params.modes` need them.

    Attributes
    ----------
    names
        The metrics' names by file: `swd`, `msssim` (empty below 16 pixels), and `inception` and `modes` if they are on.
    """

    def __init__(
        self, params: EvaluateParams, run: TrainRun, reals: Reals, scratch: Path, networks: MetricNetworks
    ) -> None:
        self._params = params
        self._run = run
        self._reals = reals
        self._networks = networks
        self._real_count = max(params.swd_images, params.inception.images if params.inception else 0)
        self._total = max(self._real_count, 2 * params.msssim_pairs, params.modes.samples if params.modes else 0)
        levels = level_sides(run.resolution)
        self.names = {
            "swd": [f"swd{short_count(params.swd_images)}_{level}" for level in (*levels, "mean") if levels],
            "msssim": [f"msssim{short_count(params.msssim_pairs)}"] if measurable(run.resolution) else [],
        }
        if params.inception:
            self.names["inception"] = inception.metric_names(params.inception)
        if params.modes:
            self.names["modes"] = mode_count.metric_names(params.modes)
        shutil.rmtree(scratch, ignore_errors=True)
        self._swd = SlicedWasserstein(
            scratch,
            run.resolution,
            patches_per_image=params.swd_patches_per_image,
            repeats=params.swd_repeats,
            directions=params.swd_directions,
            seed=params.seed,
            threads=params.threads,
        )
        real_batches = self._real_batches(0, self._real_count)
        self._real_patches, self._real_features = self._collect(real_batches, SwdSeed.REALS)

    def measure_fakes(self, snapshot: Snapshot) -> Row:
        """The metrics of a snapshot."""
        return self._measure(self._fake_batches(snapshot))

    def measure_reals(self) -> Row:
        """The metrics of other reals: what a perfect generator reaches.

        These follow in the shuffled epochs. They share no image with the first ones if the data set holds twice as
        many as are used.
        """
        return self._measure(self._real_batches(self._real_count, self._total))

    def _measure(self, batches: Batches) -> Row:
        params, similarities = self._params, list[float]()
        modes = ModeCount(params.modes, self._networks.digits) if params.modes and self._networks.digits else None
        updates: list[Callable[[Images], object]] = [modes.update] if modes else []
        if self.names["msssim"]:
            pairs = FirstImages(2 * params.msssim_pairs, lambda images: similarities.extend(msssim_of_pairs(images)))
            updates.append(pairs)
        patches, features = self._collect(batches, SwdSeed.FAKES, *updates)
        levels = list(self._swd.distances(self._real_patches, patches).values())
        values = [*levels, float(np.mean(levels))] if levels else []
        row = {name: round(value, 4) for name, value in zip(self.names["swd"], values, strict=True)}
        row |= {name: round(float(np.mean(similarities)), 5) for name in self.names["msssim"]}
        if params.inception and self._real_features and features:
            row |= inception.compute(params.inception, self._real_features, features, params.seed)
        return row | (modes.compute() if modes else {})

    def _collect(
        self, batches: Batches, draws: SwdSeed, *updates: Callable[[Images], object]
    ) -> tuple[PatchSet, InceptionFeatures | None]:
        """The patches, normalised, and features of an image set, which is passed to `updates` too."""
        options, network = self._params.inception, self._networks.inception
        patches = self._swd.patch_set(draws)
        features = InceptionFeatures(options, network) if options and network else None
        updates = (FirstImages(self._params.swd_images, patches.update), *updates)
        for images_NCHW in batches:
            for update in (*updates, features.update) if features else updates:
                update(images_NCHW)
        return patches.normalise(), features

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
            yield enlarge(snapshot.images(latents_NL[part], labels, self._params.minibatch), self._run.resolution)


def enlarge(images_NCHW: Images, resolution: int) -> Images:
    """Enlarge images to `resolution` by repeating pixels."""
    factor = resolution // images_NCHW.shape[-1]
    return images_NCHW.repeat(factor, axis=2).repeat(factor, axis=3)
