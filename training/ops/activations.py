"""Activations that keep little for the backward pass."""

# a backward method takes as many arguments as its forward method returns values
# pyright: reportIncompatibleMethodOverride=false

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

NEGATIVE_SLOPE = 0.2


def leaky_relu(x: Tensor) -> Tensor:
    """Leaky ReLU with `NEGATIVE_SLOPE`, which is also its derivative at 0. Keeps the result, not the input."""
    return _LeakyRelu.apply(x)  # pyright: ignore[reportReturnType]


class _LeakyRelu(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = torch.ops.aten.leaky_relu(x, NEGATIVE_SLOPE)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> Any:
        (y,) = ctx.saved_tensors
        return _LeakyReluGrad.apply(grad_output, y)


class _LeakyReluGrad(Function):
    """Linear in `grad_output`; its derivative with respect to y is zero and is not computed."""

    @staticmethod
    def forward(ctx: Any, grad_output: Tensor, y: Tensor) -> Tensor:
        ctx.save_for_backward(y)
        return torch.ops.aten.leaky_relu_backward(grad_output, y, NEGATIVE_SLOPE, True)

    @staticmethod
    def backward(ctx: Any, grad_grad_input: Tensor) -> Any:
        (y,) = ctx.saved_tensors
        return _LeakyReluGrad.apply(grad_grad_input, y), None


def leaky_relu_and_pixel_norm(x_NCHW: Tensor, epsilon: float) -> Tensor:
    """Leaky ReLU, then pixel norm; keeps two tensors for the backward pass instead of five. First derivatives only."""
    return _LeakyReluAndPixelNorm.apply(x_NCHW, epsilon)  # pyright: ignore[reportReturnType]


class _LeakyReluAndPixelNorm(Function):
    @staticmethod
    def forward(ctx: Any, x_NCHW: Tensor, epsilon: float) -> Tensor:
        y_NCHW = torch.ops.aten.leaky_relu(x_NCHW, NEGATIVE_SLOPE)
        norm_dtype = torch.promote_types(y_NCHW.dtype, torch.float32)
        norm_N1HW = torch.linalg.vector_norm(y_NCHW, dim=1, keepdim=True, dtype=norm_dtype)
        scale_N1HW = torch.rsqrt(norm_N1HW.square_().div_(y_NCHW.shape[1]).add_(epsilon))
        y_NCHW.mul_(scale_N1HW)
        ctx.save_for_backward(y_NCHW, scale_N1HW)
        return y_NCHW

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_NCHW: Tensor) -> tuple[Tensor, None]:
        y_NCHW, scale_N1HW = ctx.saved_tensors
        grad_NCHW = grad_NCHW.to(scale_N1HW.dtype)
        projection_N1HW = (grad_NCHW * y_NCHW).mean(dim=1, keepdim=True)
        grad_NCHW = torch.addcmul(grad_NCHW, y_NCHW.to(scale_N1HW.dtype), projection_N1HW, value=-1).mul_(scale_N1HW)
        return torch.ops.aten.leaky_relu_backward(grad_NCHW.to(y_NCHW.dtype), y_NCHW, NEGATIVE_SLOPE, True), None
