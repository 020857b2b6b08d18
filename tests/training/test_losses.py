import math

import pytest
import torch
from torch import Tensor

from pipeline.params import WganLoss
from tests.training.networks.test_networks import SMALL
from training.losses import DiscriminatorBatch, GeneratorBatch, Terms, discriminator_loss, generator_loss
from training.networks import Discriminator, Generator
from training.networks.layers import upscale

OPTIONS = WganLoss(kind="wgan-gp", wgan_lambda=10.0, wgan_target=1.0, wgan_epsilon=0.001, label_weight=1.0)
LABELS_NC = torch.eye(3, dtype=torch.float64)[[0, 1, 2, 0]]


class Draws:
    """Networks and draws for a loss, in float64."""

    def __init__(self, lod: float, *, labels: bool = False) -> None:
        rng = torch.Generator().manual_seed(7)
        sizes = {"resolution": 16, "channels": 3, "label_size": 3 if labels else 0}
        self.generator, self.discriminator = Generator(SMALL, **sizes), Discriminator(SMALL, **sizes)
        self.generator.initialise(rng)
        self.discriminator.initialise(rng)
        self.generator.double()
        self.discriminator.double()
        side = 16 >> math.floor(lod)
        self.lod, self.labels_NC = lod, LABELS_NC if labels else None
        self.reals_NCHW = torch.rand(4, 3, side, side, generator=rng, dtype=torch.float64) * 2 - 1
        self.latents_NL = torch.randn(4, 6, generator=rng, dtype=torch.float64)
        self.interpolation_weights_N = torch.tensor([0.0, 0.3, 0.6, 1.0], dtype=torch.float64)

    def loss_of_d(self, options: WganLoss = OPTIONS) -> tuple[Tensor, Terms]:
        batch = DiscriminatorBatch(self.reals_NCHW, self.labels_NC, self.latents_NL, self.interpolation_weights_N)
        return discriminator_loss(options, self.generator, self.discriminator, batch, self.lod)


def _penalty_at_full_resolution(draws: Draws) -> Tensor:
    """Gradient norms by the definition: of images at 16x16, which the network averages down itself."""
    with torch.no_grad():
        fakes = draws.generator(draws.latents_NL, draws.labels_NC, draws.lod)
        interpolated = draws.reals_NCHW + (fakes - draws.reals_NCHW) * draws.interpolation_weights_N.view(-1, 1, 1, 1)
        for _ in range(math.floor(draws.lod)):
            interpolated = upscale(interpolated)
    interpolated.requires_grad_()
    factor = 2 ** math.floor(draws.lod)
    scores_N, _ = draws.discriminator(torch.nn.functional.avg_pool2d(interpolated, factor), draws.lod)
    (gradients,) = torch.autograd.grad(scores_N.sum(), interpolated)
    return gradients.flatten(1).norm(dim=1)


@pytest.mark.parametrize("lod", [0.0, 0.4, 1.0, 1.3, 2.0])
def test_norms_are_those_at_full_resolution(lod: float) -> None:
    draws = Draws(lod)
    _, terms = draws.loss_of_d()
    torch.testing.assert_close(terms["gradient_norm"], _penalty_at_full_resolution(draws))


@pytest.mark.parametrize("labels", [False, True])
def test_the_loss_is_the_sum_of_its_terms(labels: bool) -> None:
    options = WganLoss(kind="wgan-gp", wgan_lambda=5.0, wgan_target=2.0, wgan_epsilon=0.1, label_weight=0.7)
    draws = Draws(0.3, labels=labels)
    loss, terms = draws.loss_of_d(options)
    penalty_N = (terms["gradient_norm"] - 2.0) ** 2 * 5.0 / 2.0**2
    torch.testing.assert_close(terms["gradient_penalty"], penalty_N)
    expected_N = terms["score/fake"] - terms["score/real"] + penalty_N + 0.1 * terms["score/real"] ** 2
    assert ("loss/labels_real" in terms) == ("loss/labels_fake" in terms) == labels
    if labels:
        _, logits_NC = draws.discriminator(draws.reals_NCHW, draws.lod)
        cross_entropy_N = -(logits_NC.log_softmax(dim=1) * LABELS_NC).sum(dim=1)
        torch.testing.assert_close(terms["loss/labels_real"], cross_entropy_N)
        expected_N = expected_N + 0.7 * (terms["loss/labels_real"] + terms["loss/labels_fake"])
    torch.testing.assert_close(terms["loss/discriminator"], expected_N)
    torch.testing.assert_close(loss, expected_N.mean())


