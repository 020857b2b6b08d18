import io
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from pipeline.errors import TrainingError
from pipeline.params import OptimizerOptions
from training.optim.adam import Adam

SHAPES = ((3,), (2, 2))
PLAIN = OptimizerOptions(beta1=0.0, beta2=0.99, epsilon=1e-8)


def _parameters() -> list[Tensor]:
    return [torch.ones(shape, dtype=torch.float64, requires_grad=True) for shape in SHAPES]


def _gradients(seed: int, steps: int) -> list[list[Tensor]]:
    rng = torch.Generator().manual_seed(seed)
    return [[torch.randn(shape, generator=rng, dtype=torch.float64) for shape in SHAPES] for _ in range(steps)]


@settings(deadline=None, max_examples=30)
@given(
    beta1=st.sampled_from([0.0, 0.5, 0.9]),
    beta2=st.sampled_from([0.9, 0.99, 0.999]),
    epsilon=st.sampled_from([1e-8, 1e-2]),
    steps=st.integers(1, 6),
    seed=st.integers(0, 2**31),
)
def test_steps_are_the_formula(beta1: float, beta2: float, epsilon: float, steps: int, seed: int) -> None:
    parameters = _parameters()
    optimizer = Adam(parameters, OptimizerOptions(beta1=beta1, beta2=beta2, epsilon=epsilon))
    expected = [np.ones(shape) for shape in SHAPES]
    first, second = [np.zeros(shape) for shape in SHAPES], [np.zeros(shape) for shape in SHAPES]
    for t, gradients in enumerate(_gradients(seed, steps), start=1):
        assert optimizer.step(gradients, 0.1 / t)
        rate = 0.1 / t * math.sqrt(1 - beta2**t) / (1 - beta1**t)
        for index, gradient in enumerate(value.numpy() for value in gradients):
            first[index] = beta1 * first[index] + (1 - beta1) * gradient
            second[index] = beta2 * second[index] + (1 - beta2) * gradient**2
            expected[index] = expected[index] - rate * first[index] / (np.sqrt(second[index]) + epsilon)
    for parameter, value in zip(parameters, expected, strict=True):
        np.testing.assert_allclose(parameter.detach().numpy(), value, rtol=1e-12)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_one_bad_element_skips_the_whole_step(bad: float) -> None:
    disturbed, plain = _parameters(), _parameters()
    with_bad, without = Adam(disturbed, PLAIN), Adam(plain, PLAIN)
    for number, gradients in enumerate(_gradients(1, 4)):
        if number == 2:
            spoilt = [gradients[0], gradients[1].clone()]
            spoilt[1][1, 0] = bad
            assert not with_bad.step(spoilt, 0.1)
        assert with_bad.step(gradients, 0.1)
        assert without.step(gradients, 0.1)
    assert with_bad.skipped == 1
    assert all(torch.equal(a, b) for a, b in zip(disturbed, plain, strict=True))


@pytest.mark.parametrize("beta1", [0.0, 0.5])
@pytest.mark.parametrize("before", [0, 1])
def test_a_skipped_step_moves_nothing_by_momentum_or_as_the_first(beta1: float, before: int) -> None:
    parameters = _parameters()
    optimizer = Adam(parameters, OptimizerOptions(beta1=beta1, beta2=0.99, epsilon=1e-8))
    for gradients in _gradients(1, before):
        optimizer.step(gradients, 0.1)
    then = [parameter.detach().clone() for parameter in parameters]
    assert not optimizer.step([torch.full(shape, math.inf, dtype=torch.float64) for shape in SHAPES], 0.1)
    assert all(torch.equal(a, b) for a, b in zip(parameters, then, strict=True))
    assert optimizer.state_dict()["steps"] == before


def test_huge_finite_gradients_are_no_reason_to_skip() -> None:
    parameter = torch.ones(4)
    optimizer = Adam([parameter], PLAIN)
    assert optimizer.step([torch.full((4,), 1e19)], 0.1)
    assert optimizer.skipped == 0


