"""Convolutions whose second derivatives are as fast as the first.

torch computes the second derivative of a convolution as a convolution whose kernel is as large as the image. Here every
derivative is one of three kernels: a convolution, a transposed convolution, or the gradient of the weight.

A GPU computes two cases in another form, for the same sums. With few maps, matrix units are mostly idle: large images
of at most `PACKED_MAPS` maps are convolved as images of half the size and four times the maps, with kernels that are
three quarters zeros. And 1x1 convolutions from or to RGB are sums of products, which a compiler fuses with what
surrounds them.

A CPU multiplies less in wide 3x3 convolutions in float32 (`training.ops.winograd`).

Shapes: x (N, C, H, W); weight (outputs, inputs, k, k), of a transposed convolution (inputs, outputs, k, k).
"""

# a backward method takes as many arguments as its forward method returns values
# pyright: reportIncompatibleMethodOverride=false

import importlib
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional

PACKED_MAPS = 16
"""Matrix units compute at least 32 maps; 512² images of 32 maps gain nothing by packing on an H200."""
PACKED_PIXELS = 1 << 16
RGB_MAPS = 4

_weight_grad_enabled = True
"""A module variable, not a thread-local one: autograd runs backward passes in threads of its own."""


@contextmanager
def no_weight_grad() -> Generator[None]:
    """Skip the gradients of convolution weights in backward passes.

    Autograd does not pass to a custom function which of its gradients are needed.
    """
    global _weight_grad_enabled  # noqa: PLW0603
    before, _weight_grad_enabled = _weight_grad_enabled, False
    try:
        yield
    finally:
        _weight_grad_enabled = before


def conv2d(x: Tensor, weight: Tensor, stride: int = 1, bias: Tensor | None = None) -> Tensor:
    """Zero-padded convolution: same size for an odd kernel and stride 1, half the size for 4x4 and stride 2."""
    outputs, inputs, kernel = weight.shape[:3]
    if _on_gpu(x) and kernel == 1 and min(inputs, outputs) <= RGB_MAPS:
        return add_bias(rgb_conv2d(x, weight), bias)
    if _on_gpu(x) and _packs(x, maps=inputs if stride == 2 else max(inputs, outputs)):
        if (kernel, stride) == (3, 1):
            return packed_conv2d(x, weight, bias)
        if (kernel, stride) == (4, 2):
            return add_bias(packed_conv2d_down(x, weight), bias)
    return add_bias(_Conv2d.apply(x, weight, stride, False), bias)  # pyright: ignore[reportArgumentType]


def conv_transpose2d(x: Tensor, weight: Tensor, stride: int, bias: Tensor | None = None) -> Tensor:
    """The transpose of `conv2d` as a linear map of x: twice the size for a 4x4 kernel and stride 2."""
    if _on_gpu(x) and (weight.shape[2], stride) == (4, 2) and _packs(x, maps=weight.shape[1]):
        return packed_conv_transpose2d(x, weight, bias)
    return add_bias(_Conv2d.apply(x, weight, stride, True), bias)  # pyright: ignore[reportArgumentType]


def add_bias(x_NCHW: Tensor, bias_C: Tensor | None) -> Tensor:
    """Add one number to each map."""
    return x_NCHW if bias_C is None else x_NCHW + bias_C.to(x_NCHW.dtype).view(1, -1, 1, 1)


def _add_packed_bias(x: Tensor, bias: Tensor | None) -> Tensor:
    """Add one number to each map of packed images: its gradient is a sum over a tensor that is there in any case."""
    return add_bias(x, None if bias is None else bias.repeat(4))


def rgb_conv2d(x: Tensor, weight: Tensor) -> Tensor:
    """A 1x1 convolution as sums of products."""
    outputs, inputs = weight.shape[:2]
    if inputs > outputs:
        return torch.cat([(x * weight[o].view(1, -1, 1, 1)).sum(dim=1, keepdim=True) for o in range(outputs)], dim=1)
    y = x[:, :1] * weight[:, 0].view(1, -1, 1, 1)
    for i in range(1, inputs):
        y = y + x[:, i : i + 1] * weight[:, i].view(1, -1, 1, 1)
    return y


