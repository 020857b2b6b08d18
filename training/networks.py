"""Generator and discriminator that grow with `lod` (Karras et al. 2018, appendix A).

`lod` is how far the current resolution lies below the full one, in powers of two: 0 is full resolution, a fraction
is a cross-fade between two. Images go in and out at the current resolution r = R / 2^floor(lod); range about [-1, 1].
Modules carry the names of the original's variables, `.` in place of `/`, so weights map one to one
(`training.variables`).
"""

import math
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from pipeline.errors import NetworkError
from pipeline.params import NetworkOptions
from training.layers import (
    Conv,
    ConvDown,
    ConvUp,
    Dense,
    DenseToMaps,
    Layer,
    channels_last,
    downscale,
    leaky_relu,
    minibatch_stddev,
    pixel_norm,
    upscale,
)

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
            if isinstance(module, Layer):
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


class GeneratorBlock(nn.Module):
    """Doubles the resolution: upscale and convolution, convolution."""

    def __init__(self, options: NetworkOptions, inputs: int, outputs: int) -> None:
        super().__init__()
        self._options = options
        wscale = options.use_wscale
        if options.fused_scale:
            self.Conv0_up = ConvUp(inputs, outputs, gain=GAIN, use_wscale=wscale)
        else:
            self.Conv0 = Conv(inputs, outputs, kernel=3, gain=GAIN, use_wscale=wscale)
        self.Conv1 = Conv(outputs, outputs, kernel=3, gain=GAIN, use_wscale=wscale)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """(N, inputs, H, W) → (N, outputs, 2H, 2W)."""
        x = self.Conv0_up(x_NCHW) if self._options.fused_scale else self.Conv0(upscale(x_NCHW))
        return _finish(self.Conv1(_finish(x, self._options)), self._options)


class GeneratorBase(nn.Module):
    """Latent vector to 4x4."""

    def __init__(self, options: NetworkOptions, inputs: int, outputs: int) -> None:
        super().__init__()
        self._options = options
        self.Dense = DenseToMaps(inputs, outputs, gain=GAIN / 4, use_wscale=options.use_wscale)
        self.Conv = Conv(outputs, outputs, kernel=3, gain=GAIN, use_wscale=options.use_wscale)

    def forward(self, latents_NL: Tensor) -> Tensor:
        """(N, inputs) → (N, outputs, 4, 4)."""
        return _finish(self.Conv(_finish(self.Dense(latents_NL), self._options)), self._options)


def _finish(x: Tensor, options: NetworkOptions) -> Tensor:
    x = leaky_relu(x) if options.use_leakyrelu else torch.relu(x)
    return pixel_norm(x, options.pixelnorm_epsilon) if options.use_pixelnorm else x


class Generator(GrowingNetwork):
    """Latent vectors, and labels where there are any, to images."""

    def __init__(self, options: NetworkOptions, *, resolution: int, channels: int, label_size: int) -> None:
        super().__init__(options, resolution=resolution, channels=channels, label_size=label_size)
        maps = feature_maps(options, 1)
        self.add_module("4x4", GeneratorBase(options, options.latent_size + label_size, maps))
        self._add_to_rgb(self.levels, maps)
        for level in reversed(range(self.levels)):
            side = resolution >> level
            inputs, maps = maps, feature_maps(options, side.bit_length() - 2)
            self.add_module(f"{side}x{side}", GeneratorBlock(options, inputs, maps))
            self._add_to_rgb(level, maps)

    def _add_to_rgb(self, level: int, maps: int) -> None:
        layer = Conv(maps, self.channels, kernel=1, gain=1.0, use_wscale=self.options.use_wscale)
        self.add_module(f"ToRGB_lod{level}", layer)

    def forward(self, latents_NL: Tensor, labels_NC: Tensor | None, lod: float) -> Tensor:
        """Images (N, channels, r, r), range about [-1, 1].

        Parameters
        ----------
        latents_NL
            Standard normal, (N, latent_size).
        labels_NC
            One-hot, (N, label_size), or None for a network without labels.
        lod
            Current level of detail.

        Raises
        ------
        NetworkError
            Labels are missing, or `lod` lies outside the network's levels.
        """
        side = self.resolution_at(lod)
        level, fade = math.floor(lod), lod - math.floor(lod)
        x = before = self.child("4x4")(self._normalised_input(latents_NL, labels_NC))
        reached = 4
        while reached < side:
            reached *= 2
            before, x = x, self.child(f"{reached}x{reached}")(x)
        images = self.child(f"ToRGB_lod{level}")(x)
        if fade == 0:
            return images
        return torch.lerp(images, upscale(self.child(f"ToRGB_lod{level + 1}")(before)), fade)

    def _normalised_input(self, latents_NL: Tensor, labels_NC: Tensor | None) -> Tensor:
        if self.label_size:
            if labels_NC is None:
                raise NetworkError(f"this generator needs labels of length {self.label_size}, and none were given")
            latents_NL = torch.cat([latents_NL, labels_NC], dim=1)
        return pixel_norm(latents_NL, self.options.pixelnorm_epsilon) if self.options.normalize_latents else latents_NL