@pytest.mark.parametrize("beta1", [0.0, 0.5])
def test_no_gradient_counts_as_zeros(beta1: float) -> None:
    options = OptimizerOptions(beta1=beta1, beta2=0.9, epsilon=1e-8)
    missing, zeros = _parameters(), _parameters()
    with_none, with_zeros = Adam(missing, options), Adam(zeros, options)
    pattern = [(True, False), (True, True), (False, True), (True, True)]
    for present, gradients in zip(pattern, _gradients(2, 4), strict=True):
        with_none.step([value if there else None for there, value in zip(present, gradients, strict=True)], 0.1)
        with_zeros.step([value * there for there, value in zip(present, gradients, strict=True)], 0.1)
    assert all(torch.equal(a, b) for a, b in zip(missing, zeros, strict=True))


def test_after_a_reset_it_steps_as_a_new_one_does() -> None:
    used, new = _parameters(), _parameters()
    optimizer = Adam(used, PLAIN)
    for gradients in _gradients(1, 3):
        optimizer.step(gradients, 0.1)
    optimizer.reset()
    with torch.no_grad():
        for parameter in used:
            parameter.fill_(1.0)
    (gradients,) = _gradients(9, 1)
    optimizer.step(gradients, 0.1)
    Adam(new, PLAIN).step(gradients, 0.1)
    assert all(torch.equal(a, b) for a, b in zip(used, new, strict=True))


@pytest.mark.parametrize("beta1", [0.0, 0.5])
def test_a_restored_state_steps_alike(beta1: float) -> None:
    options = OptimizerOptions(beta1=beta1, beta2=0.99, epsilon=1e-8)
    steady, resumed = _parameters(), _parameters()
    optimizer = Adam(steady, options)
    *before, last = _gradients(3, 4)
    for gradients in before:
        optimizer.step(gradients, 0.1)
    optimizer.step([torch.full(shape, math.nan, dtype=torch.float64) for shape in SHAPES], 0.1)
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    with torch.no_grad():
        for a, b in zip(resumed, steady, strict=True):
            a.copy_(b)
    file.seek(0)
    second = Adam(resumed, options)
    second.load_state_dict(torch.load(file, weights_only=True))
    assert second.skipped == 1
    for one in (optimizer, second):
        one.step(last, 0.1)
    assert all(torch.equal(a, b) for a, b in zip(steady, resumed, strict=True))


class EqualStrides(TorchDispatchMode):
    """Fails where an operation over several lists of tensors gets tensors of different strides: slow on a GPU."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        lists = [arg for arg in args if isinstance(arg, list | tuple)]
        if func.overloadpacket.__name__.startswith("_foreach"):
            for tensors in zip(*lists, strict=True):
                assert len({tensor.stride() for tensor in tensors}) == 1, (func, [t.stride() for t in tensors])
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("beta1", [0.0, 0.5])
def test_gradients_and_restored_moments_get_the_strides_of_the_parameters(beta1: float) -> None:
    options = OptimizerOptions(beta1=beta1, beta2=0.99, epsilon=1e-8)
    weight = torch.ones(4, 3, 3, 3).contiguous(memory_format=torch.channels_last)
    optimizer, gradient = Adam([weight], options), torch.randn(4, 3, 3, 3)
    for _ in range(2):
        with EqualStrides():
            optimizer.step([gradient], 0.1)
        state = optimizer.state_dict()
        for moments in (state["first"], state["second"]):
            moments.update({index: moment.contiguous() for index, moment in moments.items()})
        optimizer.load_state_dict(state)


def test_moments_of_another_network_are_refused() -> None:
    optimizer = Adam(_parameters(), PLAIN)
    optimizer.step(_gradients(1, 1)[0], 0.1)
    state = optimizer.state_dict()
    state["second"]["0"] = torch.ones(1, dtype=torch.float64)  # would be repeated
    with pytest.raises(TrainingError, match=r"moment 0 .* shape \(1,\), its parameter \(3,\)"):
        optimizer.load_state_dict(state)


def test_steps_down_the_gradient_go_down() -> None:
    parameters = _parameters()
    optimizer = Adam(parameters, PLAIN)
    before = sum(parameter.square().sum() for parameter in parameters)
    for _ in range(10):
        loss = sum((parameter.square().sum() for parameter in parameters), torch.zeros(()))
        assert optimizer.step(torch.autograd.grad(loss, parameters), 0.01)
    assert sum(parameter.square().sum() for parameter in parameters) < before
    with pytest.raises(TrainingError, match="does not depend"):
        optimizer.step([None, None], 0.01)
