"""WGAN-GP with drift term, LSGAN, and the AC-GAN label terms (SPEC §5).

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
from training.networks import Discriminator, Generator
from training.networks.discriminator import FeatureNoise as Noise
from training.networks.discriminator import identity
from training.networks.progressive import Lod, split_lod
from training.ops.conv2d import no_weight_grad


@dataclass(frozen=True)
class Penalty:
    """The gradient penalty, per sample and detached.

    `interpolated_norms_N` are gradient norms with respect to the images at full resolution, `penalty_N` what they cost.
    """

    interpolated_scores_N: Tensor
    interpolated_norms_N: Tensor
    penalty_N: Tensor


@dataclass(frozen=True)
class DiscriminatorStatistics:
    """What one discriminator loss consisted of, per sample and detached; `loss_N` is the sum of all terms.

    Label terms are None without labels, the penalty where the loss has none.
    """

    real_scores_N: Tensor
    fake_scores_N: Tensor
    penalty: Penalty | None
    real_label_loss_N: Tensor | None
    fake_label_loss_N: Tensor | None
    loss_N: Tensor


@dataclass(frozen=True)
class GeneratorStatistics:
    """What one generator loss consisted of, per sample and detached; the label term is None without labels."""

    fake_scores_N: Tensor
    label_loss_N: Tensor | None
    loss_N: Tensor


def discriminator_loss(
    options: WganLoss | LsganLoss,
    generator: Generator,
    discriminator: Discriminator,
    *,
    reals_NCHW: Tensor,
    labels_NC: Tensor | None,
    latents_NL: Tensor,
    interpolation_weights_N: Tensor,
    lod: Lod,
    noise: Noise = identity,
) -> tuple[Tensor, DiscriminatorStatistics]:
    """Mean loss of the discriminator; the generator is taken as it is.

    Parameters
    ----------
    reals_NCHW
        Processed reals (`training.data.preprocess`) at the current resolution, range [-1, 1].
    labels_NC
        Labels of the reals, which the fakes are made with too; None without labels.
    latents_NL
        Latent vectors of the fakes.
    interpolation_weights_N
        Where between real (0) and fake (1) the gradient of WGAN-GP is measured, per sample.
    noise
        In the discriminator.
    """
    with torch.no_grad():
        fakes_NCHW = generator(latents_NL, labels_NC, lod)
    (real_scores_N, real_logits_NC), (fake_scores_N, fake_logits_NC) = _judged(
        discriminator, (reals_NCHW, fakes_NCHW), lod, noise
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
    *,
    latents_NL: Tensor,
    labels_NC: Tensor | None,
    lod: Lod,
    noise: Noise = identity,
) -> tuple[Tensor, GeneratorStatistics]:
    """Mean loss of the generator: how far its images are from being scored as reals, and how well their labels show.

    Reals score high in WGAN-GP and 0 in LSGAN.
    """
    images_NCHW = generator(latents_NL, labels_NC, lod)
    with _as_it_is(discriminator):
        scores_N, logits_NC = discriminator(images_NCHW, lod, noise)
    loss_N = scores_N.square() if isinstance(options, LsganLoss) else -scores_N
    label_loss_N = _label_loss(logits_NC, labels_NC)
    if label_loss_N is not None:
        loss_N = loss_N + options.label_weight * label_loss_N
    return loss_N.mean(), GeneratorStatistics(
        fake_scores_N=scores_N.detach(),
        label_loss_N=None if label_loss_N is None else label_loss_N.detach(),
        loss_N=loss_N.detach(),
    )


@contextmanager
def _as_it_is(network: nn.Module) -> Yields[None]:
    """What is computed meanwhile has no gradient with respect to the weights."""
    learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
    for parameter in learning:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)


def _judged(
    discriminator: Discriminator, minibatches: tuple[Tensor, Tensor], lod: Lod, noise: Noise
) -> Sequence[tuple[Tensor, Tensor | None]]:
    """Scores and logits of two minibatches: in one pass where samples meet in groups only, which both can keep."""
    options, count = discriminator.options, len(minibatches[0])
    members = max(options.mbstd_group_size, 1)
    if noise is not identity or options.mbdisc_kernels or count % members:
        return [discriminator(images_NCHW, lod, noise) for images_NCHW in minibatches]
    # sample n of M groups belongs to group n mod M: as rows of M samples, groups are columns
    rows = [images_NCHW.unflatten(0, (members, -1)) for images_NCHW in minibatches]
    scores, logits = discriminator(torch.cat(rows, dim=1).flatten(0, 1), lod)
    groups = count // members

    def split(values: Tensor) -> tuple[Tensor, ...]:
        return tuple(part.flatten(0, 1) for part in values.unflatten(0, (members, -1)).split(groups, dim=1))

    return list(zip(split(scores), (None, None) if logits is None else split(logits), strict=True))


def _gradient_norms(
    discriminator: Discriminator, interpolated_NCHW: Tensor, lod: Lod, noise: Noise
) -> tuple[Tensor, Tensor]:
    # The definition takes the gradient at full resolution, of which the current pixel is the mean over 2^k by 2^k,
    # k = floor(lod): 4^k pixels, each with a gradient 4^k times smaller, have a norm 2^k times smaller.
    interpolated_NCHW.requires_grad_(True)
    # in full precision: the penalty is a small difference of norms, of which a short type would leave little
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
