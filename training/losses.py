"""WGAN-GP with drift term (Karras et al. 2018, appendix A.1), LSGAN (appendix B), and AC-GAN label terms.

Pure functions: all random draws come from the caller. Gradients flow to the network that the loss is for.
"""

from collections.abc import Generator as Yields
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.params import LsganLoss, WganLoss
from training.data.batches import DiscriminatorBatch, GeneratorBatch
from training.networks import Discriminator, Generator
from training.networks.discriminator import FeatureNoise as Noise
from training.networks.discriminator import identity
from training.networks.progressive import Lod, split_lod
from training.ops.conv2d import no_weight_grad

Figures = dict[str, Tensor]
"""What is reported of a loss, by name."""


@dataclass(frozen=True)
class Penalty:
    """The gradient penalty, per sample and detached.

    `interpolated_norms_N` are gradient norms with respect to images at full resolution, `penalty_N` the loss term.
    """

    interpolated_scores_N: Tensor
    interpolated_norms_N: Tensor
    penalty_N: Tensor


@dataclass(frozen=True)
class DiscriminatorStatistics:
    """The terms of one discriminator loss, per sample and detached; `loss_N` is the sum of all terms.

    Label terms are None without labels, the penalty is None for LSGAN.
    """

    real_scores_N: Tensor
    fake_scores_N: Tensor
    penalty: Penalty | None
    real_label_loss_N: Tensor | None
    fake_label_loss_N: Tensor | None
    loss_N: Tensor

    def figures(self) -> Figures:
        """What is reported, per sample."""
        figures = {
            "loss/discriminator": self.loss_N,
            "score/real": self.real_scores_N,
            "score/fake": self.fake_scores_N,
            "gradient_norm": None if self.penalty is None else self.penalty.interpolated_norms_N,
            "loss/labels_real": self.real_label_loss_N,
            "loss/labels_fake": self.fake_label_loss_N,
        }
        return {name: values_N for name, values_N in figures.items() if values_N is not None}


@dataclass(frozen=True)
class GeneratorStatistics:
    """The terms of one generator loss, per sample and detached; the label term is None without labels."""

    fake_scores_N: Tensor
    label_loss_N: Tensor | None
    loss_N: Tensor

    def figures(self) -> Figures:
        """What is reported, per sample."""
        return {"loss/generator": self.loss_N}


def discriminator_loss(
    options: WganLoss | LsganLoss,
    generator: Generator,
    discriminator: Discriminator,
    batch: DiscriminatorBatch,
    lod: Lod,
) -> tuple[Tensor, DiscriminatorStatistics]:
    """Mean loss of the discriminator; the generator gets no gradients."""
    reals_NCHW, labels_NC, latents_NL, interpolation_weights_N, noise = batch
    with torch.no_grad():
        fakes_NCHW = generator(latents_NL, labels_NC, lod)
    (real_scores_N, real_logits_NC), (fake_scores_N, fake_logits_NC) = _score_real_and_fake(
        discriminator, reals_NCHW, fakes_NCHW, lod, noise
    )
    if isinstance(options, LsganLoss):
        penalty = None
        loss_N = real_scores_N.square() + options.fake_weight * (fake_scores_N - 1).square()
    else:
        interpolated_NCHW = reals_NCHW + (fakes_NCHW - reals_NCHW) * interpolation_weights_N.view(-1, 1, 1, 1)
        interpolated_scores_N, norms_N = _gradient_norms(discriminator, interpolated_NCHW, lod, noise)
        penalty_N = (norms_N - options.wgan_target).square() * (options.wgan_lambda / options.wgan_target**2)
        loss_N = fake_scores_N - real_scores_N + penalty_N + options.wgan_epsilon * real_scores_N.square()
        penalty = Penalty(interpolated_scores_N.detach(), norms_N.detach(), penalty_N.detach())
    real_label_loss_N = _label_loss(real_logits_NC, labels_NC)
    fake_label_loss_N = _label_loss(fake_logits_NC, labels_NC)
    if real_label_loss_N is not None and fake_label_loss_N is not None:
        loss_N = loss_N + options.label_weight * (real_label_loss_N + fake_label_loss_N)
    return loss_N.mean(), DiscriminatorStatistics(
        real_scores_N=real_scores_N.detach(),
        fake_scores_N=fake_scores_N.detach(),
        penalty=penalty,
        real_label_loss_N=None if real_label_loss_N is None else real_label_loss_N.detach(),
        fake_label_loss_N=None if fake_label_loss_N is None else fake_label_loss_N.detach(),
        loss_N=loss_N.detach(),
    )


