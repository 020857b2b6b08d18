"""Convolutions by transformed tiles: held to the plain sums, and used only where they pay."""

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from training.ops import winograd
from training.ops.conv2d import conv2d

ROUNDING = 1e-5


def random_tensor(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def difference(found: Tensor, expected: Tensor) -> float:
    return float((found.double() - expected).norm() / expected.norm())


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("transposed", [False, True])
def test_result_and_gradient_of_the_weight_are_those_of_the_plain_sums(
    transposed: bool, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(winograd, "PART_FLOATS", 5000)  # several parts
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    x = random_tensor(5, 6, 8, 12, seed=1)
    weight, y = random_tensor(*((6, 9) if transposed else (9, 6)), 3, 3, seed=2), random_tensor(5, 9, 8, 12, seed=3)
    op = functional.conv_transpose2d if transposed else functional.conv2d
    exact = weight.double().requires_grad_()
    expected = op(x.double(), exact, padding=1)
    (expected_grad,) = torch.autograd.grad(expected, exact, y.double())
    assert difference(winograd.conv2d(x, weight, transposed), expected.detach()) < ROUNDING
    assert difference(winograd.weight_grad(x, y, transposed), expected_grad) < ROUNDING


def test_second_derivatives_of_a_wide_convolution_are_those_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(winograd, "MIN_MAPS", 16)
    monkeypatch.setattr(winograd, "MIN_TILES", 2)
    calls: list[str] = []
    for name in ("conv2d", "weight_grad"):
        ours = getattr(winograd, name)
        monkeypatch.setattr(winograd, name, lambda *args, f=ours, n=name: (calls.append(n), f(*args))[1])
    x, weight = random_tensor(2, 16, 8, 8, seed=4), random_tensor(16, 16, 3, 3, seed=5)

    def penalty(op: Callable[[Tensor, Tensor], Tensor], x: Tensor, weight: Tensor) -> Sequence[Tensor]:
        x, weight = x.clone().requires_grad_(), weight.clone().requires_grad_()
        of_x, of_weight = torch.autograd.grad(op(x, weight).square().sum(), (x, weight), create_graph=True)
        return torch.autograd.grad(of_x.square().sum() + of_weight.square().sum(), (x, weight))

    found = penalty(conv2d, x, weight)
    expected = penalty(lambda x, w: functional.conv2d(x, w, padding=1), x.double(), weight.double())
    assert (calls.count("conv2d"), calls.count("weight_grad")) == (6, 3)
    for ours, theirs in zip(found, expected, strict=True):
        assert difference(ours, theirs) < ROUNDING


def test_they_are_used_where_they_pay() -> None:
    maps = winograd.MIN_MAPS
    x, weight = torch.empty(16, maps, 16, 16), torch.empty(maps, maps, 3, 3)
    assert winograd.pays(x, weight, 1)
    assert not winograd.pays(x.double(), weight.double(), 1)
    assert not winograd.pays(x.bfloat16(), weight.bfloat16(), 1)
    assert not winograd.pays(x.to("meta"), weight, 1)
    assert not winograd.pays(x[:, :, :15], weight, 1)
    assert not winograd.pays(x[:1], weight, 1)  # too few tiles
    assert not winograd.pays(x, weight[: maps // 2], 1)  # too few maps
    assert not winograd.pays(x, torch.empty(maps, maps, 4, 4), 2)
