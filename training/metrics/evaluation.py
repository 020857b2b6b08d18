"""The metrics of stage evaluate: the same reals, latents, patch positions and directions for every snapshot.

As in the original, everything is measured at the run's full resolution R: reals as stored at R, and mirrored if the
run mirrors them; generated images of an earlier stage enlarged to R by repeating pixels.

Suffixes: N image, C channel, H height, W width, L latent or label.
"""

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from pipeline.params import EvaluateParams, TrainRun
from training.data.real_images import Reals
from training.generate import Snapshot
from training.metrics import FirstImages, Images, inception, mode_count, msssim_gpu, short_count
from training.metrics.compute import ONE_THREAD, Compute
from training.metrics.inception import InceptionNetwork
from training.metrics.mode_count import DigitClassifier
from training.metrics.msssim import measurable, msssim_of_pairs
from training.metrics.plots import Row
from training.metrics.swd import PatchSet, SwdSeed, level_sides, sliced_wasserstein

Batches = Iterator[Images]


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
    inception_network, digits
        The networks for `params.inception` and `params.modes`.
    compute
        Where SWD and MS-SSIM are computed.

    Attributes
    ----------
    names
        The metrics' names by file: `swd`, `msssim` (empty below 16 pixels), and `inception` and `modes` if they are on.
    """

    def __init__(
        self,
        params: EvaluateParams,
        run: TrainRun,
        reals: Reals,
        scratch: Path,
        *,
        inception_network: InceptionNetwork | None = None,
        digits: DigitClassifier | None = None,
        compute: Compute = ONE_THREAD,
    ) -> None:
        self._params = params
        self._run = run
        self._reals = reals
        self._scratch = scratch
        self._inception = inception_network
        self._digits = digits
        self._compute = compute
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
        self._real_features: dict[str, FirstImages] = {}
        real_batches = self._real_batches(0, self._real_count)
        self._real_patches = self._collect(real_batches, SwdSeed.REALS, self._real_features)

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
        params, network, collected = self._params, self._inception, dict[str, FirstImages]()
        if self.names["msssim"]:
            similarity = msssim_gpu.msssim_of_pairs if self._compute.on_gpu else msssim_of_pairs
            collected["msssim"] = FirstImages(2 * params.msssim_pairs, partial(similarity, compute=self._compute))
        if network:
            collected["probabilities"] = FirstImages(network.options.score_images, network.probabilities)
        if params.modes and self._digits:
            collected["modes"] = FirstImages(params.modes.samples, partial(mode_count.modes_of, self._digits))
        patches = self._collect(batches, SwdSeed.FAKES, collected)
        distances = sliced_wasserstein(
            self._real_patches,
            patches,
            repeats=params.swd_repeats,
            directions=params.swd_directions,
            rng=SwdSeed.DIRECTIONS.rng(params.seed),
            compute=self._compute,
        )
        levels = list(distances.values())
        values = [*levels, float(np.mean(levels))] if levels else []
        row = {name: round(value, 4) for name, value in zip(self.names["swd"], values, strict=True)}
        found = {name: first.compute() for name, first in collected.items()}
        row |= {name: round(float(np.mean(found["msssim"])), 5) for name in self.names["msssim"]}
        if network:
            real_NF, fake_NF = self._real_features["features"].compute(), found["features"]
            row |= inception.compute(network.options, real_NF, fake_NF, found["probabilities"], params.seed)
        return row | (mode_count.compute(params.modes, found["modes"]) if params.modes else {})

    def _collect(self, batches: Batches, draws: SwdSeed, collected: dict[str, FirstImages]) -> PatchSet:
        """The patches of an image set; its images, and its features if used, are added to `collected` too."""
        params, network = self._params, self._inception
        folder, rng = self._scratch / draws.name.lower(), draws.rng(params.seed)
        patches = PatchSet(folder, self._run.resolution, params.swd_patches_per_image, rng, self._compute)
        if network:
            collected["features"] = FirstImages(network.options.images, network.features)
        first = [FirstImages(params.swd_images, patches.update), *collected.values()]
        for images_NCHW in batches:
            for each in first:
                each.update(images_NCHW)
        return patches.normalise()

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