@pytest.mark.parametrize(("lod", "labels"), [(0.0, False), (0.4, True), (2.0, True)])
def test_gradients_agree_with_finite_differences(lod: float, labels: bool) -> None:
    """The second derivative through the penalty, against finite differences along random directions."""
    draws = Draws(lod, labels=labels)
    parameters = [parameter for parameter in draws.discriminator.parameters() if parameter.requires_grad]
    loss, _ = draws.loss_of_d()
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
    rng, step = torch.Generator().manual_seed(1), 1e-6
    for _ in range(3):
        directions = [torch.randn(value.shape, generator=rng, dtype=value.dtype) for value in parameters]
        derivative = sum(
            (gradient * direction).sum() for gradient, direction in zip(gradients, directions, strict=True)
        )
        losses: list[Tensor] = []
        for sign in (1, -1):
            _move(parameters, directions, sign * step)
            losses.append(draws.loss_of_d()[0].detach())
            _move(parameters, directions, -sign * step)
        torch.testing.assert_close((losses[0] - losses[1]) / (2 * step), derivative, rtol=1e-4, atol=1e-6)


@torch.no_grad()
def _move(parameters: list[Tensor], directions: list[Tensor], step: float) -> None:
    for parameter, direction in zip(parameters, directions, strict=True):
        parameter.add_(direction, alpha=step)


@pytest.mark.parametrize("group", [0, 2, 4, 16])
def test_reals_and_fakes_in_one_pass_score_as_in_two(group: int) -> None:
    draws = Draws(0.3, labels=True)
    draws.discriminator = Discriminator(
        SMALL.model_copy(update={"mbstd_group_size": group}), resolution=16, channels=3, label_size=3
    )
    draws.discriminator.initialise(torch.Generator().manual_seed(3))
    draws.discriminator.double()
    _, terms = draws.loss_of_d()
    with torch.no_grad():
        fakes_NCHW = draws.generator(draws.latents_NL, draws.labels_NC, draws.lod)
        torch.testing.assert_close(terms["score/real"], draws.discriminator(draws.reals_NCHW, draws.lod)[0])
        scores_N, logits_NC = draws.discriminator(fakes_NCHW, draws.lod)
    torch.testing.assert_close(terms["score/fake"], scores_N)
    assert logits_NC is not None
    cross_entropy_N = -(logits_NC.log_softmax(dim=1) * LABELS_NC).sum(dim=1)
    torch.testing.assert_close(terms["loss/labels_fake"], cross_entropy_N)


def test_the_generator_is_not_trained_by_the_loss_of_the_discriminator() -> None:
    draws = Draws(0.0)
    loss, _ = draws.loss_of_d()
    gradients = torch.autograd.grad(loss, list(draws.generator.parameters()), allow_unused=True)
    assert all(gradient is None for gradient in gradients)


@pytest.mark.parametrize("labels", [False, True])
def test_the_loss_of_the_generator_is_the_sum_of_its_terms(labels: bool) -> None:
    draws = Draws(0.4, labels=labels)
    options = WganLoss(kind="wgan-gp", wgan_lambda=10.0, wgan_target=1.0, wgan_epsilon=0.001, label_weight=0.5)
    batch = GeneratorBatch(draws.latents_NL, draws.labels_NC)
    loss, terms = generator_loss(options, draws.generator, draws.discriminator, batch, draws.lod)
    images_NCHW = draws.generator(draws.latents_NL, draws.labels_NC, draws.lod)
    scores_N, logits_NC = draws.discriminator(images_NCHW, draws.lod)
    expected_N = -scores_N
    if labels:
        expected_N = expected_N - 0.5 * (logits_NC.log_softmax(dim=1) * LABELS_NC).sum(dim=1)
    torch.testing.assert_close(terms["loss/generator"], expected_N.detach())
    torch.testing.assert_close(loss, expected_N.mean())
    gradients = torch.autograd.grad(loss, list(draws.generator.parameters()), allow_unused=True)
    assert any(gradient is not None and gradient.abs().max() > 0 for gradient in gradients)
