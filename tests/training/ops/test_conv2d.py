"""The fast convolutions and activations against torch's own, in values and in first and second derivatives."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from training.networks.layers import pixel_norm
from training.ops import winograd
from training.ops.conv2d import convolve, convolve_transposed, leaky_relu, leaky_relu_and_norm, no_weight_grad

sizes = st.integers(1, 5)
CASES: dict[str, tuple[int, Callable[[Tensor, Tensor], Tensor], Callable[[Tensor, Tensor], Tensor]]] = {
    "1x1": (1, convolve, functional.conv2d),
    "3x3": (3, convolve, lambda x, w: functional.conv2d(x, w, padding=1)),
    "down": (4, lambda x, w: convolve(x, w, stride=2), lambda x, w: functional.conv2d(x, w, stride=2, padding=1)),
    "up": (
        4,
        lambda x, w: convolve_transposed(x, w, stride=2),
        lambda x, w: functional.conv_transpose2d(x, w, stride=2, padding=1),
    ),
}


def drawn(shape: tuple[int, ...], seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def derivatives(how: Callable[[Tensor, Tensor], Tensor], x: Tensor, weight: Tensor) -> list[Tensor]:
    """The result, the grads of both arguments, and what a penalty on the grads of x changes in all."""
    x, weight = x.clone().requires_grad_(), weight.clone().requires_grad_()
    y = how(x, weight).square()  # so that grads depend on both
    grads = torch.autograd.grad(y.sum(), (x, weight), create_graph=True)
    penalty = sum((slope.square().sum() for slope in grads), torch.zeros(()))
    return [y, *grads, *torch.autograd.grad(penalty, (x, weight))]


@pytest.fixture
def always_by_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    def fits(x: Tensor, weight: Tensor, stride: int) -> bool:
        return weight.shape[2] == 3 and stride == 1 and not any(side % 2 for side in x.shape[2:])

    monkeypatch.setattr(winograd, "pays", fits)


@pytest.mark.parametrize("name", CASES)
@settings(deadline=None, max_examples=15)
@given(inputs=sizes, outputs=sizes, height=sizes, width=sizes, seed=st.integers(0, 99))
def test_derivatives_are_those_of_torch(
    name: str, inputs: int, outputs: int, height: int, width: int, seed: int
) -> None:
    kernel, ours, theirs = CASES[name]
    maps = (inputs, outputs) if name == "up" else (outputs, inputs)
    x, weight = drawn((2, inputs, 2 * height, 2 * width), seed), drawn((*maps, kernel, kernel), seed + 1)
    for found, expected in zip(derivatives(ours, x, weight), derivatives(theirs, x, weight), strict=True):
        torch.testing.assert_close(found, expected)


@pytest.mark.usefixtures("always_by_tiles")
def test_tiles_give_the_same_derivatives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(winograd, "PART_FLOATS", 1)  # every sample a part of its own
    _, ours, theirs = CASES["3x3"]
    for seed, shape in enumerate([(3, 2, 8, 6), (1, 5, 2, 2), (2, 3, 4, 10)]):
        x, weight = drawn(shape, seed).contiguous(memory_format=torch.channels_last), drawn((4, shape[1], 3, 3), 9)
        for found, expected in zip(derivatives(ours, x, weight), derivatives(theirs, x, weight), strict=True):
            torch.testing.assert_close(found, expected)


def test_tiles_lose_little_in_float32() -> None:
    x, weight = drawn((2, 256, 8, 8), 1), drawn((256, 256, 3, 3), 2)
    exact = functional.conv2d(x, weight, padding=1)
    x, weight = x.float(), weight.float()
    assert winograd.pays(x, weight, 1)
    assert not winograd.pays(x.bfloat16(), weight.bfloat16(), 1)
    error = (convolve(x, weight) - exact).abs().max() / exact.abs().max()
    plain = (functional.conv2d(x, weight, padding=1) - exact).abs().max() / exact.abs().max()
    assert plain / 10 < error < 2e-6


def test_slopes_of_weights_are_left_out_where_they_are_not_wanted() -> None:
    x, weight = drawn((1, 2, 4, 4), 1).requires_grad_(), drawn((2, 2, 3, 3), 2).requires_grad_()
    y = convolve(x, weight).sum()
    with no_weight_grad():
        assert torch.autograd.grad(y, weight, retain_graph=True, allow_unused=True) == (None,)
        assert torch.autograd.grad(y, x, retain_graph=True)[0].abs().sum() > 0
    assert torch.autograd.grad(y, weight)[0].abs().sum() > 0


def test_the_slopes_of_the_leaky_relu_have_the_derivatives_of_torch() -> None:
    def twice(how: Any) -> list[Tensor]:
        return derivatives(lambda x, weight: how(x * weight) * weight, drawn((2, 3, 4, 4), 1), drawn((2, 3, 4, 4), 2))

    for found, expected in zip(twice(leaky_relu), twice(lambda x: functional.leaky_relu(x, 0.2)), strict=True):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("epsilon", [1e-8, 1e-1])
def test_activation_and_norm_in_one_are_both_after_each_other(epsilon: float) -> None:
    x_NCHW = drawn((2, 5, 3, 4), 1).requires_grad_()
    grad_NCHW = drawn((2, 5, 3, 4), 2)
    apart, joined = pixel_norm(leaky_relu(x_NCHW), epsilon), leaky_relu_and_norm(x_NCHW, epsilon)
    torch.testing.assert_close(joined, apart)
    (found,), (expected,) = (torch.autograd.grad(y, x_NCHW, grad_NCHW) for y in (joined, apart))
    torch.testing.assert_close(found, expected)
    assert torch.equal(leaky_relu_and_norm(torch.zeros(1, 2, 2, 2), epsilon), torch.zeros(1, 2, 2, 2))
