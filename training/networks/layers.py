"""Building blocks of both networks: layers with equalised learning rate, normalisations, minibatch statistics.

Suffixes: N sample, C channel, H row, W column, L feature of a vector.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from training.ops.conv2d import add_bias, conv2d, conv_transpose2d
from training.ops.packing import Images, on_maps, unpack


class Layer(nn.Module):
    """Base of the layers: a weight from N(0, 1), multiplied at run time by gain / sqrt(fan_in), and a bias.

    Without `use_wscale` the weight is drawn with that standard deviation and used unscaled. `bias_size` 0: no bias.
    Karras et al. 2018, §4.1.

    Attributes
    ----------
    multiplier
        Factor of the stored weight at run time.
    compute_dtype
        Of a 3x3 convolution; None for the weight's dtype, which all other layers use.
    """

    compute_dtype: torch.dtype | None = None

    def __init__(self, shape: tuple[int, ...], *, bias_size: int, fan_in: int, gain: float, use_wscale: bool) -> None:
        super().__init__()
        std = gain / math.sqrt(fan_in)
        self.weight = nn.Parameter(torch.zeros(shape))
        self.bias = nn.Parameter(torch.zeros(bias_size)) if bias_size else None
        self.multiplier = std if use_wscale else 1.0
        self._initial_std = 1.0 if use_wscale else std

    def scaled_weight(self) -> Tensor:
        """The weight times `multiplier`."""
        return self.weight * self.multiplier

    def convolve(self, op: Callable[..., Images], x: Images, kernel: Tensor, **options: int) -> Images:
        """`op(x, kernel)` in `compute_dtype`, plus bias."""
        dtype = self.compute_dtype or self.weight.dtype
        return op(on_maps(lambda maps: maps.to(dtype), x), kernel.to(dtype), bias=self.bias, **options)

    @torch.no_grad()
    def initialise(self, rng: torch.Generator) -> None:
        """Draw the weight from `rng`, a CPU generator so that all devices start equal; set the bias to zero."""
        self.weight.copy_(torch.randn(self.weight.shape, generator=rng) * self._initial_std)
        if self.bias is not None:
            self.bias.zero_()


class Dense(Layer):
    """Fully connected layer: (N, inputs), or (N, C, H, W) flattened in this order, to (N, outputs)."""

    def __init__(self, inputs: int, outputs: int, *, gain: float, use_wscale: bool, bias: bool = True) -> None:
        shape = (outputs, inputs)
        super().__init__(shape, bias_size=outputs * bias, fan_in=inputs, gain=gain, use_wscale=use_wscale)

    def forward(self, x: Tensor) -> Tensor:
        """Multiply and add the bias."""
        return functional.linear(x.to(self.weight.dtype).flatten(1), self.scaled_weight(), self.bias)


class DenseToMaps(Layer):
    """Fully connected layer to `maps` feature maps of 4x4, with one bias per map."""

    def __init__(self, inputs: int, maps: int, *, gain: float, use_wscale: bool, bias: bool = True) -> None:
        shape = (maps * 16, inputs)
        super().__init__(shape, bias_size=maps * bias, fan_in=inputs, gain=gain, use_wscale=use_wscale)

    def forward(self, x_NL: Tensor) -> Tensor:
        """(N, inputs) → (N, maps, 4, 4)."""
        x = functional.linear(x_NL, self.scaled_weight())
        return unpack(add_bias(channels_last(x.view(-1, self.weight.shape[0] // 16, 4, 4)), self.bias))


class Conv(Layer):
    """Convolution with an odd kernel size and zero padding that keeps the image size."""

    def __init__(
        self, inputs: int, outputs: int, *, kernel: int, gain: float, use_wscale: bool, bias: bool = True
    ) -> None:
        shape = (outputs, inputs, kernel, kernel)
        super().__init__(shape, bias_size=outputs * bias, fan_in=inputs * kernel**2, gain=gain, use_wscale=use_wscale)

    def forward(self, x: Images) -> Images:
        """Convolve and add the bias."""
        return self.convolve(conv2d, x, self.scaled_weight())


class ConvUp(Layer):
    """Nearest-neighbour 2x upscaling and a 3x3 convolution as one transposed convolution.

    The weight, (inputs, outputs, 3, 3), is that of a transposed convolution. The separate convolution with the same
    result has it flipped in both directions, and its channel axes exchanged.
    """

    box_filter: Tensor

    def __init__(self, inputs: int, outputs: int, *, gain: float, use_wscale: bool, bias: bool = True) -> None:
        shape = (inputs, outputs, 3, 3)
        super().__init__(shape, bias_size=outputs * bias, fan_in=inputs * 9, gain=gain, use_wscale=use_wscale)
        self.register_buffer("box_filter", box_filter(self.multiplier), persistent=False)

    def forward(self, x: Images) -> Images:
        """Upscale, convolve and add the bias: (N, outputs, 2H, 2W)."""
        return self.convolve(conv_transpose2d, x, filtered_kernel(self.weight, self.box_filter), stride=2)


class ConvDown(Layer):
    """A 3x3 convolution and a 2x2 mean as one convolution of stride 2; the bias comes after the mean."""

    box_filter: Tensor

    def __init__(self, inputs: int, outputs: int, *, gain: float, use_wscale: bool, bias: bool = True) -> None:
        shape = (outputs, inputs, 3, 3)
        super().__init__(shape, bias_size=outputs * bias, fan_in=inputs * 9, gain=gain, use_wscale=use_wscale)
        self.register_buffer("box_filter", box_filter(self.multiplier * 0.25), persistent=False)

    def forward(self, x: Images) -> Images:
        """Convolve, downscale and add the bias: (N, outputs, H / 2, W / 2)."""
        return self.convolve(conv2d, x, filtered_kernel(self.weight, self.box_filter), stride=2)


class BatchNorm(nn.Module):
    """Batch normalisation with scale and shift (Ioffe and Szegedy 2015); running statistics in evaluation mode."""

    mean: Tensor
    variance: Tensor

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(maps))
        self.bias = nn.Parameter(torch.zeros(maps))
        self.register_buffer("mean", torch.zeros(maps))
        self.register_buffer("variance", torch.ones(maps))

    def forward(self, x: Images) -> Tensor:
        """Normalise; in training mode, update the running statistics with momentum 0.1."""
        x_NCHW = unpack(x).to(self.weight.dtype)
        return functional.batch_norm(x_NCHW, self.mean, self.variance, self.weight, self.bias, self.training)


class LayerNorm(nn.GroupNorm):
    """Layer normalisation over maps and pixels, with scale and shift per map (Ba, Kiros and Hinton 2016)."""

    def __init__(self, maps: int) -> None:
        super().__init__(1, maps)

    def forward(self, input: Images) -> Tensor:
        """(N, maps, …) → the same shape."""
        return super().forward(unpack(input).to(self.weight.dtype))


class MinibatchDiscrimination(nn.Module):
    """Appends to each feature vector its similarity to the other samples (Salimans et al. 2016).

    Each kernel projects to `size` dimensions; a sample's similarity to the others is the sum of exp(-L1 distance).
    Projections have unit length times exp(`scale`).
    """

    def __init__(self, inputs: int, kernels: int, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(kernels, size, inputs))
        self.scale = nn.Parameter(torch.zeros(kernels))
        self.bias = nn.Parameter(torch.zeros(kernels))

    @torch.no_grad()
    def initialise(self, rng: torch.Generator) -> None:
        """Draw the projections from `rng`; `fit` sets the rest."""
        self.weight.copy_(torch.randn(self.weight.shape, generator=rng))
        self.scale.zero_()
        self.bias.zero_()

    @torch.no_grad()
    def fit(self, x_NL: Tensor) -> None:
        """Set `scale` to a mean nearest-neighbour distance of 2, and `bias` to mean outputs of 0, on these samples.

        A minibatch of one sample has no neighbours and changes nothing.
        """
        if len(x_NL) < 2:
            return
        nearest_NK = self._distances(x_NL).amin(dim=1)
        self.scale -= (0.5 * nearest_NK.mean(dim=0)).clamp(min=1e-8).log()
        self.bias -= self._similarities(x_NL).mean(dim=0) + self.bias

    def forward(self, x_NL: Tensor) -> Tensor:
        """(N, inputs) → (N, inputs + kernels)."""
        return torch.cat([x_NL, self._similarities(x_NL) + self.bias], dim=1)

    def _similarities(self, x_NL: Tensor) -> Tensor:
        return torch.exp(-self._distances(x_NL)).sum(dim=1)

    def _distances(self, x_NL: Tensor) -> Tensor:
        """L1 distances of all pairs, (N, N, kernels); infinite on the diagonal."""
        unit_KSL = self.weight / self.weight.square().sum(dim=2, keepdim=True).sqrt()
        projected_NKS = torch.einsum("nl,ksl->nks", x_NL, unit_KSL * self.scale.exp().view(-1, 1, 1))
        distances_NNK = (projected_NKS.unsqueeze(0) - projected_NKS.unsqueeze(1)).abs().sum(dim=3)
        diagonal_NN1 = torch.eye(len(x_NL), dtype=torch.bool, device=x_NL.device).unsqueeze(2)
        return distances_NNK.masked_fill(diagonal_NN1, math.inf)


def box_filter(factor: float) -> Tensor:
    """The matrix (16, 9) that convolves a 3x3 kernel with a 2x2 box of the value `factor`."""
    # in numpy: arithmetic on the meta device loads torch's compiler and sympy, more than a second at the start of a run
    one_axis = np.array([[1.0, 0, 0], [1, 1, 0], [0, 1, 1], [0, 0, 1]])
    return torch.tensor((np.kron(one_axis, one_axis) * factor).tolist())


def filtered_kernel(kernel: Tensor, box_filter: Tensor) -> Tensor:
    """Apply `box_filter` to a kernel (A, B, 3, 3): (A, B, 4, 4), channels-last in memory."""
    a, b = kernel.shape[:2]
    kernel_A9B = kernel.permute(0, 2, 3, 1).reshape(a, 9, b)
    return torch.matmul(box_filter, kernel_A9B).view(a, 4, 4, b).permute(0, 3, 1, 2)


def at_least_float32(x: Tensor) -> Tensor:
    """Convert float16 and bfloat16 to float32, in which statistics are computed."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def channels_last(x_NCHW: Tensor) -> Tensor:
    """The same values in channels-last memory format, the fastest for convolutions."""
    return x_NCHW.contiguous(memory_format=torch.channels_last)


