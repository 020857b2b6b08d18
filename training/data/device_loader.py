"""The batches of every training step, on the device.

N = samples of this process in a minibatch, C = 3 (images) or classes (labels), L = latent size.
"""

import math
import time
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.params import TrainRun, WganLoss
from training.data import random_streams
from training.data.random_streams import Stream
from training.data.real_images import LevelCache, Reals
from training.distributed.batch_split import Rows, microbatch_rows
from training.distributed.process_group import ProcessGroup
from training.losses import DiscriminatorBatch, GeneratorBatch
from training.networks.adaptive_noise import FakeScoreEma, MultiplicativeNoise
from training.networks.discriminator import FeatureNoise, identity
from training.networks.layers import downscale, upscale
from training.runtime.device import to_device
from training.schedule import Step


class DeviceLoader:
    """Draws the microbatches of this process; a level of up to `run.speed.gpu_mib` MiB is kept on the GPU.

    Attributes
    ----------
    wait_seconds
        How long steps have waited for images.
    """

    def __init__(
        self, run: TrainRun, reals: Reals, device: torch.device, group: ProcessGroup, fake_score: FakeScoreEma
    ) -> None:
        self._run = run
        self._reals = reals
        self._device = device
        self._group = group
        self._fake_score = fake_score
        self.wait_seconds = 0.0
        self._level = LevelCache(reals.dataset, device, run.speed.gpu_mib if device.type == "cuda" else 0, reals.pool)

    def discriminator_batches(self, step: Step, images_shown: int) -> tuple[DiscriminatorBatch, ...]:
        """The microbatches of the discriminator for the minibatch of reals that starts at `images_shown`."""
        parts = microbatch_rows(self._run, step, self._group)
        rows = np.concatenate(parts)
        images_NCHW, mirrored_N, labels_NC = self.reals(step.resolution, images_shown, step.minibatch, rows)
        weights_M = random_streams.interpolation_weights(self._run.seed, images_shown, step.minibatch)
        fields = (
            process_reals(images_NCHW, mirrored_N, step.lod),
            labels_NC,
            self._latents(Stream.D_LATENTS, step, images_shown, rows),
            to_device(weights_M[rows], self._device),
        )
        noises = [self._noise(Stream.D_NOISE, step, images_shown, part) for part in parts]
        return tuple(DiscriminatorBatch(*values) for values in zip(*_chunks(fields, len(parts)), noises, strict=True))

    def generator_batches(self, step: Step, images_shown: int) -> tuple[GeneratorBatch, ...]:
        """The microbatches of the generator that belong to the same reals."""
        parts = microbatch_rows(self._run, step, self._group)
        rows = np.concatenate(parts)
        labels_MC = self._reals.random_labels(images_shown, step.minibatch)
        fields = (
            self._latents(Stream.G_LATENTS, step, images_shown, rows),
            None if labels_MC is None else to_device(labels_MC[rows], self._device),
        )
        noises = [self._noise(Stream.G_NOISE, step, images_shown, part) for part in parts]
        return tuple(GeneratorBatch(*values) for values in zip(*_chunks(fields, len(parts)), noises, strict=True))

    def preload(self, resolution: int) -> None:
        """Read a part of the level that is needed next, if it will be kept on the GPU or in memory; does not wait."""
        if self._level.holds(resolution):
            self._level.preload(resolution)
        else:
            self._reals.preload(resolution)

    def reals(
        self, resolution: int, images_shown: int, count: int, rows: NDArray[np.int64]
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Images (N, C, H, W) uint8, which of them are mirrored (N,), and labels; see `Reals.minibatch`."""
        started = time.monotonic()
        level_MCHW = self._level.load(resolution)
        if level_MCHW is None:
            found = self._reals.minibatch(resolution, images_shown, count, rows)
            images_NCHW = to_device(found.images_NCHW, self._device)
            mirrored_N, labels_NC = found.mirrored_N, found.labels_NL
        else:
            images_NCHW = level_MCHW[to_device(self._reals.rows(images_shown, count)[rows], self._device)]
            mirrored_N, labels_NC = self._reals.mirrored_and_labels(images_shown, count, rows)
        self.wait_seconds += time.monotonic() - started
        labels = None if labels_NC is None else to_device(labels_NC, self._device)
        return images_NCHW, to_device(mirrored_N, self._device), labels

    def _latents(self, stream: Stream, step: Step, images_shown: int, rows: Rows) -> Tensor:
        shape = (step.minibatch, self._run.networks.latent_size)
        return to_device(random_streams.latents(self._run.seed, stream, images_shown, shape)[rows], self._device)

    def _noise(self, stream: Stream, step: Step, images_shown: int, rows: Rows) -> FeatureNoise:
        loss = self._run.loss
        if isinstance(loss, WganLoss) or loss.noise_gain == 0:
            return identity
        rng = random_streams.generator(self._run.seed, stream, images_shown)
        return MultiplicativeNoise(self._fake_score.strength(loss), rng, step.minibatch, rows)


def process_reals(images_NCHW: Tensor, mirrored_N: Tensor | None, lod: float) -> Tensor:
    """uint8 images at the current resolution to float32 in [-1, 1], mirrored and faded.

    The fraction of `lod` is the weight of the image downscaled to the resolution below (Karras et al. 2018, figure 2).
    """
    images = images_NCHW.to(torch.float32) * (2 / 255) - 1
    if mirrored_N is not None:
        images = torch.where(mirrored_N.view(-1, 1, 1, 1), images.flip(3), images)
    fade = float(np.float32(lod) - np.float32(math.floor(lod)))  # lod is a float32 in the original implementation
    return images + (upscale(downscale(images)) - images) * fade if fade > 0 else images


def _chunks(fields: Sequence[Tensor | None], count: int) -> list[Sequence[Tensor | None]]:
    """Each field in `count` equal parts."""
    return [(None,) * count if field is None else field.chunk(count) for field in fields]
