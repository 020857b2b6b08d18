"""What both networks share."""

import math
from typing import cast

import torch
from torch import nn

from pipeline.errors import NetworkError
from pipeline.params import NetworkOptions
from training.layers import Layer, MinibatchDiscrimination

GAIN = math.sqrt(2)
"""Gain of every layer but those that end a network or take the latent vector (He et al. 2015)."""


def feature_maps(options: NetworkOptions, level: int) -> int:
    """Number of feature maps at `level` (SPEC §4: nf)."""
    return min(int(options.fmap_base / 2 ** (level * options.fmap_decay)), options.fmap_max)


class GrowingNetwork(nn.Module):
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

    def initialise(self, rng: torch.Generator) -> None:
        """Draw all weights from `rng`, layer after layer; set biases to zero."""
        for module in self.modules():
            if isinstance(module, Layer | MinibatchDiscrimination):
                module.initialise(rng)

    def resolution_at(self, lod: float) -> int:
        """The current resolution r.

        Raises
        ------
        NetworkError
            `lod` lies outside the network's levels.
        """
        if not 0 <= lod <= self.levels:
            raise NetworkError(
                f"lod {lod} is outside 0 … {self.levels}, the levels of a network of {self.resolution}x"
                f"{self.resolution} pixels: train with schedule.initial_resolution from 4 to {self.resolution}"
            )
        return self.resolution >> math.floor(lod)

    def child(self, name: str) -> nn.Module:
        """A direct child by its name."""
        return cast(nn.Module, self._modules[name])
