"""Convolutions whose second derivatives are as fast as the first, and activations that remember little.

torch computes the gradient of a convolution's gradient with respect to the weight as a convolution whose kernel is as
large as the image. Here each derivative is one of three kernels: a convolution, a transposed convolution, a gradient of
the weight. Shapes: x (N, C, H, W); weight (outputs, inputs, k, k), of a transposed convolution (inputs, outputs, k, k).
"""

# a backward method has the arguments that its forward method has results
# pyright: reportIncompatibleMethodOverride=false

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from training.ops import winograd

LEAK = 0.2
"""Slope of the leaky ReLU below zero."""


class _Wanted:
    """What backward passes compute; the threads of the autograd engine share it."""

    weight_grad = True


@contextmanager
def no_weight_grad() -> Generator[None]:
    """Leave the gradients of convolution weights out of backward passes.

    Autograd does not tell a custom function which of its gradients are asked for.
    """
    before, _Wanted.weight_grad = _Wanted.weight_grad, False
    try:
        yield
    finally:
        _Wanted.weight_grad = before


def convolve(x: Tensor, weight: Tensor, stride: int = 1) -> Tensor:
    """Zeros outside; the size stays for an odd kernel and stride 1, and is halved by one of 4x4 and stride 2."""
    return _Convolution.apply(x, weight, stride, False)  # pyright: ignore[reportReturnType]


def convolve_transposed(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """The transpose of `convolve` as a linear map of x: twice the size for a kernel of 4x4 and stride 2."""
    return _Convolution.apply(x, weight, stride, True)  # pyright: ignore[reportReturnType]


class _Convolution(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int, transposed: bool) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.geometry = stride, transposed
        if winograd.pays(x, weight, stride):
            return winograd.convolve(x, weight, transposed)
        padding = (weight.shape[-1] - 1) // 2
        return torch.ops.aten.convolution(x, weight, None, [stride] * 2, [padding] * 2, [1, 1], transposed, [0, 0], 1)

    @staticmethod
    def backward(ctx: Any, grad_y: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        x, weight = ctx.saved_tensors
        stride, transposed = ctx.geometry
        grad_x = grad_weight = None
        if ctx.needs_input_grad[0]:
            grad_x = _Convolution.apply(grad_y, weight, stride, not transposed)
        if ctx.needs_input_grad[1] and _Wanted.weight_grad:
            grad_weight = _WeightGrad.apply(x, grad_y, weight, (stride, transposed))
        return grad_x, grad_weight, None, None


class _WeightGrad(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, grad_y: Tensor, weight: Tensor, geometry: tuple[int, bool]) -> Tensor:
        ctx.save_for_backward(x, grad_y)
        ctx.geometry = stride, transposed = geometry
        if winograd.pays(x, weight, stride):
            return winograd.weight_grad(grad_y, x) if transposed else winograd.weight_grad(x, grad_y)
        padding = (weight.shape[-1] - 1) // 2
        _, grad_weight, _ = torch.ops.aten.convolution_backward(
            grad_y, x, weight, None, [stride] * 2, [padding] * 2, [1, 1], transposed, [0, 0], 1, [False, True, False]
        )
        return grad_weight

    @staticmethod
    def backward(ctx: Any, grads: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        x, grad_y = ctx.saved_tensors
        stride, transposed = ctx.geometry
        of_x = _Convolution.apply(grad_y, grads, stride, not transposed) if ctx.needs_input_grad[0] else None
        of_y = _Convolution.apply(x, grads, stride, transposed) if ctx.needs_input_grad[1] else None
        return of_x, of_y, None, None


def leaky_relu(x: Tensor) -> Tensor:
    """`x` above zero, `LEAK` times `x` elsewhere; the slope at exactly zero is `LEAK`."""
    return _LeakyRelu.apply(x)  # pyright: ignore[reportReturnType]


class _LeakyRelu(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = torch.ops.aten.leaky_relu(x, LEAK)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, grad_y: Tensor) -> Any:
        (y,) = ctx.saved_tensors
        return _LeakyReluGrad.apply(grad_y, y)


class _LeakyReluGrad(Function):
    """Linear in the grads; its own derivative in y is zero and is not computed."""

    @staticmethod
    def forward(ctx: Any, grad_y: Tensor, y: Tensor) -> Tensor:
        ctx.save_for_backward(y)
        return torch.ops.aten.leaky_relu_backward(grad_y, y, LEAK, True)

    @staticmethod
    def backward(ctx: Any, grads: Tensor) -> Any:
        (y,) = ctx.saved_tensors
        return _LeakyReluGrad.apply(grads, y), None


def leaky_relu_and_norm(x_NCHW: Tensor, epsilon: float) -> Tensor:
    """Leaky ReLU, then pixel norm; keeps two tensors for the backward pass, not five. First derivatives only."""
    return _LeakyReluAndNorm.apply(x_NCHW, epsilon)  # pyright: ignore[reportReturnType]


class _LeakyReluAndNorm(Function):
    @staticmethod
    def forward(ctx: Any, x_NCHW: Tensor, epsilon: float) -> Tensor:
        y_NCHW = torch.ops.aten.leaky_relu(x_NCHW, LEAK)
        long = torch.promote_types(y_NCHW.dtype, torch.float32)
        norm_N1HW = torch.linalg.vector_norm(y_NCHW, dim=1, keepdim=True, dtype=long)
        factor_N1HW = torch.rsqrt(norm_N1HW.square_().div_(y_NCHW.shape[1]).add_(epsilon))
        y_NCHW.mul_(factor_N1HW)
        ctx.save_for_backward(y_NCHW, factor_N1HW)
        return y_NCHW

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_NCHW: Tensor) -> tuple[Tensor, None]:
        y_NCHW, factor_N1HW = ctx.saved_tensors
        grad_NCHW = grad_NCHW.to(factor_N1HW.dtype)
        along_N1HW = (grad_NCHW * y_NCHW).mean(dim=1, keepdim=True)
        grad_NCHW = torch.addcmul(grad_NCHW, y_NCHW.to(factor_N1HW.dtype), along_N1HW, value=-1).mul_(factor_N1HW)
        return torch.ops.aten.leaky_relu_backward(grad_NCHW.to(y_NCHW.dtype), y_NCHW, LEAK, True), None
