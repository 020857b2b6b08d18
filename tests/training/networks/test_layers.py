import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from training.networks.layers import (
    Conv,
    ConvDown,
    ConvUp,
    Dense,
    DenseToMaps,
    Layer,
    downscale,
    minibatch_stddev,
    pixel_norm,
    upscale,
)

sizes = st.integers(1, 6)
seeds = st.integers(0, 2**31)


def _rng(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _drawn(layer: Layer, seed: int) -> Layer:
    layer.initialise(_rng(seed))
    with torch.no_grad():
        layer.bias.copy_(torch.randn(layer.bias.shape, generator=_rng(seed + 1)))
    return layer.double()


@settings(deadline=None, max_examples=25)
@given(inputs=sizes, outputs=sizes, height=sizes, width=sizes, seed=seeds)
def test_fused_upscaling_is_upscaling_and_a_flipped_convolution(
    inputs: int, outputs: int, height: int, width: int, seed: int
) -> None:
    fused = _drawn(ConvUp(inputs, outputs, gain=math.sqrt(2), use_wscale=True), seed)
    separate = Conv(inputs, outputs, kernel=3, gain=math.sqrt(2), use_wscale=True).double()
    with torch.no_grad():
        separate.weight.copy_(fused.weight.transpose(0, 1).flip(2, 3))
        separate.bias.copy_(fused.bias)
    x = torch.randn(2, inputs, height, width, generator=_rng(seed), dtype=torch.float64)
    torch.testing.assert_close(fused(x), separate(upscale(x)))


@settings(deadline=None, max_examples=25)
@given(inputs=sizes, outputs=sizes, height=sizes, width=sizes, seed=seeds)
def test_fused_downscaling_is_a_convolution_and_a_mean(
    inputs: int, outputs: int, height: int, width: int, seed: int
) -> None:
    fused = _drawn(ConvDown(inputs, outputs, gain=math.sqrt(2), use_wscale=True), seed)
    separate = Conv(inputs, outputs, kernel=3, gain=math.sqrt(2), use_wscale=True).double()
    separate.load_state_dict(fused.state_dict())
    x = torch.randn(2, inputs, 2 * height, 2 * width, generator=_rng(seed), dtype=torch.float64)
    torch.testing.assert_close(fused(x), downscale(separate(x)))


@settings(deadline=None, max_examples=25)
@given(members=st.integers(1, 4), groups=st.integers(1, 4), channels=sizes, seed=seeds)
def test_minibatch_stddev_of_strided_groups(members: int, groups: int, channels: int, seed: int) -> None:
    samples = members * groups
    x = torch.randn(samples, channels, 2, 3, generator=_rng(seed), dtype=torch.float64)
    with_map = minibatch_stddev(x, members)
    torch.testing.assert_close(with_map[:, :-1], x)
    for sample in range(samples):
        group = x[sample % groups :: groups].numpy()
        statistic = np.sqrt(group.var(axis=0) + 1e-8).mean()
        np.testing.assert_allclose(with_map[sample, -1].numpy(), statistic, rtol=1e-12)


def test_a_group_larger_than_the_minibatch_is_the_minibatch() -> None:
    x = torch.randn(3, 2, 4, 4, generator=_rng(1))
    torch.testing.assert_close(minibatch_stddev(x, 16), minibatch_stddev(x, 3))


@pytest.mark.parametrize("shape", [(5, 7), (2, 6, 4, 4)])
def test_pixel_norm_gives_every_vector_unit_rms(shape: tuple[int, ...]) -> None:
    y = pixel_norm(torch.randn(shape, generator=_rng(1), dtype=torch.float64) * 30, 1e-8)
    torch.testing.assert_close(y.square().mean(dim=1), torch.ones_like(y[:, 0]))
    assert torch.equal(pixel_norm(torch.zeros(shape), 1e-8), torch.zeros(shape))


def test_downscale_inverts_upscale() -> None:
    x = torch.randn(2, 3, 4, 6, generator=_rng(1))
    assert upscale(x).shape == (2, 3, 8, 12)
    torch.testing.assert_close(downscale(upscale(x)), x)
    assert torch.equal(upscale(x)[:, :, ::2, 1::2], x)


def test_dense_flattens_maps_in_nchw_order_for_any_memory_format() -> None:
    layer = _drawn(Dense(3 * 16, 5, gain=1.0, use_wscale=True), 1).float()
    x = torch.randn(2, 3, 4, 4, generator=_rng(1))
    expected = functional.linear(x.reshape(2, 48), layer.weight / math.sqrt(48), layer.bias)
    torch.testing.assert_close(layer(x), expected)
    torch.testing.assert_close(layer(x.contiguous(memory_format=torch.channels_last)), expected)


def test_dense_to_maps_has_one_bias_per_map() -> None:
    layer = DenseToMaps(3, 2, gain=1.0, use_wscale=True)
    with torch.no_grad():
        layer.bias.copy_(torch.tensor([1.0, 2.0]))
        layer.weight[16].fill_(math.sqrt(3))
    maps = layer(torch.tensor([[1.0, 1.0, 1.0]]))
    expected = torch.ones(1, 2, 4, 4)
    expected[:, 1] = 2
    expected[0, 1, 0, 0] = 5
    torch.testing.assert_close(maps, expected)


@pytest.mark.parametrize("use_wscale", [True, False])
def test_use_wscale_does_not_change_the_initial_function(use_wscale: bool) -> None:
    def first(use_wscale: bool) -> Tensor:
        layer = Conv(8, 64, kernel=3, gain=math.sqrt(2), use_wscale=use_wscale)
        layer.initialise(_rng(3))
        assert layer.weight.std().item() == pytest.approx(1.0 if use_wscale else math.sqrt(2 / 72), rel=0.05)
        assert torch.equal(layer.bias, torch.zeros(64))
        return layer.scaled_weight()

    torch.testing.assert_close(first(use_wscale), first(use_wscale=True))
