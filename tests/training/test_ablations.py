"""Options of networks and losses that the paper compares with, or starts from."""

import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from pipeline.params import LsganLoss, NetworkOptions
from tests.training.networks.test_networks import SMALL
from tests.training.test_losses import Draws
from training.data import random_streams
from training.data.random_streams import Stream
from training.losses import DiscriminatorBatch, GeneratorBatch, discriminator_loss, generator_loss
from training.networks import Discriminator, Generator
from training.networks.adaptive_noise import FakeScoreEma, MultiplicativeNoise
from training.networks.layers import BatchNorm, LayerNorm, MinibatchDiscrimination

LSGAN = LsganLoss(kind="lsgan", fake_weight=0.1, noise_gain=0.2, label_weight=0.5)
BASELINE = {
    "use_pixelnorm": False, "use_batchnorm": True, "use_layernorm": True, "use_leakyrelu": False, "use_tanh": True,
    "use_wscale": False, "normalize_latents": False, "mbstd_group_size": 0,
}  # fmt: skip


def _options(**changes: float | bool) -> NetworkOptions:
    return NetworkOptions.model_validate({**SMALL.model_dump(), **changes})


def _generator(label_size: int = 0, **changes: float | bool) -> Generator:
    network = Generator(_options(**changes), resolution=16, channels=3, label_size=label_size)
    network.initialise(torch.Generator().manual_seed(1))
    return network


def _discriminator(**changes: float | bool) -> Discriminator:
    network = Discriminator(_options(**changes), resolution=16, channels=3, label_size=0)
    network.initialise(torch.Generator().manual_seed(2))
    return network


def _normal(*shape: int, seed: int = 3) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_two_normalisations_of_the_generator_are_refused() -> None:
    with pytest.raises(ValidationError, match="use_batchnorm and use_pixelnorm exclude each other"):
        _options(use_batchnorm=True)


def test_batch_norm_normalises_over_the_minibatch_and_remembers_it() -> None:
    layer, x_NCHW = BatchNorm(3).double(), 5 + 2 * _normal(8, 3, 4, 4)
    y_CK = layer(x_NCHW).transpose(0, 1).flatten(1)
    torch.testing.assert_close(y_CK.mean(1), torch.zeros(3, dtype=torch.float64), atol=1e-6, rtol=0)
    torch.testing.assert_close(y_CK.std(1, correction=0), torch.ones(3, dtype=torch.float64), atol=1e-5, rtol=0)
    torch.testing.assert_close(layer.mean, x_NCHW.mean((0, 2, 3)) / 10)
    layer.eval()
    alone = layer(x_NCHW[:1])
    torch.testing.assert_close(alone, layer(x_NCHW)[:1])


def test_layer_norm_normalises_every_sample_alone() -> None:
    layer, x_NCHW = LayerNorm(3).double(), 5 + 2 * _normal(4, 3, 4, 4)
    y_NK = layer(x_NCHW).flatten(1)
    torch.testing.assert_close(y_NK.mean(1), torch.zeros(4, dtype=torch.float64), atol=1e-6, rtol=0)
    torch.testing.assert_close(y_NK.std(1, correction=0), torch.ones(4, dtype=torch.float64), atol=1e-5, rtol=0)
    network, images_NCHW = _discriminator(**BASELINE), _normal(4, 3, 16, 16).float()
    torch.testing.assert_close(network(images_NCHW[:1], 0.0)[0], network(images_NCHW, 0.0)[0][:1])


def test_the_baseline_has_norms_in_place_of_biases_and_ends_in_tanh() -> None:
    generator, discriminator = _generator(**BASELINE), _discriminator(**BASELINE)
    for network in (generator, discriminator):
        names = {name for name, _ in network.named_parameters()}
        assert "8x8.Conv1_down.bias" not in names
        assert not {name for name in names if "Conv" in name and name.endswith("bias")}
        assert {"8x8.Activation0.Norm.weight", "8x8.Activation1.Norm.bias", "4x4.Activation1.Norm.weight"} <= names
    images_NCHW = generator(100 * _normal(4, 6).float(), None, 0.5)
    assert images_NCHW.abs().max() <= 1
    plain = _generator(**{**BASELINE, "use_tanh": False})
    torch.testing.assert_close(images_NCHW, plain(100 * _normal(4, 6).float(), None, 0.5).tanh())