def packed_conv2d(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """The convolution with a 3x3 kernel, computed on packed images of even height and width."""
    padded = functional.pad(weight, (2, 2, 2, 2))
    kernels = [_packed_inputs(padded[:, :, 1 - row : 7 - row, 1 - column : 7 - column]) for row, column in _QUARTERS]
    packed = _Conv2d.apply(pack(x), torch.cat(kernels), 1, False)
    return unpack(_add_packed_bias(packed, bias))  # pyright: ignore[reportArgumentType]


def packed_conv2d_down(x: Tensor, weight: Tensor) -> Tensor:
    """The convolution with a 4x4 kernel and stride 2, computed on packed images."""
    return _Conv2d.apply(pack(x), _packed_down(weight), 1, False)  # pyright: ignore[reportReturnType]


def packed_conv_transpose2d(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """The transposed convolution with a 4x4 kernel and stride 2, to packed images, which are then unpacked."""
    packed = _Conv2d.apply(x, _packed_down(weight), 1, True)
    return unpack(_add_packed_bias(packed, bias))  # pyright: ignore[reportArgumentType]


_QUARTERS = (0, 0), (0, 1), (1, 0), (1, 1)
"""Row and column of the pixels of a 2x2 block."""


def pack(x: Tensor) -> Tensor:
    """The pixels of each 2x2 block as maps: (N, C, 2H, 2W) → (N, 4C, H, W), channels-last in memory."""
    samples, maps, height, width = x.shape
    blocks = x.permute(0, 2, 3, 1).reshape(samples, height // 2, 2, width // 2, 2, maps).permute(0, 1, 3, 2, 4, 5)
    return blocks.reshape(samples, height // 2, width // 2, 4 * maps).permute(0, 3, 1, 2)


def unpack(x: Tensor) -> Tensor:
    """The inverse of `pack`."""
    samples, maps, height, width = x.shape
    blocks = x.permute(0, 2, 3, 1).reshape(samples, height, width, 2, 2, maps // 4).permute(0, 1, 3, 2, 4, 5)
    return blocks.reshape(samples, 2 * height, 2 * width, maps // 4).permute(0, 3, 1, 2)


def _on_gpu(x: Tensor) -> bool:
    return x.is_cuda


def _packs(x: Tensor, *, maps: int) -> bool:
    height, width = x.shape[2:]
    return maps <= PACKED_MAPS and height * width >= PACKED_PIXELS and height % 2 == width % 2 == 0


def _packed_down(weight: Tensor) -> Tensor:
    """A 4x4 kernel (A, B, 4, 4) of stride 2 as one of stride 1 on packed images: (A, 4B, 3, 3)."""
    return _packed_inputs(functional.pad(weight, (1, 1, 1, 1)))


def _packed_inputs(weight: Tensor) -> Tensor:
    """A kernel (A, B, 6, 6) on three blocks by three as one on packed images: (A, 4B, 3, 3), channels-last."""
    a, b = weight.shape[:2]
    blocks = weight.reshape(a, b, 3, 2, 3, 2).permute(0, 2, 4, 3, 5, 1)
    return blocks.reshape(a, 3, 3, 4 * b).permute(0, 3, 1, 2)


@cache
def _winograd() -> ModuleType | None:
    """The module that multiplies less on a CPU; None without numba."""
    try:
        return importlib.import_module("training.ops.winograd")
    except ImportError:
        return None


def _tiles_for(x: Tensor, weight: Tensor, stride: int) -> ModuleType | None:
    """`training.ops.winograd` where it is there and faster."""
    module = None if x.is_cuda else _winograd()
    return module if module is not None and module.pays(x, weight, stride) else None


class _Conv2d(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int, transposed: bool) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.geometry = stride, transposed
        if (tiles := _tiles_for(x, weight, stride)) is not None:
            return tiles.conv2d(x, weight, transposed)
        strides, padding = [stride] * 2, [(weight.shape[-1] - 1) // 2] * 2
        return torch.ops.aten.convolution(x, weight, None, strides, padding, [1, 1], transposed, [0, 0], 1)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        x, weight = ctx.saved_tensors
        stride, transposed = ctx.geometry
        grad_input = grad_weight = None
        if ctx.needs_input_grad[0]:
            grad_input = _Conv2d.apply(grad_output, weight, stride, not transposed)
        if ctx.needs_input_grad[1] and _weight_grad_enabled:
            grad_weight = _Conv2dWeightGrad.apply(x, grad_output, weight, (stride, transposed))
        return grad_input, grad_weight, None, None


class _Conv2dWeightGrad(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, grad_output: Tensor, weight: Tensor, geometry: tuple[int, bool]) -> Tensor:
        ctx.save_for_backward(x, grad_output)
        ctx.geometry = stride, transposed = geometry
        if (tiles := _tiles_for(x, weight, stride)) is not None:
            return tiles.weight_grad(x, grad_output, transposed)
        strides, padding = [stride] * 2, [(weight.shape[-1] - 1) // 2] * 2
        _, grad_weight, _ = torch.ops.aten.convolution_backward(
            grad_output, x, weight, None, strides, padding, [1, 1], transposed, [0, 0], 1, [False, True, False]
        )
        return grad_weight

    @staticmethod
    def backward(ctx: Any, grad_grad_weight: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        x, grad_output = ctx.saved_tensors
        stride, transposed = ctx.geometry
        grad_x = grad_grad_output = None
        if ctx.needs_input_grad[0]:
            grad_x = _Conv2d.apply(grad_output, grad_grad_weight, stride, not transposed)
        if ctx.needs_input_grad[1]:
            grad_grad_output = _Conv2d.apply(x, grad_grad_weight, stride, transposed)
        return grad_x, grad_grad_output, None, None
