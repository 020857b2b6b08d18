"""Building blocks of both networks: layers with equalised learning rate, normalisations, minibatch statistics.

Shape suffixes: N samples, C channels, H and W rows and columns, L features of a vector.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.ops.conv2d import convolve, convolve_transposed


class Layer(nn.Module):
    """A weight drawn from N(0, 1) and multiplied at run time by gain / sqrt(fan in), and a bias.

    Without `use_wscale` the weight is drawn with that standard deviation instead and used as it is.
    With 0 `biases` there is none. Karras et al. 2018, §4.1.

    Attributes
    ----------
    multiplier
        What the stored weight is multiplied with at run time.
    """

    compute_dtype: torch.dtype | None = None
    """The type that a 3x3 convolution is computed in; None for that of the weight, which all other layers keep."""

    def __init__(self, shape: tuple[int, ...], *, biases: int, fan_in: int, gain: float, use_wscale: bool) -> None:
        super().__init__()
        std = gain / math.sqrt(fan_in)
        self.weight = nn.Parameter(torch.zeros(shape))
        self.bias = nn.Parameter(torch.zeros(biases)) if biases else None
        self.multiplier = std if use_wscale else 1.0
        self._initial_std = 1.0 if use_wscale else std

    def scaled_weight(self) -> Tensor:
        """The weight as the layer uses it."""
        return self.weight * self.multiplier

    def apply_kernel(self, how: Callable[..., Tensor], x_NCHW: Tensor, kernel: Tensor, **geometry: int) -> Tensor:
        """`how(x, kernel)` in the type that is asked for, and the bias."""
        dtype = self.compute_dtype or self.weight.dtype
        return with_bias(how(x_NCHW.to(dtype), kernel.to(dtype), **geometry), self.bias)

    @torch.no_grad()
    def initialise(self, rng: torch.Generator) -> None:
        """Draw the weight from `rng` (a CPU generator, so that every device starts alike); set the bias to zero."""
        drawn = torch.randn(self.weight.shape, generator=rng)
        self.weight.copy_(drawn * self._initial_std)
        if self.bias is not None:
            self.bias.zero_()


class Dense(Layer):
    """A matrix product. Input (N, inputs) or (N, C, H, W), which is flattened in that order; output (N, outputs)."""

    def __init__(self, inputs: int, outputs: int, *, gain: float, use_wscale: bool, bias: bool = True) -> None:
        shape = (outputs, inputs)
        super().__init__(shape, biases=outputs * bias, fan_in=inputs, gain=gain, use_wscale=use_wscale)

    def forward(self, x: Tensor) -> Tensor:
        """Multiply and add the bias."""
        return functional.linear(x.to(self.weight.dtype).flatten(1), self.scaled_weight(), self.bias)


class DenseToMaps(Layer):
    """A matrix product whose result is seen as `maps` feature maps of 4x4, with one bias per map."""

    def __init__(self, inputs: int, maps: int, *, gain: float, use_wscale: bool, bias: bool = True) -> None:
        shape = (maps * 16, inputs)
        super().__init__(shape, biases=maps * bias, fan_in=inputs, gain=gain, use_wscale=use_wscale)

    def forward(self, x_NL: Tensor) -> Tensor:
        """Multiply, reshape to (N, maps, 4, 4) and add the bias."""
        product = functional.linear(x_NL, self.scaled_weight())
        maps_NCHW = channels_last(product.view(len(x_NL), -1, 4, 4))
        return with_bias(maps_NCHW, self.bias)


class Conv(Layer):
    """A convolution of odd kernel size that keeps the image size, zeros outside."""

    def __init__(
        self, inputs: int, outputs: int, *, kernel: int, gain: float, use_wscale: bool, bias: bool = True
    ) -> None:
        shape = (outputs, inputs, kernel, kernel)
        super().__init__(shape, biases=outputs * bias, fan_in=inputs * kernel**2, gain=gain, use_wscale=use_wscale)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Convolve and add the bias."""
        return self.apply_kernel(convolve, x_NCHW, self.scaled_weight())


class ConvUp(Layer):
    """Nearest-neighbour 2x upscaling and a 3x3 convolution as one transposed convolution.

    The weight, (inputs, outputs, 3, 3), is the filter of a transposed convolution: the separate convolution that
    gives the same result has it flipped in both directions, with the channel axes exchanged.
    """

    shifts: Tensor

    def __init__(self, inputs: int, outputs: int, *, gain: float, use_wscale: bool, bias: bool = True) -> None:
        shape = (inputs, outputs, 3, 3)
        super().__init__(shape, biases=outputs * bias, fan_in=inputs * 9, gain=gain, use_wscale=use_wscale)
        self.register_buffer("shifts", shifts(self.multiplier), persistent=False)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Upscale, convolve and add the bias: (N, outputs, 2H, 2W)."""
        return self.apply_kernel(convolve_transposed, x_NCHW, sum_of_shifts(self.weight, self.shifts), stride=2)


class ConvDown(Layer):
    """A 3x3 convolution and a 2x2 mean as one convolution of stride 2; the bias comes after the mean."""

    shifts: Tensor

    def __init__(self, inputs: int, outputs: int, *, gain: float, use_wscale: bool, bias: bool = True) -> None:
        shape = (outputs, inputs, 3, 3)
        super().__init__(shape, biases=outputs * bias, fan_in=inputs * 9, gain=gain, use_wscale=use_wscale)
        self.register_buffer("shifts", shifts(self.multiplier * 0.25), persistent=False)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Convolve, downscale and add the bias: (N, outputs, H / 2, W / 2)."""
        return self.apply_kernel(convolve, x_NCHW, sum_of_shifts(self.weight, self.shifts), stride=2)


