"""Convolutions whose second derivatives are as fast as the first.

torch computes the second derivative of a convolution as a convolution whose kernel is as large as the image. Here every
derivative is one of three kernels: a convolution, a transposed convolution, or the gradient of the weight.

Shapes: x (N, C, H, W); weight (outputs, inputs, k, k), of a transposed convolution (inputs, outputs, k, k).
"""

# a backward method takes as many arguments as its forward method returns values
# pyright: reportIncompatibleMethodOverride=false

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

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


def conv2d(x: Tensor, weight: Tensor, stride: int = 1) -> Tensor:
    """Zero-padded convolution: same size for an odd kernel and stride 1, half the size for 4x4 and stride 2."""
    return _Conv2d.apply(x, weight, stride, False)  # pyright: ignore[reportReturnType]


def conv_transpose2d(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """The transpose of `conv2d` as a linear map of x: twice the size for a 4x4 kernel and stride 2."""
    return _Conv2d.apply(x, weight, stride, True)  # pyright: ignore[reportReturnType]


class _Conv2d(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int, transposed: bool) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.geometry = stride, transposed
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