def pixel_norm(x: Tensor, epsilon: float) -> Tensor:
    """Scale the vector along axis 1, of every sample and pixel, to unit RMS (Karras et al. 2018, §4.2)."""
    x = at_least_float32(x)
    return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + epsilon)


def minibatch_stddev(x_NCHW: Tensor, group_size: int) -> Tensor:
    """Append one map with the mean standard deviation of the sample's group (Karras et al. 2018, §3).

    With M groups, sample n belongs to group n mod M. A group larger than the minibatch is the minibatch.
    The group size must divide N.
    """
    x_NCHW = at_least_float32(x_NCHW)
    samples, channels, height, width = x_NCHW.shape
    members = min(group_size, samples)
    grouped = x_NCHW.reshape(members, -1, channels, height, width)
    std = (grouped.var(dim=0, correction=0) + 1e-8).sqrt()
    statistic_M = std.mean(dim=(1, 2, 3))
    map_N1HW = statistic_M.repeat(members).view(samples, 1, 1, 1).expand(-1, 1, height, width)
    return torch.cat([x_NCHW, map_N1HW], dim=1)


def upscale(x: Images) -> Tensor:
    """Double the size, nearest neighbour."""
    return functional.interpolate(unpack(x), scale_factor=2, mode="nearest")


def downscale(x: Images) -> Tensor:
    """Halve the size, 2x2 mean."""
    return functional.avg_pool2d(unpack(x), 2)
