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
    if isinstance(x, Packed):
        return Packed(_LeakyReluAndPackedPixelNorm.apply(x.maps, epsilon))  # pyright: ignore[reportArgumentType]
    return _LeakyReluAndPixelNorm.apply(x, epsilon)  # pyright: ignore[reportReturnType]


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


def _of_maps(values: Tensor, planes: Tensor) -> Tensor:
    """Values of each plane (N, 4, 1, H, W) for all its maps: (N, 4C, H, W), channels-last in memory as these are."""
    shape = planes.permute(0, 3, 4, 1, 2).shape
    return values.permute(0, 3, 4, 1, 2).expand(shape).flatten(3).permute(0, 3, 1, 2)


class _LeakyReluAndPackedPixelNorm(Function):
    """The same of packed images. Norms and scales have the shape (N, 4, 1, H, W)."""

    @staticmethod
    def forward(ctx: Any, x_NCHW: Tensor, epsilon: float) -> Tensor:
        y_NCHW = torch.ops.aten.leaky_relu(x_NCHW, NEGATIVE_SLOPE)
        norm_dtype = torch.promote_types(y_NCHW.dtype, torch.float32)
        planes = Packed(y_NCHW).planes()
        norm = torch.linalg.vector_norm(planes, dim=2, keepdim=True, dtype=norm_dtype)
        scale = torch.rsqrt(norm.square_().div_(planes.shape[2]).add_(epsilon))
        y_NCHW.mul_(_of_maps(scale, planes))
        ctx.save_for_backward(y_NCHW, scale)
        return y_NCHW

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_NCHW: Tensor) -> tuple[Tensor, None]:
        y_NCHW, scale = ctx.saved_tensors
        grad_NCHW, planes = grad_NCHW.to(scale.dtype), Packed(y_NCHW).planes()
        projection = (Packed(grad_NCHW).planes() * planes).mean(dim=2, keepdim=True)
        projection_NCHW, scale_NCHW = _of_maps(projection, planes), _of_maps(scale, planes)
        grad_NCHW = torch.addcmul(grad_NCHW, y_NCHW.to(scale.dtype), projection_NCHW, value=-1).mul_(scale_NCHW)
        return torch.ops.aten.leaky_relu_backward(grad_NCHW.to(y_NCHW.dtype), y_NCHW, NEGATIVE_SLOPE, True), None
