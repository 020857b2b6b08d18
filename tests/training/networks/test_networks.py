import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import NetworkError
from pipeline.params import NetworkOptions
from training.interop.tf_variables import load_original, to_original
from training.networks import Discriminator, Generator, feature_maps
from training.networks.layers import downscale, upscale

SMALL = NetworkOptions(
    fmap_base=64,
    fmap_decay=1.0,
    fmap_max=8,
    discriminator_fmap_scale=1.0,
    latent_size=6,
    normalize_latents=True,
    normalize_labels=True,
    use_wscale=True,
    use_pixelnorm=True,
    pixelnorm_epsilon=1e-8,
    use_batchnorm=False,
    use_layernorm=False,
    use_leakyrelu=True,
    use_tanh=False,
    fused_scale=True,
    mbstd_group_size=4,
    mbdisc_kernels=0,
    mbdisc_kernel_size=3,
)


def _rng(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _options(**changes: float | bool) -> NetworkOptions:
    return SMALL.model_copy(update=changes)


def _generator(options: NetworkOptions = SMALL, resolution: int = 16, label_size: int = 0) -> Generator:
    network = Generator(options, resolution=resolution, channels=3, label_size=label_size)
    network.initialise(_rng(1))
    return network


def _discriminator(options: NetworkOptions = SMALL, resolution: int = 16, label_size: int = 0) -> Discriminator:
    network = Discriminator(options, resolution=resolution, channels=3, label_size=label_size)
    network.initialise(_rng(2))
    return network


def _images(side: int, count: int = 4) -> torch.Tensor:
    return torch.randn(count, 3, side, side, generator=_rng(3))


def _latents(count: int = 4) -> torch.Tensor:
    return torch.randn(count, 6, generator=_rng(4))


options_of_both = st.builds(
    _options,
    normalize_latents=st.booleans(),
    use_wscale=st.booleans(),
    use_pixelnorm=st.booleans(),
    use_leakyrelu=st.booleans(),
    fused_scale=st.booleans(),
    mbstd_group_size=st.sampled_from([0, 1, 2, 4, 16]),
)


@settings(deadline=None, max_examples=40)
@given(
    options=options_of_both,
    levels=st.integers(0, 4),
    label_size=st.sampled_from([0, 3]),
    part=st.floats(0, 1),
)
def test_images_and_scores_at_every_size_option_and_lod(
    options: NetworkOptions, levels: int, label_size: int, part: float
) -> None:
    resolution, lod = 4 << levels, part * levels
    labels_NC = torch.eye(3)[[0, 1, 2, 0]] if label_size else None
    images_NCHW = _generator(options, resolution, label_size)(_latents(), labels_NC, lod)
    side = resolution >> math.floor(lod)
    assert images_NCHW.shape == (4, 3, side, side)
    scores_N, logits_NC = _discriminator(options, resolution, label_size)(images_NCHW, lod)
    assert scores_N.shape == (4,)
    assert torch.isfinite(scores_N).all()
    assert (logits_NC is None) == (label_size == 0)
    assert logits_NC is None or logits_NC.shape == (4, label_size)


def test_a_fade_goes_from_the_old_image_to_the_new_one() -> None:
    network, latents_NL = _generator(), _latents()
    old, new = network(latents_NL, None, 1.0), network(latents_NL, None, 0.0)
    torch.testing.assert_close(network(latents_NL, None, 0.25), new * 0.75 + upscale(old) * 0.25)


def test_a_fade_of_the_discriminator_starts_as_the_network_below() -> None:
    network, images_NCHW = _discriminator(), _images(16)
    below, _ = network(downscale(images_NCHW), 1.0)
    faded, _ = network(images_NCHW, 1.0 - 1e-6)
    torch.testing.assert_close(faded, below, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(network(images_NCHW, 0.5)[0], below, rtol=1e-2)


def test_gradients_reach_all_active_parameters_at_every_lod() -> None:
    generator, discriminator = _generator(), _discriminator()
    for lod, inactive in ((2.0, {"8x8", "16x16", "lod0", "lod1"}), (0.5, {"lod2"}), (0.0, {"lod1", "lod2"})):
        scores_N, _ = discriminator(generator(_latents(), None, lod), lod)
        for network in (generator, discriminator):
            named = dict(network.named_parameters())
            gradients = torch.autograd.grad(scores_N.sum(), list(named.values()), retain_graph=True, allow_unused=True)
            unused = {name for name, gradient in zip(named, gradients, strict=True) if gradient is None}
            assert unused == {name for name in named if any(part in name for part in inactive)}


def test_fused_and_separate_generators_are_the_same_function() -> None:
    fused, separate = _generator(), _generator(_options(fused_scale=False))
    variables = to_original(fused)
    renamed = {
        name.replace("Conv0_up", "Conv0"): value[::-1, ::-1].swapaxes(2, 3).copy() if "Conv0_up/w" in name else value
        for name, value in variables.items()
    }
    load_original(separate, renamed)
    for lod in (0.0, 0.5, 2.0):
        torch.testing.assert_close(separate(_latents(), None, lod), fused(_latents(), None, lod), rtol=1e-4, atol=1e-5)


def test_latents_are_normalised_together_with_labels() -> None:
    network, labels_NC = _generator(label_size=3), torch.eye(3)[[0, 1, 2, 0]]
    scaled = network(_latents() * 5, labels_NC * 5, 0.0)
    torch.testing.assert_close(scaled, network(_latents(), labels_NC, 0.0), rtol=1e-4, atol=1e-5)
    plain = _generator(_options(normalize_latents=False, use_pixelnorm=False))
    assert not torch.allclose(plain(_latents() * 5, None, 0.0), plain(_latents(), None, 0.0), rtol=0.1)


def test_a_score_depends_on_the_other_images_of_its_group_only() -> None:
    network, images_NCHW = _discriminator(_options(mbstd_group_size=2)), _images(16)
    scores_N, _ = network(images_NCHW, 0.0)
    changed = images_NCHW.clone()
    changed[0] += 1
    moved = (network(changed, 0.0)[0] - scores_N).abs() > 1e-6
    assert moved.tolist() == [True, False, True, False]  # two groups of two: 0 and 2, 1 and 3


@pytest.mark.parametrize("make", [_generator, _discriminator])
def test_weights_depend_on_the_seed_only(make: Callable[[], Generator | Discriminator]) -> None:
    torch.manual_seed(1)
    first = make().state_dict()
    torch.manual_seed(2)
    second = make().state_dict()
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    weights = torch.cat([value.flatten() for name, value in first.items() if name.endswith("weight")])
    assert weights.mean().item() == pytest.approx(0.0, abs=0.03)
    assert weights.std().item() == pytest.approx(1.0, abs=0.03)


def test_numbers_of_feature_maps() -> None:
    paper = _options(fmap_base=8192, fmap_max=512)
    assert [feature_maps(paper, level) for level in range(1, 10)] == [512, 512, 512, 512, 256, 128, 64, 32, 16]


@pytest.mark.parametrize("lod", [-0.1, 2.1])
def test_an_invalid_lod_is_refused(lod: float) -> None:
    with pytest.raises(NetworkError, match=rf"lod {lod} is outside 0 … 2.*initial_resolution"):
        _generator()(_latents(), None, lod)


def test_images_of_another_resolution_are_refused() -> None:
    with pytest.raises(NetworkError, match=r"\(3, 16, 16\) at lod 1.5.*\(3, 8, 8\)"):
        _discriminator()(_images(16), 1.5)


def test_a_minibatch_not_divisible_into_groups_is_refused() -> None:
    with pytest.raises(NetworkError, match=r"minibatch of 6 .* groups of 4.*mbstd_group_size"):
        _discriminator()(_images(16, count=6), 0.0)


def test_missing_labels_are_refused() -> None:
    with pytest.raises(NetworkError, match="needs labels of length 3"):
        _generator(label_size=3)(_latents(), None, 0.0)
