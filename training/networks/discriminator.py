"""Images to scores."""

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from pipeline.errors import NetworkError
from pipeline.params import NetworkOptions
from training.networks.layers import (
    Conv,
    ConvDown,
    Dense,
    LayerNorm,
    MinibatchDiscrimination,
    channels_last,
    downscale,
    minibatch_stddev,
)
from training.networks.progressive import RELU_GAIN, Lod, ProgressiveNetwork, feature_maps, lerp, split_lod
from training.ops.activations import leaky_relu
from training.ops.packing import Images, unpack

FeatureNoise = Callable[[Images], Images]
"""Noise on feature maps: applied to the input of every layer except fromRGB and the last one."""


def identity(x: Images) -> Images:
    """No noise."""
    return x


def discriminator_maps(options: NetworkOptions, level: int) -> int:
    """The generator's number of feature maps at `level`, times `discriminator_fmap_scale`."""
    return max(1, int(feature_maps(options, level) * options.discriminator_fmap_scale))


class Activation(nn.Module):
    """What follows each convolution: layer norm, if used, and leaky ReLU."""

    def __init__(self, options: NetworkOptions, maps: int) -> None:
        super().__init__()
        self.Norm = LayerNorm(maps) if options.use_layernorm else None

    def forward(self, x: Images) -> Images:
        """(N, maps, …) → the same shape."""
        return leaky_relu(x if self.Norm is None else self.Norm(x))


class DiscriminatorBlock(nn.Module):
    """Halves the resolution: convolution, convolution and downscale."""

    def __init__(self, options: NetworkOptions, inputs: int, outputs: int) -> None:
        super().__init__()
        wscale, bias = options.use_wscale, not options.use_layernorm
        self.Conv0 = Conv(inputs, inputs, kernel=3, gain=RELU_GAIN, use_wscale=wscale, bias=bias)
        self.Activation0 = Activation(options, inputs)
        self._fused = options.fused_scale
        if self._fused:
            self.Conv1_down = ConvDown(inputs, outputs, gain=RELU_GAIN, use_wscale=wscale, bias=bias)
        else:
            self.Conv1 = Conv(inputs, outputs, kernel=3, gain=RELU_GAIN, use_wscale=wscale, bias=bias)
        self.Activation1 = Activation(options, outputs)

    def forward(self, x_NCHW: Tensor, noise: FeatureNoise) -> Tensor:
        """(N, inputs, H, W) → (N, outputs, H / 2, W / 2)."""
        x = noise(self.Activation0(self.Conv0(noise(x_NCHW))))
        return self.Activation1(self.Conv1_down(x)) if self._fused else downscale(self.Activation1(self.Conv1(x)))


class DiscriminatorHead(nn.Module):
    """4x4 feature maps to the score and the label logits."""

    def __init__(self, options: NetworkOptions, label_size: int) -> None:
        super().__init__()
        self._group_size = options.mbstd_group_size
        maps, features = discriminator_maps(options, 1), discriminator_maps(options, 0)
        wscale, bias, kernels = options.use_wscale, not options.use_layernorm, options.mbdisc_kernels
        extra = 1 if self._group_size > 1 else 0
        self.Conv = Conv(maps + extra, maps, kernel=3, gain=RELU_GAIN, use_wscale=wscale, bias=bias)
        self.Activation0 = Activation(options, maps)
        self.Dense0 = Dense(maps * 16, features, gain=RELU_GAIN, use_wscale=wscale, bias=bias)
        self.Activation1 = Activation(options, features)
        self.Discrimination = (
            MinibatchDiscrimination(features, kernels, options.mbdisc_kernel_size) if kernels else None
        )
        self.Dense1 = Dense(features + kernels, 1 + label_size, gain=1.0, use_wscale=wscale)

    def forward(self, x_NCHW: Tensor, noise: FeatureNoise) -> Tensor:
        """(N, maps, 4, 4) → (N, 1 + label_size)."""
        if self._group_size > 1:
            x_NCHW = minibatch_stddev(x_NCHW, self._group_size)
        x_NCHW = unpack(noise(self.Activation0(self.Conv(noise(x_NCHW)))))
        x_NL = self.Activation1(self.Dense0(x_NCHW))
        return self.Dense1(x_NL if self.Discrimination is None else self.Discrimination(x_NL))


