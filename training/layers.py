"""Building blocks of both networks: layers with equalised learning rate, pixel norm, minibatch standard deviation.

Shape suffixes: N samples, C channels, H and W rows and columns, L features of a vector.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

LEAK = 0.2
"""Slope of the leaky ReLU below zero."""


class Layer(nn.Module):
    """A weight drawn from N(0, 1) and multiplied at run time by gain / sqrt(fan in), and a bias.

    Without `use_wscale` the weight is drawn with that standard deviation instead and used as it is.
    Karras et al. 2018, §4.1.

    Attributes
    ----------
    multiplier
        What the stored weight is multiplied with at run time.
    """

    def __init__(self, shape: tuple[int, ...], *, biases: int, fan_in: int, gain: float, use_wscale: bool) -> None:
        super().__init__()
        std = gain / math.sqrt(fan_in)
        self.weight = nn.Parameter(torch.zeros(shape))
        self.bias = nn.Parameter(torch.zeros(biases))
        self.multiplier = std if use_wscale else 1.0
        self._initial_std = 1.0 if use_wscale else std

    def scaled_weight(self) -> Tensor:
        """The weight as the layer uses it."""
        return self.weight * self.multiplier

    @torch.no_grad()
    def initialise(self, rng: torch.Generator) -> None:
        """Draw the weight from `rng` (a CPU generator, so that every device starts alike); set the bias to zero."""
        drawn = torch.randn(self.weight.shape, generator=rng)
        self.weight.copy_(drawn * self._initial_std)
        self.bias.zero_()


class Dense(Layer):
    """A matrix product. Input (N, inputs) or (N, C, H, W), which is flattened in that order; output (N, outputs)."""

    def __init__(self, inputs: int, outputs: int, *, gain: float, use_wscale: bool) -> None:
        super().__init__((outputs, inputs), biases=outputs, fan_in=inputs, gain=gain, use_wscale=use_wscale)

    def forward(self, x: Tensor) -> Tensor:
        """Multiply and add the bias."""
        return functional.linear(x.flatten(1), self.scaled_weight(), self.bias)


class DenseToMaps(Layer):
    """A matrix product whose result is seen as `maps` feature maps of 4x4, with one bias per map."""

    def __init__(self, inputs: int, maps: int, *, gain: float, use_wscale: bool) -> None:
        super().__init__((maps * 16, inputs), biases=maps, fan_in=inputs, gain=gain, use_wscale=use_wscale)

    def forward(self, x_NL: Tensor) -> Tensor:
        """Multiply, reshape to (N, maps, 4, 4) and add the bias."""
        product = functional.linear(x_NL, self.scaled_weight())
        return channels_last(product.view(len(x_NL), -1, 4, 4)) + self.bias.view(1, -1, 1, 1)


class Conv(Layer):
    """A convolution of odd kernel size that keeps the image size, zeros outside."""

    def __init__(self, inputs: int, outputs: int, *, kernel: int, gain: float, use_wscale: bool) -> None:
        shape = (outputs, inputs, kernel, kernel)
        super().__init__(shape, biases=outputs, fan_in=inputs * kernel**2, gain=gain, use_wscale=use_wscale)
        self._padding = kernel // 2

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Convolve and add the bias."""
        return functional.conv2d(x_NCHW, self.scaled_weight(), self.bias, padding=self._padding)


class ConvUp(Layer):
    """Nearest-neighbour 2x upscaling and a 3x3 convolution as one transposed convolution.

    The weight, (inputs, outputs, 3, 3), is the filter of a transposed convolution: the separate convolution that
    gives the same result has it flipped in both directions, with the channel axes exchanged.
    """

    def __init__(self, inputs: int, outputs: int, *, gain: float, use_wscale: bool) -> None:
        shape = (inputs, outputs, 3, 3)
        super().__init__(shape, biases=outputs, fan_in=inputs * 9, gain=gain, use_wscale=use_wscale)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Upscale, convolve and add the bias: (N, outputs, 2H, 2W)."""
        return functional.conv_transpose2d(x_NCHW, sum_of_shifts(self.scaled_weight()), self.bias, stride=2, padding=1)


class ConvDown(Layer):
    """A 3x3 convolution and a 2x2 mean as one convolution of stride 2; the bias comes after the mean."""

    def __init__(self, inputs: int, outputs: int, *, gain: float, use_wscale: bool) -> None:
        shape = (outputs, inputs, 3, 3)
        super().__init__(shape, biases=outputs, fan_in=inputs * 9, gain=gain, use_wscale=use_wscale)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Convolve, downscale and add the bias: (N, outputs, H / 2, W / 2)."""
        weight = sum_of_shifts(self.weight * (self.multiplier * 0.25))
        return functional.conv2d(x_NCHW, weight, self.bias, stride=2, padding=1)


def sum_of_shifts(kernel: Tensor) -> Tensor:
    """A kernel (..., 3, 3) convolved with a 2x2 box of ones: (..., 4, 4)."""
    padded = functional.pad(kernel, (1, 1, 1, 1))
    rows = padded[..., 1:, :] + padded[..., :-1, :]
    return rows[..., 1:] + rows[..., :-1]


def channels_last(x_NCHW: Tensor) -> Tensor:
    """The same values with channels innermost in memory: the order that convolutions are fastest in."""
    return x_NCHW.contiguous(memory_format=torch.channels_last)


def leaky_relu(x: Tensor) -> Tensor:
    """`x` above zero, `LEAK` times `x` elsewhere; the slope at exactly zero is `LEAK`."""
    return functional.leaky_relu(x, LEAK)


def pixel_norm(x: Tensor, epsilon: float) -> Tensor:
    """Scale the vector along axis 1 (of every pixel of every sample) to unit RMS. Karras et al. 2018, §4.2."""
    return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + epsilon)


def minibatch_stddev(x_NCHW: Tensor, group_size: int) -> Tensor:
    """Append one map that tells how much the samples of a group differ. Karras et al. 2018, §3.

    With M groups, sample n belongs to group n mod M. A group larger than the minibatch is the minibatch.
    The group size must divide N.
    """
    samples, channels, height, width = x_NCHW.shape
    members = min(group_size, samples)
    grouped = x_NCHW.reshape(members, -1, channels, height, width)
    std = (grouped.var(dim=0, correction=0) + 1e-8).sqrt()
    statistic_M = std.mean(dim=(1, 2, 3))
    map_N1HW = statistic_M.repeat(members).view(samples, 1, 1, 1).expand(-1, 1, height, width)
    return torch.cat([x_NCHW, map_N1HW], dim=1)


def upscale(x_NCHW: Tensor) -> Tensor:
    """Twice the size, nearest neighbour."""
    return functional.interpolate(x_NCHW, scale_factor=2, mode="nearest")


def downscale(x_NCHW: Tensor) -> Tensor:
    """Half the size, 2x2 mean."""
    return functional.avg_pool2d(x_NCHW, 2)
