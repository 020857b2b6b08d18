"""The convolutions against torch's own, in values and in first and second derivatives."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from training.ops.conv2d import (
    add_bias,
    conv2d,
    conv_transpose2d,
    no_weight_grad,
    packed_conv2d,
    packed_conv2d_down,
    packed_conv_transpose2d,
    rgb_conv2d,
)
from training.ops.packing import Images, unpack

sizes = st.integers(1, 5)
CASES: dict[str, tuple[int, Callable[[Tensor, Tensor], Images], Callable[[Tensor, Tensor], Tensor]]] = {
    "1x1": (1, conv2d, functional.conv2d),
    "3x3": (3, conv2d, lambda x, w: functional.conv2d(x, w, padding=1)),
    "down": (4, lambda x, w: conv2d(x, w, stride=2), lambda x, w: functional.conv2d(x, w, stride=2, padding=1)),
    "up": (
        4,
        lambda x, w: conv_transpose2d(x, w, stride=2),
        lambda x, w: functional.conv_transpose2d(x, w, stride=2, padding=1),
    ),
    "1x1 as products": (1, rgb_conv2d, functional.conv2d),
    "packed 3x3": (3, packed_conv2d, lambda x, w: functional.conv2d(x, w, padding=1)),
    "packed down": (4, packed_conv2d_down, lambda x, w: functional.conv2d(x, w, stride=2, padding=1)),
    "packed up": (4, packed_conv_transpose2d, lambda x, w: functional.conv_transpose2d(x, w, stride=2, padding=1)),
}


def random_tensor(shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def derivatives(op: Callable[[Tensor, Tensor], Images], x: Tensor, weight: Tensor) -> list[Tensor]:
    """The result, its gradients, and the gradients of a penalty on those gradients."""
    x, weight = x.clone().requires_grad_(), weight.clone().requires_grad_()
    y = unpack(op(x, weight)).square()  # whose gradients depend on both
    grads = torch.autograd.grad(y.sum(), (x, weight), create_graph=True)
    penalty = sum((grad.square().sum() for grad in grads), torch.zeros(()))
    return [y, *grads, *torch.autograd.grad(penalty, (x, weight))]


@pytest.mark.parametrize("name", CASES)
@settings(deadline=None, max_examples=15)
@given(inputs=sizes, outputs=sizes, height=sizes, width=sizes, seed=st.integers(0, 99))
def test_derivatives_are_those_of_torch(
    name: str, inputs: int, outputs: int, height: int, width: int, seed: int
) -> None:
    kernel, ours, theirs = CASES[name]
    maps = (inputs, outputs) if name.endswith("up") else (outputs, inputs)
    x, weight = (
        random_tensor((2, inputs, 2 * height, 2 * width), seed),
        random_tensor((*maps, kernel, kernel), seed + 1),
    )
    for found, expected in zip(derivatives(ours, x, weight), derivatives(theirs, x, weight), strict=True):
        torch.testing.assert_close(found, expected)


def test_no_weight_grad_skips_the_gradients_of_weights_only() -> None:
    x, weight = random_tensor((1, 2, 4, 4), 1).requires_grad_(), random_tensor((2, 2, 3, 3), 2).requires_grad_()
    y = unpack(conv2d(x, weight)).sum()
    with no_weight_grad():
        assert torch.autograd.grad(y, weight, retain_graph=True, allow_unused=True) == (None,)
        assert torch.autograd.grad(y, x, retain_graph=True)[0].abs().sum() > 0
    assert torch.autograd.grad(y, weight)[0].abs().sum() > 0


@pytest.mark.parametrize("name", ["packed 3x3", "packed up"])
def test_the_bias_of_packed_images_is_that_of_their_maps(name: str) -> None:
    op = {"packed 3x3": packed_conv2d, "packed up": packed_conv_transpose2d}[name]
    kernel, _, theirs = CASES[name]
    x, bias = random_tensor((2, 3, 4, 6), 1), random_tensor((5,), 3).requires_grad_()
    weight = random_tensor((3, 5, kernel, kernel) if name.endswith("up") else (5, 3, kernel, kernel), 2)
    found, expected = unpack(add_bias(op(x, weight), bias)), theirs(x, weight) + bias.view(1, -1, 1, 1)
    torch.testing.assert_close(found, expected)
    (gradient,) = torch.autograd.grad(found.square().sum(), bias)
    torch.testing.assert_close(gradient, *torch.autograd.grad(expected.square().sum(), bias))
