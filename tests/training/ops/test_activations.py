"""The activations against torch's own, in values and derivatives."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from tests.training.ops.test_conv2d import derivatives, random_tensor
from training.networks.layers import pixel_norm
from training.ops.activations import leaky_relu, leaky_relu_and_pixel_norm


def test_leaky_relu_has_the_second_derivatives_of_torch() -> None:
    a, b = random_tensor((2, 3, 4, 4), 1), random_tensor((2, 3, 4, 4), 2)

    def all_derivatives(op: Any) -> list[Tensor]:
        return derivatives(lambda x, weight: op(x * weight) * weight, a, b)

    expected = all_derivatives(lambda x: functional.leaky_relu(x, 0.2))
    for found, theirs in zip(all_derivatives(leaky_relu), expected, strict=True):
        torch.testing.assert_close(found, theirs)


def test_the_derivative_of_leaky_relu_at_zero_is_the_negative_slope() -> None:
    x = torch.tensor([-1.0, 0.0, 1.0], requires_grad=True)
    (grad,) = torch.autograd.grad(leaky_relu(x).sum(), x)
    torch.testing.assert_close(grad, torch.tensor([0.2, 0.2, 1.0]))


@pytest.mark.parametrize("epsilon", [1e-8, 1e-1])
def test_fused_leaky_relu_and_pixel_norm_equal_the_separate_ones(epsilon: float) -> None:
    x_NCHW = random_tensor((2, 5, 3, 4), 1).requires_grad_()
    grad_NCHW = random_tensor((2, 5, 3, 4), 2)
    separate, fused = pixel_norm(leaky_relu(x_NCHW), epsilon), leaky_relu_and_pixel_norm(x_NCHW, epsilon)
    torch.testing.assert_close(fused, separate)
    (found,), (expected,) = (torch.autograd.grad(y, x_NCHW, grad_NCHW) for y in (fused, separate))
    torch.testing.assert_close(found, expected)
    assert torch.equal(leaky_relu_and_pixel_norm(torch.zeros(1, 2, 2, 2), epsilon), torch.zeros(1, 2, 2, 2))
