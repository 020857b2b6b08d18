"""The metrics of stage evaluate: the same reals, latents, patch positions and directions for every snapshot.

As in the original, everything is measured at the run's full resolution R: reals as stored at R, and mirrored if the
run mirrors them; generated images of an earlier stage enlarged to R by repeating pixels.

Suffixes: N image, C channel, H height, W width, L latent or label.
"""

import shutil
from collections.abc import Collection, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from pipeline.params import EvaluateParams, InceptionOptions, TrainRun
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
    resolution
        At which everything is measured.
    names
        The metrics' names by file: `swd`, `msssim` (empty below 16 pixels), and `inception` and `modes` if they are on.
        The files are the kinds of metrics that `measure_fakes` takes.
    """

    def __init__(
        self,
        params: EvaluateParams,
        run: TrainRun,
        reals: Reals,
        scratch: Path,
        *,
        inception_network: InceptionNetwork[InceptionOptions] | None = None,
        digits: DigitClassifier | None = None,
        compute: Compute = ONE_THREAD,
    ) -> None:
        self.resolution = run.resolution
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
        if inception_network:
            first = FirstImages(inception_network.options.images, inception_network.features)
            self._real_features["features"] = first
        self._real_patches = self._patch_set(SwdSeed.REALS)
        real_batches = self._real_batches(0, self._real_count)
        _collect(real_batches, self._real_patches, params.swd_images, self._real_features.values())

    def measure_fakes(self, snapshot: Snapshot, kinds: Collection[str] | None = None) -> Row:
        """The metrics of a snapshot, of all `kinds` by default; only the images that they need are generated."""
        kinds = self.names.keys() if kinds is None else kinds
        return self._measure(self._fake_batches(snapshot, max(map(self._images, kinds))), kinds)

    def measure_reals(self) -> Row:
        """The metrics of other reals: what a perfect generator reaches.

        These follow in the shuffled epochs. They share no image with the first ones if the data set holds twice as
        many as are used.
        """
        return self._measure(self._real_batches(self._real_count, self._total), self.names.keys())

    def _images(self, kind: str) -> int:
        """How many images of a snapshot a kind of metrics needs."""
        params = self._params
        return {
            "swd": params.swd_images,
            "msssim": 2 * params.msssim_pairs,
            "inception": params.inception.images if params.inception else 0,
            "modes": params.modes.samples if params.modes else 0,
        }[kind]

    def _measure(self, batches: Batches, kinds: Collection[str]) -> Row:
        params, collected, row = self._params, dict[str, FirstImages](), Row()
        network = self._inception if "inception" in kinds else None
        if self.names["msssim"] and "msssim" in kinds:
            similarity = msssim_gpu.msssim_of_pairs if self._compute.on_gpu else msssim_of_pairs
            collected["msssim"] = FirstImages(2 * params.msssim_pairs, partial(similarity, compute=self._compute))
        if network:
            collected["probabilities"] = FirstImages(network.options.score_images, network.probabilities)
        if params.modes and self._digits and "modes" in kinds:
            collected["modes"] = FirstImages(params.modes.samples, partial(mode_count.modes_of, self._digits))
        if network:
            collected["features"] = FirstImages(network.options.images, network.features)
        patches = self._patch_set(SwdSeed.FAKES) if "swd" in kinds else None
        _collect(batches, patches, params.swd_images, collected.values())
        if patches is not None:
            row |= self._distances(patches)
        found = {name: first.compute() for name, first in collected.items()}
        if "msssim" in found:
            row |= {name: round(float(np.mean(found["msssim"])), 5) for name in self.names["msssim"]}
        if network:
            real_NF, fake_NF = self._real_features["features"].compute(), found["features"]
            row |= inception.compute(network.options, real_NF, fake_NF, found["probabilities"], params.seed)
        if params.modes and "modes" in found:
            row |= mode_count.compute(params.modes, found["modes"])
        return row

    def _distances(self, patches: PatchSet) -> Row:
        distances = sliced_wasserstein(
            self._real_patches,
            patches,
            repeats=self._params.swd_repeats,
            directions=self._params.swd_directions,
            rng=SwdSeed.DIRECTIONS.rng(self._params.seed),
            compute=self._compute,
        )
        levels = list(distances.values())
        values = [*levels, float(np.mean(levels))] if levels else []
        return {name: round(value, 4) for name, value in zip(self.names["swd"], values, strict=True)}

    def _patch_set(self, draws: SwdSeed) -> PatchSet:
        folder, rng = self._scratch / draws.name.lower(), draws.rng(self._params.seed)
        return PatchSet(folder, self._run.resolution, self._params.swd_patches_per_image, rng, self._compute)

    def _real_batches(self, position: int, count: int) -> Batches:
        for start in range(0, count, self._params.minibatch):
            size = min(self._params.minibatch, count - start)
            yield self._reals.minibatch(self._run.resolution, position + start, size).as_shown()

    def _fake_batches(self, snapshot: Snapshot, count: int) -> Batches:
        latents_NL = snapshot.latents(self._params.seed, self._total)
        labels_NL = self._reals.random_labels(0, self._total)
        for start in range(0, count, self._params.minibatch):
            part = slice(start, start + min(self._params.minibatch, count - start))
            labels = None if labels_NL is None else labels_NL[part]
            yield enlarge(snapshot.images(latents_NL[part], labels, self._params.minibatch), self._run.resolution)


def _collect(batches: Batches, patches: PatchSet | None, swd_images: int, collected: Collection[FirstImages]) -> None:
    """Give all images to `collected`, and the first `swd_images` to `patches`, which are then normalised."""
    first = [FirstImages(swd_images, patches.update), *collected] if patches is not None else list(collected)
    for images_NCHW in batches:
        for each in first:
            each.update(images_NCHW)
    if patches is not None:
        patches.normalise()


def enlarge(images_NCHW: Images, resolution: int) -> Images:
    """Enlarge images to `resolution` by repeating pixels."""
    factor = resolution // images_NCHW.shape[-1]
    return images_NCHW.repeat(factor, axis=2).repeat(factor, axis=3)
