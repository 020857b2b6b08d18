"""Latent vectors to images."""

import torch
from torch import Tensor, nn

from pipeline.errors import NetworkError
from pipeline.params import NetworkOptions
from training.networks.layers import BatchNorm, Conv, ConvUp, DenseToMaps, pixel_norm, upscale
from training.networks.progressive import RELU_GAIN, Lod, ProgressiveNetwork, feature_maps, lerp, split_lod
from training.ops.activations import leaky_relu, leaky_relu_and_pixel_norm
from training.ops.packing import Images, on_maps, unpack


class Activation(nn.Module):
    """What follows each convolution: batch norm, (leaky) ReLU and pixel norm, by the options."""

    def __init__(self, options: NetworkOptions, maps: int) -> None:
        super().__init__()
        self._options = options
        self.Norm = BatchNorm(maps) if options.use_batchnorm else None

    def forward(self, x: Images) -> Images:
        """(N, maps, H, W) → the same shape."""
        x = x if self.Norm is None else self.Norm(x)
        options = self._options
        if options.use_leakyrelu and options.use_pixelnorm:
            return leaky_relu_and_pixel_norm(x, options.pixelnorm_epsilon)
        x = leaky_relu(x) if options.use_leakyrelu else on_maps(torch.relu, x)
        return pixel_norm(unpack(x), options.pixelnorm_epsilon) if options.use_pixelnorm else x


class GeneratorBlock(nn.Module):
    """Doubles the resolution: upscale and convolution, convolution."""

    def __init__(self, options: NetworkOptions, inputs: int, outputs: int) -> None:
        super().__init__()
        self._fused = options.fused_scale
        wscale, bias = options.use_wscale, not options.use_batchnorm
        if self._fused:
            self.Conv0_up = ConvUp(inputs, outputs, gain=RELU_GAIN, use_wscale=wscale, bias=bias)
        else:
            self.Conv0 = Conv(inputs, outputs, kernel=3, gain=RELU_GAIN, use_wscale=wscale, bias=bias)
        self.Activation0 = Activation(options, outputs)
        self.Conv1 = Conv(outputs, outputs, kernel=3, gain=RELU_GAIN, use_wscale=wscale, bias=bias)
        self.Activation1 = Activation(options, outputs)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """(N, inputs, H, W) → (N, outputs, 2H, 2W)."""
        x = self.Conv0_up(x_NCHW) if self._fused else self.Conv0(upscale(x_NCHW))
        # compilers fuse the second norm with toRGB, which computes image by image
        return self.Activation1(unpack(self.Conv1(self.Activation0(x))))


class GeneratorBase(nn.Module):
    """Latent vector to 4x4."""

    def __init__(self, options: NetworkOptions, inputs: int, outputs: int) -> None:
        super().__init__()
        wscale, bias = options.use_wscale, not options.use_batchnorm
        self.Dense = DenseToMaps(inputs, outputs, gain=RELU_GAIN / 4, use_wscale=wscale, bias=bias)
        self.Activation0 = Activation(options, outputs)
        self.Conv = Conv(outputs, outputs, kernel=3, gain=RELU_GAIN, use_wscale=wscale, bias=bias)
        self.Activation1 = Activation(options, outputs)

    def forward(self, latents_NL: Tensor) -> Tensor:
        """(N, inputs) → (N, outputs, 4, 4)."""
        return self.Activation1(self.Conv(self.Activation0(self.Dense(latents_NL))))


class Generator(ProgressiveNetwork):
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

    def forward(self, latents_NL: Tensor, labels_NC: Tensor | None, lod: Lod) -> Tensor:
        """Images (N, channels, r, r), range about [-1, 1], of standard normal latents and one-hot labels.

        Raises
        ------
        NetworkError
            Labels are missing, or `lod` lies outside the network's levels.
        """
        side = self.resolution_at(lod)
        level, alpha = split_lod(lod)
        x = before = self.get_submodule("4x4")(self._normalised_input(latents_NL, labels_NC))
        current = 4
        while current < side:
            current *= 2
            before, x = x, self.get_submodule(f"{current}x{current}")(x)
        images = self.get_submodule(f"ToRGB_lod{level}")(x)
        if isinstance(alpha, Tensor) or alpha > 0:
            images = lerp(images, upscale(self.get_submodule(f"ToRGB_lod{level + 1}")(before)), alpha)
        return torch.tanh(images) if self.options.use_tanh else images

    def _normalised_input(self, latents_NL: Tensor, labels_NC: Tensor | None) -> Tensor:
        if self.label_size and labels_NC is None:
            raise NetworkError(f"this generator needs labels of length {self.label_size}, but labels_NC is None")
        options, labels = self.options, [] if labels_NC is None or not self.label_size else [labels_NC]
        if options.normalize_latents and not options.normalize_labels:
            latents_NL = pixel_norm(latents_NL, options.pixelnorm_epsilon)
        x_NL = torch.cat([latents_NL, *labels], dim=1)
        if options.normalize_latents and options.normalize_labels:
            x_NL = pixel_norm(x_NL, options.pixelnorm_epsilon)
        return x_NL