class Discriminator(ProgressiveNetwork):
    """Images to scores, high for reals, and label logits where there are labels.

    Attributes
    ----------
    float32_penalty
        Compute the gradient penalty in the weights' dtype instead of the compute dtype.
    """

    float32_penalty = True

    def __init__(self, options: NetworkOptions, *, resolution: int, channels: int, label_size: int) -> None:
        super().__init__(options, resolution=resolution, channels=channels, label_size=label_size)
        for level in range(self.levels):
            side = resolution >> level
            above = side.bit_length() - 2
            inputs, outputs = discriminator_maps(options, above), discriminator_maps(options, above - 1)
            self._add_from_rgb(level, inputs)
            self.add_module(f"{side}x{side}", DiscriminatorBlock(options, inputs, outputs))
        self._add_from_rgb(self.levels, discriminator_maps(options, 1))
        self.add_module("4x4", DiscriminatorHead(options, label_size))

    def _add_from_rgb(self, level: int, maps: int) -> None:
        layer = Conv(self.channels, maps, kernel=1, gain=RELU_GAIN, use_wscale=self.options.use_wscale)
        self.add_module(f"FromRGB_lod{level}", layer)

    @torch.no_grad()
    def fit(self, images_NCHW: Tensor, lod: Lod) -> None:
        """Initialise the weights that depend on data, those of minibatch discrimination, on a minibatch."""
        layer = cast(DiscriminatorHead, self.get_submodule("4x4")).Discrimination
        if layer is not None:
            hook = layer.register_forward_pre_hook(lambda _, inputs: layer.fit(inputs[0]))
            self(images_NCHW, lod)
            hook.remove()

    def forward(self, images_NCHW: Tensor, lod: Lod, noise: FeatureNoise = identity) -> tuple[Tensor, Tensor | None]:
        """Scores (N,) and label logits (N, label_size), or None without labels, of images in [-1, 1].

        Raises
        ------
        NetworkError
            The images do not have the resolution of `lod`, the minibatch cannot be divided into groups, or `lod`
            lies outside the network's levels.
        """
        self._check(images_NCHW, lod)
        level, alpha = split_lod(lod)
        side = self.resolution >> level
        images_NCHW = channels_last(images_NCHW)
        x = self._from_rgb(level)(images_NCHW)
        if side > 4:
            x = self.get_submodule(f"{side}x{side}")(x, noise)
        if isinstance(alpha, Tensor) or alpha > 0:
            x = lerp(x, self._from_rgb(level + 1)(downscale(images_NCHW)), alpha)
        while side > 8:
            side //= 2
            x = self.get_submodule(f"{side}x{side}")(x, noise)
        output = self.get_submodule("4x4")(x, noise)
        return output[:, 0], output[:, 1:] if self.label_size else None

    def _from_rgb(self, level: int) -> Callable[[Tensor], Tensor]:
        layer, dtype = self.get_submodule(f"FromRGB_lod{level}"), self.compute_dtype
        return lambda images: unpack(leaky_relu(layer(images) if dtype is None else layer(images).to(dtype)))

    def _check(self, images_NCHW: Tensor, lod: Lod) -> None:
        side = self.resolution_at(lod)
        if images_NCHW.shape[1:] != (self.channels, side, side):
            raise NetworkError(
                f"images of shape {tuple(images_NCHW.shape[1:])} at lod {lod}: the discriminator needs "
                f"{(self.channels, side, side)}, the resolution of this lod"
            )
        samples, group = len(images_NCHW), self.options.mbstd_group_size
        if group > 1 and samples % min(group, samples):
            raise NetworkError(
                f"a minibatch of {samples} cannot be divided into groups of {group}: choose minibatch sizes that are "
                f"multiples of networks.mbstd_group_size, or not larger than it"
            )