class DiscriminatorBlock(nn.Module):
    """Halves the resolution: convolution, convolution and downscale."""

    def __init__(self, options: NetworkOptions, inputs: int, outputs: int) -> None:
        super().__init__()
        wscale = options.use_wscale
        self.Conv0 = Conv(inputs, inputs, kernel=3, gain=GAIN, use_wscale=wscale)
        self._fused = options.fused_scale
        if self._fused:
            self.Conv1_down = ConvDown(inputs, outputs, gain=GAIN, use_wscale=wscale)
        else:
            self.Conv1 = Conv(inputs, outputs, kernel=3, gain=GAIN, use_wscale=wscale)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """(N, inputs, H, W) → (N, outputs, H / 2, W / 2)."""
        x = leaky_relu(self.Conv0(x_NCHW))
        return leaky_relu(self.Conv1_down(x)) if self._fused else downscale(leaky_relu(self.Conv1(x)))


class DiscriminatorHead(nn.Module):
    """4x4 feature maps to the score and the label logits."""

    def __init__(self, options: NetworkOptions, label_size: int) -> None:
        super().__init__()
        self._group_size = options.mbstd_group_size
        maps, wscale = feature_maps(options, 1), options.use_wscale
        extra = 1 if self._group_size > 1 else 0
        self.Conv = Conv(maps + extra, maps, kernel=3, gain=GAIN, use_wscale=wscale)
        self.Dense0 = Dense(maps * 16, feature_maps(options, 0), gain=GAIN, use_wscale=wscale)
        self.Dense1 = Dense(feature_maps(options, 0), 1 + label_size, gain=1.0, use_wscale=wscale)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """(N, maps, 4, 4) → (N, 1 + label_size)."""
        if self._group_size > 1:
            x_NCHW = minibatch_stddev(x_NCHW, self._group_size)
        return self.Dense1(leaky_relu(self.Dense0(leaky_relu(self.Conv(x_NCHW)))))


class Discriminator(GrowingNetwork):
    """Images to scores, high for reals, and label logits where there are labels."""

    def __init__(self, options: NetworkOptions, *, resolution: int, channels: int, label_size: int) -> None:
        super().__init__(options, resolution=resolution, channels=channels, label_size=label_size)
        for level in range(self.levels):
            side = resolution >> level
            above = side.bit_length() - 2
            inputs, outputs = feature_maps(options, above), feature_maps(options, above - 1)
            self._add_from_rgb(level, inputs)
            self.add_module(f"{side}x{side}", DiscriminatorBlock(options, inputs, outputs))
        self._add_from_rgb(self.levels, feature_maps(options, 1))
        self.add_module("4x4", DiscriminatorHead(options, label_size))

    def _add_from_rgb(self, level: int, maps: int) -> None:
        layer = Conv(self.channels, maps, kernel=1, gain=GAIN, use_wscale=self.options.use_wscale)
        self.add_module(f"FromRGB_lod{level}", layer)

    def forward(self, images_NCHW: Tensor, lod: float) -> tuple[Tensor, Tensor | None]:
        """Scores (N,) and label logits (N, label_size), or None for a network without labels.

        Parameters
        ----------
        images_NCHW
            Images at the current resolution, range [-1, 1].
        lod
            Current level of detail.

        Raises
        ------
        NetworkError
            The images have another size than `lod` says, the minibatch cannot be divided into groups, or `lod`
            lies outside the network's levels.
        """
        self._check(images_NCHW, lod)
        level, fade = math.floor(lod), lod - math.floor(lod)
        side = self.resolution >> level
        images_NCHW = channels_last(images_NCHW)
        x = self._from_rgb(level)(images_NCHW)
        if side > 4:
            x = self.child(f"{side}x{side}")(x)
        if fade > 0:
            x = torch.lerp(x, self._from_rgb(level + 1)(downscale(images_NCHW)), fade)
        while side > 8:
            side //= 2
            x = self.child(f"{side}x{side}")(x)
        output = self.child("4x4")(x)
        return output[:, 0], output[:, 1:] if self.label_size else None

    def _from_rgb(self, level: int) -> Callable[[Tensor], Tensor]:
        layer = self.child(f"FromRGB_lod{level}")
        return lambda images: leaky_relu(layer(images))

    def _check(self, images_NCHW: Tensor, lod: float) -> None:
        side = self.resolution_at(lod)
        if images_NCHW.shape[1:] != (self.channels, side, side):
            raise NetworkError(
                f"images of shape {tuple(images_NCHW.shape[1:])} at lod {lod}: the discriminator wants "
                f"{(self.channels, side, side)}, the resolution that this lod stands for"
            )
        samples, group = len(images_NCHW), self.options.mbstd_group_size
        if group > 1 and samples % min(group, samples):
            raise NetworkError(
                f"a minibatch of {samples} cannot be divided into groups of {group}: choose minibatch sizes that are "
                f"multiples of networks.mbstd_group_size, or not larger than it"
            )