class BatchNorm(nn.Module):
    """Every map to mean 0 and deviation 1 over the minibatch, then a gain and an offset (Ioffe and Szegedy 2015).

    In evaluation mode the running mean and variance take the place of the minibatch's.
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(maps))
        self.bias = nn.Parameter(torch.zeros(maps))
        self.register_buffer("mean", torch.zeros(maps))
        self.register_buffer("variance", torch.ones(maps))

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Normalise; in training mode, move the running statistics a tenth of the way to the minibatch's."""
        return functional.batch_norm(
            x_NCHW.to(self.weight.dtype),
            self.mean,
            self.variance,
            self.weight,
            self.bias,
            training=self.training,
            momentum=0.1,
        )


class LayerNorm(nn.Module):
    """Every sample to mean 0 and deviation 1 over its maps and pixels, then a gain and an offset per map.

    Ba, Kiros and Hinton 2016; Gulrajani et al. 2017 use it in the critic, where samples must not mix.
    """

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(maps))
        self.bias = nn.Parameter(torch.zeros(maps))

    def forward(self, x: Tensor) -> Tensor:
        """(N, maps, …) → the same shape."""
        return functional.group_norm(x.to(self.weight.dtype), 1, self.weight, self.bias)


class MinibatchDiscrimination(nn.Module):
    """Appends to each feature vector how near it lies to those of the other samples (Salimans et al. 2016).

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
        """Scale the kernels so that neighbours lie 2 apart on average, and centre what they append, on these samples.

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
        """To every other sample, (N, N, kernels); infinite to itself."""
        unit_KSL = self.weight / self.weight.square().sum(dim=2, keepdim=True).sqrt()
        projected_NKS = torch.einsum("nl,ksl->nks", x_NL, unit_KSL * self.scale.exp().view(-1, 1, 1))
        distances_NNK = (projected_NKS.unsqueeze(0) - projected_NKS.unsqueeze(1)).abs().sum(dim=3)
        itself_NN1 = torch.eye(len(x_NL), dtype=torch.bool, device=x_NL.device).unsqueeze(2)
        return distances_NNK.masked_fill(itself_NN1, math.inf)


def shifts(factor: float) -> Tensor:
    """The linear map (16, 9) from a 3x3 kernel to it convolved with a 2x2 box of `factor`."""
    one_axis = torch.tensor([[1.0, 0, 0], [1, 1, 0], [0, 1, 1], [0, 0, 1]])
    return torch.kron(one_axis, one_axis) * factor


def sum_of_shifts(kernel: Tensor, shifts: Tensor) -> Tensor:
    """Apply the map of `shifts` to a kernel (A, B, 3, 3): (A, B, 4, 4), in memory order channels-last."""
    first, second = kernel.shape[:2]
    kernel_A9B = kernel.permute(0, 2, 3, 1).reshape(first, 9, second)
    return torch.matmul(shifts, kernel_A9B).view(first, 4, 4, second).permute(0, 3, 1, 2)


def full(x: Tensor) -> Tensor:
    """float32 instead of a shorter type: what statistics are taken in."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def channels_last(x_NCHW: Tensor) -> Tensor:
    """The same values with channels innermost in memory: the order that convolutions are fastest in."""
    return x_NCHW.contiguous(memory_format=torch.channels_last)


def with_bias(x_NCHW: Tensor, bias_C: Tensor | None) -> Tensor:
    """One number added to each map."""
    return x_NCHW if bias_C is None else x_NCHW + bias_C.to(x_NCHW.dtype).view(1, -1, 1, 1)


def pixel_norm(x: Tensor, epsilon: float) -> Tensor:
    """Scale the vector along axis 1 (of every pixel of every sample) to unit RMS. Karras et al. 2018, §4.2."""
    x = full(x)
    return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + epsilon)


def minibatch_stddev(x_NCHW: Tensor, group_size: int) -> Tensor:
    """Append one map that tells how much the samples of a group differ. Karras et al. 2018, §3.

    With M groups, sample n belongs to group n mod M. A group larger than the minibatch is the minibatch.
    The group size must divide N.
    """
    x_NCHW = full(x_NCHW)
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
