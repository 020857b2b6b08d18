"""Base class of both networks: levels of detail, initial weights, compute dtype."""

import math
from collections.abc import Generator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pipeline.errors import NetworkError
from pipeline.params import NetworkOptions
from training.networks.layers import Layer, MinibatchDiscrimination, at_least_float32

RELU_GAIN = math.sqrt(2)
"""Gain of layers before a ReLU (He et al. 2015)."""


def feature_maps(options: NetworkOptions, level: int) -> int:
    """Number of feature maps at a resolution of 2^(`level` + 1) pixels (Karras et al. 2018, table 2)."""
    return min(int(options.fmap_base / 2 ** (level * options.fmap_decay)), options.fmap_max)


class FadeLod(NamedTuple):
    """A level of detail whose fraction `alpha` is a float32 tensor on the device, so that CUDA graphs can replay it."""

    level: int
    alpha: Tensor


Lod = float | FadeLod
"""A level of detail. A `FadeLod` computes the fade even where its fraction is 0."""


def split_lod(lod: Lod) -> tuple[int, float | Tensor]:
    """The level and the fraction, alpha; a number 0 means no fade."""
    return lod if isinstance(lod, FadeLod) else (math.floor(lod), lod - math.floor(lod))


def lerp(start: Tensor, end: Tensor, weight: float | Tensor) -> Tensor:
    """`torch.lerp` in float32 or more."""
    return torch.lerp(at_least_float32(start), at_least_float32(end), weight)


class ProgressiveNetwork(nn.Module):
    """Base of generator and discriminator, for images of `resolution` at lod 0; `label_size` 0 means no labels.

    `levels` is the number of doublings between 4x4 and the full resolution, the largest `lod`. `compute_dtype` is that
    of the 3x3 convolutions, None for the weights' dtype.
    """

    def __init__(self, options: NetworkOptions, *, resolution: int, channels: int, label_size: int) -> None:
        super().__init__()
        self.options = options
        self.resolution = resolution
        self.channels = channels
        self.label_size = label_size
        self.levels = resolution.bit_length() - 3
        self.compute_dtype: torch.dtype | None = None

    def initialise(self, rng: torch.Generator) -> None:
        """Draw all weights from `rng`, in the order of the layers; set biases to zero."""
        for module in self.modules():
            if isinstance(module, Layer | MinibatchDiscrimination):
                module.initialise(rng)

    def set_compute_dtype(self, dtype: torch.dtype | None) -> None:
        """Compute the 3x3 convolutions in `dtype`; None for the weights' dtype."""
        self.compute_dtype = dtype
        for module in self.modules():
            if isinstance(module, Layer) and module.weight.shape[2:] == (3, 3):
                module.compute_dtype = dtype

    @contextmanager
    def full_precision(self) -> Generator[None]:
        """Compute everything in the weights' dtype within this context."""
        before = self.compute_dtype
        self.set_compute_dtype(None)
        try:
            yield
        finally:
            self.set_compute_dtype(before)

    def resolution_at(self, lod: Lod) -> int:
        """The current resolution r.

        Raises
        ------
        NetworkError
            `lod` lies outside the network's levels.
        """
        level, alpha = split_lod(lod)
        fades = isinstance(alpha, Tensor) or alpha > 0
        if not 0 <= level <= self.levels - fades:
            raise NetworkError(
                f"lod {lod} is outside 0 … {self.levels}, the levels of a network of {self.resolution}x"
                f"{self.resolution} pixels: train with schedule.initial_resolution from 4 to {self.resolution}"
            )
        return self.resolution >> level
