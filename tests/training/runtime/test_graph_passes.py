"""Traced gradients that move fewer bytes."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, fx
from torch.fx.experimental.proxy_tensor import make_fx

from benchmarks.traffic import inductor_counts
from training.ops.activations import leaky_relu
from training.ops.conv2d import conv2d
from training.ops.packing import unpack
from training.runtime.graph_passes import share_weights, write_masks

_aten = torch.ops.aten


def _penalty(x: Tensor, weight: Tensor) -> list[Tensor]:
    """Gradients of a penalty: the mask is read by the backward pass, its second forward pass, and their derivatives."""
    x, weight = x.detach().requires_grad_(), weight.detach().requires_grad_()
    y = unpack(conv2d(leaky_relu(conv2d(x, weight)), weight))
    (gradient,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
    return list(torch.autograd.grad(gradient.square().sum(), (x, weight)))


def _loss(x: Tensor, weight: Tensor) -> list[Tensor]:
    """Gradients of a loss: the mask is read once."""
    weight = weight.detach().requires_grad_()
    y = unpack(conv2d(leaky_relu(conv2d(x, weight)), weight))
    return list(torch.autograd.grad(y.square().sum(), weight))


def _without_convolution(x: Tensor, weight: Tensor) -> list[Tensor]:
    weight = weight.detach().requires_grad_()
    y = unpack(conv2d(leaky_relu(x[:, :1] * weight[:1, :, 0, 0].view(1, -1, 1, 1)), weight))
    return list(torch.autograd.grad(y.square().sum(), weight))


def _traced(function: Callable[..., Any], dtype: torch.dtype) -> tuple[fx.GraphModule, list[Tensor]]:
    rng = torch.Generator().manual_seed(1)
    inputs = [torch.randn(shape, generator=rng).to(dtype) for shape in ((2, 4, 64, 64), (4, 4, 3, 3))]
    inputs[0] = inputs[0].contiguous(memory_format=torch.channels_last)
    return make_fx(function, tracing_mode="fake")(*inputs), inputs


def _masks(graph: fx.GraphModule) -> int:
    return len(graph.graph.find_nodes(op="call_function", target=_aten.as_strided.default))


@pytest.mark.parametrize(
    ("function", "dtype", "masks"),
    [
        (_penalty, torch.float32, 1),
        (_penalty, torch.bfloat16, 1),
        (_loss, torch.float32, 1),
        (_loss, torch.bfloat16, 0),  # to read the result once takes as long as to write and read a mask
        (_without_convolution, torch.float32, 0),
    ],
)
def test_masks_are_written_where_that_saves_bytes(function: Any, dtype: torch.dtype, masks: int) -> None:
    graph, inputs = _traced(function, dtype)
    expected, before = graph(*inputs), _bytes(graph, inputs)
    write_masks(graph)
    assert _masks(graph) == masks
    assert all(torch.equal(a, b) for a, b in zip(graph(*inputs), expected, strict=True))
    assert (_bytes(graph, inputs) < before) == (masks > 0)


def _bytes(graph: fx.GraphModule, inputs: list[Tensor]) -> int:
    def called(_: Any, tensors: list[Tensor]) -> Any:
        return graph(*tensors)

    return inductor_counts(called, [], inputs)[0]  # pyright: ignore[reportArgumentType]


def _two_passes(x: Tensor, weight: Tensor) -> list[Tensor]:
    return [conv2d(part, (weight * 2).permute(0, 1, 3, 2)) for part in (x, x + 1)]  # pyright: ignore[reportReturnType]


def _changed_between(change: Callable[[Tensor], object]) -> Callable[..., list[Tensor]]:
    def function(x: Tensor, weight: Tensor) -> list[Tensor]:
        first, second = weight * 2, weight * 2
        change(first)
        return [first, second]

    return function


CHANGES: dict[str, Callable[[Tensor], object]] = {
    "itself": lambda x: x.add_(1),
    "a view": lambda x: x.unsqueeze(0).add_(1),
    "a part": lambda x: x.chunk(2)[0].add_(1),
    "views of parts": lambda x: [part.mT.mul_(-3) for part in x.split(1)],
    "one of several views": lambda x: x.unbind(0)[1].unsqueeze(0).copy_(torch.ones(())),
    "a view without an alias": lambda x: _aten._unsafe_view(x, x.shape).add_(1),
    "a list": lambda x: _aten._foreach_add_.Scalar([x[0], x[1]], 1),
}


@pytest.mark.parametrize(
    ("function", "products"),
    [(_two_passes, 1), *[pytest.param(_changed_between(change), 2, id=name) for name, change in CHANGES.items()]],
)
def test_equal_preparations_of_weights_become_one(function: Any, products: int) -> None:
    graph, inputs = _traced(function, torch.float32)
    expected = function(*inputs)
    share_weights(graph)
    assert len(graph.graph.find_nodes(op="call_function", target=_aten.mul.Tensor)) == products
    assert all(torch.equal(a, b) for a, b in zip(graph(*inputs), expected, strict=True))


@pytest.mark.parametrize(
    ("change", "dtype"),
    [
        *[pytest.param(change, torch.float32, id=name) for name, change in CHANGES.items()],
        pytest.param(id, torch.bfloat16, id="a gradient in another dtype"),
    ],
)
def test_results_that_a_mask_would_change_keep_none(change: Callable[[Tensor], object], dtype: torch.dtype) -> None:
    def function(x: Tensor, weight: Tensor) -> list[Tensor]:
        y = _aten.leaky_relu(conv2d(x, weight), 0.2)
        change(y)
        return [_aten.leaky_relu_backward(x.to(dtype), y, 0.2, True)]

    graph, inputs = _traced(function, torch.float32)
    write_masks(graph)
    (found,), (expected,) = graph(*inputs), function(*inputs)
    assert torch.equal(found, expected)
    assert found.dtype == expected.dtype
