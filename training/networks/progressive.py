"""What both networks share."""

import math
from collections.abc import Generator
from contextlib import contextmanager
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from pipeline.errors import NetworkError
from pipeline.params import NetworkOptions
from training.networks.layers import Layer, MinibatchDiscrimination, full

GAIN = math.sqrt(2)
"""Gain of every layer but those that end a network or take the latent vector (He et al. 2015)."""


def feature_maps(options: NetworkOptions, level: int) -> int:
    """Number of feature maps at `level` (SPEC §4: nf)."""
    return min(int(options.fmap_base / 2 ** (level * options.fmap_decay)), options.fmap_max)


class FadeLod(NamedTuple):
    """A level of detail whose fraction, float32, lies on the device: a recorded step reads it anew at each repeat."""

    level: int
    share: Tensor


Lod = float | FadeLod
"""A level of detail: a number, or one whose fraction may be 0 but is treated as a fade in any case."""


def split_lod(lod: Lod) -> tuple[int, float | Tensor]:
    """The whole number and the fraction; a fraction that is no tensor and 0 stands for no fade."""
    return lod if isinstance(lod, FadeLod) else (math.floor(lod), lod - math.floor(lod))


def mixed(x: Tensor, y: Tensor, share: float | Tensor) -> Tensor:
    """`share` of the way from x to y."""
    return torch.lerp(full(x), full(y), share)


class ProgressiveNetwork(nn.Module):
    """What both networks share: the levels and their initial weights.

    Attributes
    ----------
    resolution, channels
        Of the images at full resolution.
    label_size
        Length of a label; 0: no labels.
    levels
        Doublings between 4x4 and the full resolution; the largest `lod`.
    """

    def __init__(self, options: NetworkOptions, *, resolution: int, channels: int, label_size: int) -> None:
        super().__init__()
        self.options = options
        self.resolution = resolution
        self.channels = channels
        self.label_size = label_size
        self.levels = resolution.bit_length() - 3
        self._compute_dtype: torch.dtype | None = None

    def initialise(self, rng: torch.Generator) -> None:
        """Draw all weights from `rng`, layer after layer; set biases to zero."""
        for module in self.modules():
            if isinstance(module, Layer | MinibatchDiscrimination):
                module.initialise(rng)

    def set_compute_dtype(self, dtype: torch.dtype | None) -> None:
        """Compute the 3x3 convolutions in `dtype`; None for the weights' own."""
        self._compute_dtype = dtype
        for module in self.modules():
            if isinstance(module, Layer) and module.weight.shape[2:] == (3, 3):
                module.compute_dtype = dtype

    @contextmanager
    def full_precision(self) -> Generator[None]:
        """Compute in the weights' own type meanwhile."""
        lowered = self._compute_dtype
        self.set_compute_dtype(None)
        try:
            yield
        finally:
            self.set_compute_dtype(lowered)

    def resolution_at(self, lod: Lod) -> int:
        """The current resolution r.

        Raises
        ------
        NetworkError
            `lod` lies outside the network's levels.
        """
        level, share = split_lod(lod)
        fades = isinstance(share, Tensor) or share > 0
        if not 0 <= level <= self.levels - fades:
            raise NetworkError(
                f"lod {lod} is outside 0 … {self.levels}, the levels of a network of {self.resolution}x"
                f"{self.resolution} pixels: train with schedule.initial_resolution from 4 to {self.resolution}"
            )
        return self.resolution >> level

    def child(self, name: str) -> nn.Module:
        """A direct child by its name."""
        return cast(nn.Module, self._modules[name])