def generator_loss(
    options: WganLoss | LsganLoss,
    generator: Generator,
    discriminator: Discriminator,
    batch: GeneratorBatch,
    lod: Lod,
) -> tuple[Tensor, GeneratorStatistics]:
    """Mean loss of the generator: low where its images score as reals do, and where their labels are recognised.

    Reals score high in WGAN-GP and 0 in LSGAN.
    """
    images_NCHW = generator(batch.latents_NL, batch.labels_NC, lod)
    with _frozen(discriminator):
        scores_N, logits_NC = discriminator(images_NCHW, lod, batch.noise)
    loss_N = scores_N.square() if isinstance(options, LsganLoss) else -scores_N
    label_loss_N = _label_loss(logits_NC, batch.labels_NC)
    if label_loss_N is not None:
        loss_N = loss_N + options.label_weight * label_loss_N
    return loss_N.mean(), GeneratorStatistics(
        fake_scores_N=scores_N.detach(),
        label_loss_N=None if label_loss_N is None else label_loss_N.detach(),
        loss_N=loss_N.detach(),
    )


@contextmanager
def _frozen(network: nn.Module) -> Yields[None]:
    """Compute no gradients of the weights within this context."""
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)


def _score_real_and_fake(
    discriminator: Discriminator, reals_NCHW: Tensor, fakes_NCHW: Tensor, lod: Lod, noise: Noise
) -> Sequence[tuple[Tensor, Tensor | None]]:
    """Scores and logits of both minibatches, in one pass where their groups can be kept apart."""
    options, count = discriminator.options, len(reals_NCHW)
    members = max(options.mbstd_group_size, 1)
    if noise is not identity or options.mbdisc_kernels or count % members:
        return [discriminator(images_NCHW, lod, noise) for images_NCHW in (reals_NCHW, fakes_NCHW)]
    # sample n of M groups belongs to group n mod M: as rows of M samples, groups are columns
    rows = [images_NCHW.unflatten(0, (members, -1)) for images_NCHW in (reals_NCHW, fakes_NCHW)]
    outputs = discriminator(torch.cat(rows, dim=1).flatten(0, 1), lod)
    scores, logits = (
        (None, None)
        if output is None
        else [half.flatten(0, 1) for half in output.unflatten(0, (members, -1)).chunk(2, 1)]
        for output in outputs
    )
    return list(zip(scores, logits, strict=True))


def _gradient_norms(
    discriminator: Discriminator, interpolated_NCHW: Tensor, lod: Lod, noise: Noise
) -> tuple[Tensor, Tensor]:
    """Scores, and norms of their gradients with respect to the images at full resolution."""
    # A current pixel is the mean of 2^k by 2^k pixels at full resolution, k = floor(lod). There, 4^k pixels have a
    # gradient 4^k times smaller, so its norm is 2^k times smaller.
    interpolated_NCHW.requires_grad_(True)
    # in full precision: the penalty is a small difference of norms, which a 16-bit dtype would round away
    with discriminator.full_precision():
        scores_N, _ = discriminator(interpolated_NCHW, lod, noise)
    with no_weight_grad():
        (gradients_NCHW,) = torch.autograd.grad(scores_N.sum(), interpolated_NCHW, create_graph=True)
    norms_N = gradients_NCHW.square().sum(dim=(1, 2, 3)).sqrt() / 2 ** split_lod(lod)[0]
    return scores_N, norms_N


def _label_loss(logits_NC: Tensor | None, labels_NC: Tensor | None) -> Tensor | None:
    if logits_NC is None or labels_NC is None:
        return None
    return functional.cross_entropy(logits_NC, labels_NC, reduction="none")
