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

from training.ops.packing import Images, Packed, pack, unpack

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


def conv2d(x: Images, weight: Tensor, stride: int = 1, bias: Tensor | None = None) -> Images:
    """Zero-padded convolution: same size for an odd kernel and stride 1, half the size for 4x4 and stride 2.

    On a GPU, the result of a 3x3 kernel may be packed.
    """
    outputs, inputs, kernel = weight.shape[:3]
    if _on_gpu(x):
        if kernel == 1 and min(inputs, outputs) <= RGB_MAPS:
            return add_bias(rgb_conv2d(unpack(x), weight), bias)
        if (kernel, stride) == (3, 1) and _packs(x, maps=max(inputs, outputs)):
            return add_bias(packed_conv2d(x, weight), bias)
        if (kernel, stride) == (4, 2) and _packs(x, maps=inputs):
            return add_bias(packed_conv2d_down(x, weight), bias)
    return add_bias(_Conv2d.apply(unpack(x), weight, stride, False), bias)  # pyright: ignore[reportArgumentType]


def conv_transpose2d(x: Images, weight: Tensor, stride: int, bias: Tensor | None = None) -> Images:
    """The transpose of `conv2d` as a linear map of x: twice the size for a 4x4 kernel and stride 2.

    On a GPU, the result may be packed.
    """
    x = unpack(x)
    if _on_gpu(x) and (weight.shape[2], stride) == (4, 2) and _packs(x, maps=weight.shape[1]):
        return add_bias(packed_conv_transpose2d(x, weight), bias)
    return add_bias(_Conv2d.apply(x, weight, stride, True), bias)  # pyright: ignore[reportArgumentType]


def add_bias(x: Images, bias_C: Tensor | None) -> Images:
    """Add one number to each map."""
    if bias_C is None:
        return x
    if isinstance(x, Packed):
        return Packed(_add_bias(x.maps, bias_C.repeat(4)))  # whose gradient is a sum over a tensor that is there
    return _add_bias(x, bias_C)


def _add_bias(x_NCHW: Tensor, bias_C: Tensor) -> Tensor:
    return x_NCHW + bias_C.to(x_NCHW.dtype).view(1, -1, 1, 1)


def rgb_conv2d(x: Tensor, weight: Tensor) -> Tensor:
    """A 1x1 convolution as sums of products."""
    outputs, inputs = weight.shape[:2]
    if inputs > outputs:
        return torch.cat([(x * weight[o].view(1, -1, 1, 1)).sum(dim=1, keepdim=True) for o in range(outputs)], dim=1)
    y = x[:, :1] * weight[:, 0].view(1, -1, 1, 1)
    for i in range(1, inputs):
        y = y + x[:, i : i + 1] * weight[:, i].view(1, -1, 1, 1)
    return y


def packed_conv2d(x: Images, weight: Tensor) -> Packed:
    """The convolution with a 3x3 kernel, computed on packed images of even height and width."""
    padded = functional.pad(weight, (2, 2, 2, 2))
    kernels = [_packed_inputs(padded[:, :, 1 - row : 7 - row, 1 - column : 7 - column]) for row, column in _QUARTERS]
    return Packed(_Conv2d.apply(pack(x).maps, torch.cat(kernels), 1, False))  # pyright: ignore[reportArgumentType]


def packed_conv2d_down(x: Images, weight: Tensor) -> Tensor:
    """The convolution with a 4x4 kernel and stride 2, computed on packed images; the result is not packed."""
    return _Conv2d.apply(pack(x).maps, _packed_down(weight), 1, False)  # pyright: ignore[reportReturnType]


def packed_conv_transpose2d(x: Tensor, weight: Tensor) -> Packed:
    """The transposed convolution with a 4x4 kernel and stride 2, to packed images."""
    return Packed(_Conv2d.apply(x, _packed_down(weight), 1, True))  # pyright: ignore[reportArgumentType]


_QUARTERS = (0, 0), (0, 1), (1, 0), (1, 1)
"""Row and column of the pixels of a 2x2 block."""


def _on_gpu(x: Images) -> bool:
    return x.maps.is_cuda if isinstance(x, Packed) else x.is_cuda


def _packs(x: Images, *, maps: int) -> bool:
    if isinstance(x, Packed):
        return maps <= PACKED_MAPS
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
