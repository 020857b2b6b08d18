"""Activations that keep little for the backward pass."""

# a backward method takes as many arguments as its forward method returns values
# pyright: reportIncompatibleMethodOverride=false

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from training.ops.packing import Images, Packed, on_maps

NEGATIVE_SLOPE = 0.2


def leaky_relu(x: Images) -> Images:
    """Leaky ReLU with `NEGATIVE_SLOPE`, which is also its derivative at 0. Keeps the result, not the input."""
    return on_maps(_LeakyRelu.apply, x)  # pyright: ignore[reportArgumentType]


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


def leaky_relu_and_pixel_norm(x: Images, epsilon: float) -> Images:
    """Leaky ReLU, then pixel norm; keeps two tensors for the backward pass instead of five. First derivatives only."""
    return on_maps(lambda maps: _LeakyReluAndPixelNorm.apply(maps, epsilon, isinstance(x, Packed)), x)  # pyright: ignore[reportArgumentType]


class _LeakyReluAndPixelNorm(Function):
    """Norms and scales have the shape (N, 1, H, W), of packed images (N, 4, 1, H, W)."""

    @staticmethod
    def forward(ctx: Any, x_NCHW: Tensor, epsilon: float, packed: bool) -> Tensor:
        y_NCHW = torch.ops.aten.leaky_relu(x_NCHW, NEGATIVE_SLOPE)
        norm_dtype = torch.promote_types(y_NCHW.dtype, torch.float32)
        planes = _planes(y_NCHW, packed)
        norm = torch.linalg.vector_norm(planes, dim=-3, keepdim=True, dtype=norm_dtype)
        scale = torch.rsqrt(norm.square_().div_(planes.shape[-3]).add_(epsilon))
        y_NCHW.mul_(_of_maps(scale, planes))
        ctx.save_for_backward(y_NCHW, scale)
        ctx.packed = packed
        return y_NCHW

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_NCHW: Tensor) -> tuple[Tensor, None, None]:
        y_NCHW, scale = ctx.saved_tensors
        grad_NCHW, planes = grad_NCHW.to(scale.dtype), _planes(y_NCHW, ctx.packed)
        projection = (_planes(grad_NCHW, ctx.packed) * planes).mean(dim=-3, keepdim=True)
        projection, scale = _of_maps(projection, planes), _of_maps(scale, planes)
        grad_NCHW = torch.addcmul(grad_NCHW, y_NCHW.to(scale.dtype), projection, value=-1).mul_(scale)
        return torch.ops.aten.leaky_relu_backward(grad_NCHW.to(y_NCHW.dtype), y_NCHW, NEGATIVE_SLOPE, True), None, None


def _planes(maps: Tensor, packed: bool) -> Tensor:
    return Packed(maps).planes() if packed else maps


def _of_maps(values: Tensor, planes: Tensor) -> Tensor:
    """Values of each pixel for its maps; of packed images (N, 4C, H, W), channels-last in memory as these are."""
    if planes.ndim == 4:
        return values
    shape = planes.permute(0, 3, 4, 1, 2).shape
    return values.permute(0, 3, 4, 1, 2).expand(shape).flatten(3).permute(0, 3, 1, 2)