def test_labels_may_stay_outside_the_normalisation() -> None:
    network, latents_NL, labels_NC = _generator(3, normalize_labels=False), _normal(4, 6).float(), torch.eye(3)[[0] * 4]
    images = network(latents_NL, labels_NC, 0.0)
    torch.testing.assert_close(network(latents_NL * 5, labels_NC, 0.0), images, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(network(latents_NL, labels_NC * 5, 0.0), images, rtol=1e-2)


def test_the_discriminator_may_be_narrower_than_the_generator() -> None:
    wide, narrow = _discriminator(), _discriminator(discriminator_fmap_scale=0.25)
    for name, value in dict(narrow.named_parameters()).items():
        if name.endswith("Conv0.weight"):
            assert [4 * size for size in value.shape[:2]] == list(wide.state_dict()[name].shape[:2])
    assert _generator(discriminator_fmap_scale=0.25).state_dict().keys() == _generator().state_dict().keys()
    assert narrow(_normal(4, 3, 16, 16).float(), 0.0)[0].shape == (4,)


def _drawn_discrimination() -> MinibatchDiscrimination:
    layer = MinibatchDiscrimination(5, kernels=3, size=2).double()
    layer.initialise(torch.Generator().manual_seed(1))
    return layer


def test_minibatch_discrimination_is_what_its_definition_says() -> None:
    layer, x_NL = _drawn_discrimination(), _normal(4, 5)
    with torch.no_grad():
        layer.scale.copy_(torch.tensor([0.1, -0.2, 0.3]))
        layer.bias.copy_(torch.tensor([1.0, 2.0, 3.0]))
    y = layer(x_NL).detach()
    torch.testing.assert_close(y[:, :5], x_NL)
    for kernel in range(3):
        rows = layer.weight[kernel].detach()
        rows = rows / rows.norm(dim=1, keepdim=True) * layer.scale[kernel].detach().exp()
        for n in range(4):
            near = sum(math.exp(-float((rows @ (x_NL[n] - x_NL[m])).abs().sum())) for m in range(4) if m != n)
            assert float(y[n, 5 + kernel]) == pytest.approx(near + kernel + 1, rel=1e-6)


def test_minibatch_discrimination_is_fitted_to_its_first_samples() -> None:
    layer, x_NL = _drawn_discrimination(), 30 * _normal(16, 5)
    layer.fit(x_NL)
    appended_NK = layer(x_NL)[:, 5:].detach()
    torch.testing.assert_close(appended_NK.mean(0), torch.zeros(3, dtype=torch.float64), atol=1e-6, rtol=0)
    assert appended_NK.std(0).min() > 1e-3  # neither all alike nor all apart
    unit_KSL = layer.weight / layer.weight.norm(dim=2, keepdim=True) * layer.scale.exp().view(-1, 1, 1)
    projected_NKS = torch.einsum("nl,ksl->nks", x_NL, unit_KSL).detach()
    distances_KNN = torch.stack([torch.cdist(rows, rows, p=1) for rows in projected_NKS.unbind(1)])
    nearest_KN = distances_KNN.sort(dim=2).values[:, :, 1]
    torch.testing.assert_close(nearest_KN.mean(1), torch.full((3,), 2.0, dtype=torch.float64))
    network, images_NCHW = _discriminator(mbdisc_kernels=4, mbstd_group_size=0), 0.1 * _normal(6, 3, 16, 16).float()
    network.fit(images_NCHW, 0.0)
    assert all(abs(float(value)) > 0 for value in network.state_dict()["4x4.Discrimination.scale"])
    scores_N, _ = network(images_NCHW, 0.0)
    moved_N, _ = network(torch.cat([images_NCHW[:1], images_NCHW[:1], images_NCHW[2:]]), 0.0)
    assert not torch.isclose(moved_N[0], scores_N[0], atol=1e-4)


def test_the_penalty_can_be_trained_through_every_option() -> None:
    drawn = Draws(0.3)
    for options in (_options(**BASELINE), _options(mbdisc_kernels=4, mbstd_group_size=0)):
        drawn.generator = Generator(options, resolution=16, channels=3, label_size=0).double()
        drawn.discriminator = Discriminator(options, resolution=16, channels=3, label_size=0).double()
        for network in (drawn.generator, drawn.discriminator):
            network.initialise(torch.Generator().manual_seed(1))
        loss, _ = drawn.loss_of_d()
        gradients = torch.autograd.grad(loss, list(drawn.discriminator.parameters()), allow_unused=True)
        assert all(gradient.isfinite().all() for gradient in gradients if gradient is not None)


def test_the_loss_of_lsgan_is_by_its_definition() -> None:
    drawn = Draws(0.3, labels=True)
    networks = (drawn.generator, drawn.discriminator)
    batch = DiscriminatorBatch(drawn.reals_NCHW, drawn.labels_NC, drawn.latents_NL, drawn.interpolation_weights_N)
    loss, terms = discriminator_loss(LSGAN, *networks, batch, 0.3)
    assert "gradient_penalty" not in terms
    expected_N = terms["score/real"] ** 2 + 0.1 * (terms["score/fake"] - 1) ** 2
    expected_N += 0.5 * (terms["loss/labels_real"] + terms["loss/labels_fake"])
    torch.testing.assert_close(loss.detach(), expected_N.mean())
    loss, terms = generator_loss(LSGAN, *networks, GeneratorBatch(drawn.latents_NL, drawn.labels_NC), 0.3)
    torch.testing.assert_close(loss.detach(), (terms["score/fake"] ** 2 + 0.5 * terms["loss/labels"]).mean())


def test_noise_begins_where_the_fakes_score_above_one_half() -> None:
    winning = FakeScoreEma(torch.device("cpu"))
    for scores in ([7.0, 9.0], [1.0, 1.0], [-3.0, 0.0]):
        winning.update(torch.tensor(scores).mean())
    assert float(winning.value) == pytest.approx(0.9 * (0.9 * 0.1 + 0.1))
    assert float(winning.strength(LSGAN)) == 0.0
    winning.value = torch.tensor(0.8)
    assert float(winning.strength(LSGAN)) == pytest.approx(0.2 * 0.3**2)


def test_noise_is_one_factor_per_sample_and_map_of_the_stated_deviation() -> None:
    noise = MultiplicativeNoise(torch.tensor(0.05), random_streams.generator(1, Stream.D_NOISE, 0), 400, np.arange(400))
    factors = noise(torch.ones(400, 16, 2, 2))
    assert torch.equal(factors, factors[:, :, :1, :1].expand_as(factors))
    assert float(factors.mean()) == pytest.approx(1.0, abs=0.01)
    assert float(factors[:, :, 0, 0].std()) == pytest.approx(0.05 * 4, rel=0.02)
    again = MultiplicativeNoise(torch.tensor(0.05), random_streams.generator(1, Stream.D_NOISE, 0), 400, np.arange(400))
    assert torch.equal(again(torch.ones(400, 16, 2, 2)), factors)
    assert not torch.equal(noise(torch.ones(400, 16, 2, 2)), factors)


def test_noise_reaches_the_input_of_every_convolution_but_the_first() -> None:
    seen: list[tuple[int, ...]] = []

    def spy(x: Tensor) -> Tensor:
        seen.append(tuple(x.shape[1:]))
        return x

    network, images_NCHW = _discriminator(), _normal(4, 3, 16, 16).float()
    scores_N, _ = network(images_NCHW, 0.0, spy)
    assert seen == [(8, 16, 16), (8, 16, 16), (8, 8, 8), (8, 8, 8), (9, 4, 4), (8, 4, 4)]
    rng = np.random.default_rng(1)
    noise = MultiplicativeNoise(torch.tensor(0.1), rng, 4, np.arange(4))
    assert not torch.equal(network(images_NCHW, 0.0, noise)[0], scores_N)


def test_noise_of_some_rows_is_that_of_the_whole_minibatch() -> None:
    rows, ones = np.array([1, 3, 6]), torch.ones(8, 5, 2, 2)
    whole = MultiplicativeNoise(torch.tensor(0.1), random_streams.generator(1, Stream.D_NOISE, 0), 8, np.arange(8))
    part = MultiplicativeNoise(torch.tensor(0.1), random_streams.generator(1, Stream.D_NOISE, 0), 8, rows)
    for _ in range(2):
        assert torch.equal(part(ones[:3]), whole(ones)[rows])
