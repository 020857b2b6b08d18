"""WGAN-GP with drift term (Karras et al. 2018, appendix A.1), LSGAN (appendix B), and AC-GAN label terms.

Pure functions: all random draws come from the caller. Gradients flow to the network that the loss is for.
"""

from collections.abc import Generator as Yields
from collections.abc import Sequence
from contextlib import contextmanager, nullcontext
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.params import LsganLoss, WganLoss
from training.networks import Discriminator, Generator
from training.networks.discriminator import FeatureNoise as Noise
from training.networks.discriminator import identity
from training.networks.progressive import Lod, split_lod
from training.ops.conv2d import no_weight_grad

Terms = dict[str, Tensor]
"""Terms of a loss, scores and gradient norms by name, per sample and detached."""

DISCRIMINATOR_FIGURES = (
    "loss/discriminator",
    "score/real",
    "score/fake",
    "gradient_norm",
    "loss/labels_real",
    "loss/labels_fake",
)
"""The terms of D that are reported, in the order of checkpoint files.

LSGAN has no gradient norm; label losses need labels.
"""
GENERATOR_FIGURES = ("loss/generator",)


class DiscriminatorBatch(NamedTuple):
    """A microbatch of the discriminator; N = samples, C = 3 (images) or classes (labels), L = latent size.

    `reals_NCHW`: real images after `process_reals`. `labels_NC`: of the reals, which the fakes are generated with too;
    None without labels. `latents_NL`: of the fakes. `interpolation_weights_N`: the points between real (0) and fake (1)
    at which WGAN-GP takes its gradient penalty. `noise`: in the discriminator.
    """

    reals_NCHW: Tensor
    labels_NC: Tensor | None
    latents_NL: Tensor
    interpolation_weights_N: Tensor
    noise: Noise = identity


class GeneratorBatch(NamedTuple):
    """A microbatch of the generator: latent vectors and labels of the fakes, and noise in the discriminator."""

    latents_NL: Tensor
    labels_NC: Tensor | None
    noise: Noise = identity


def discriminator_loss(
    options: WganLoss | LsganLoss,
    generator: Generator,
    discriminator: Discriminator,
    batch: DiscriminatorBatch,
    lod: Lod,
) -> tuple[Tensor, Terms]:
    """Mean loss of the discriminator, and its terms; the generator gets no gradients.

    Gradient norms are with respect to images at full resolution.
    """
    reals_NCHW, labels_NC, latents_NL, interpolation_weights_N, noise = batch
    with torch.no_grad():
        fakes_NCHW = generator(latents_NL, labels_NC, lod)
    (real_scores_N, real_logits_NC), (fake_scores_N, fake_logits_NC) = _score_real_and_fake(
        discriminator, reals_NCHW, fakes_NCHW, lod, noise
    )
    terms_N = {"score/real": real_scores_N, "score/fake": fake_scores_N}
    if isinstance(options, LsganLoss):
        loss_N = real_scores_N.square() + options.fake_weight * (fake_scores_N - 1).square()
    else:
        interpolated_NCHW = reals_NCHW + (fakes_NCHW - reals_NCHW) * interpolation_weights_N.view(-1, 1, 1, 1)
        interpolated_scores_N, norms_N = _gradient_norms(discriminator, interpolated_NCHW, lod, noise)
        penalty_N = (norms_N - options.wgan_target).square() * (options.wgan_lambda / options.wgan_target**2)
        loss_N = fake_scores_N - real_scores_N + penalty_N + options.wgan_epsilon * real_scores_N.square()
        terms_N |= {
            "score/interpolated": interpolated_scores_N,
            "gradient_norm": norms_N,
            "gradient_penalty": penalty_N,
        }
    if labels_NC is not None and real_logits_NC is not None and fake_logits_NC is not None:
        real_label_loss_N = functional.cross_entropy(real_logits_NC, labels_NC, reduction="none")
        fake_label_loss_N = functional.cross_entropy(fake_logits_NC, labels_NC, reduction="none")
        loss_N = loss_N + options.label_weight * (real_label_loss_N + fake_label_loss_N)
        terms_N |= {"loss/labels_real": real_label_loss_N, "loss/labels_fake": fake_label_loss_N}
    return loss_N.mean(), _detached({"loss/discriminator": loss_N, **terms_N})


def generator_loss(
    options: WganLoss | LsganLoss,
    generator: Generator,
    discriminator: Discriminator,
    batch: GeneratorBatch,
    lod: Lod,
) -> tuple[Tensor, Terms]:
    """Mean loss of the generator, and its terms: low where its images score as reals and their labels are recognised.

    Reals score high in WGAN-GP and 0 in LSGAN.
    """
    images_NCHW = generator(batch.latents_NL, batch.labels_NC, lod)
    with _frozen(discriminator):
        scores_N, logits_NC = discriminator(images_NCHW, lod, batch.noise)
    terms_N = {"score/fake": scores_N}
    loss_N = scores_N.square() if isinstance(options, LsganLoss) else -scores_N
    if batch.labels_NC is not None and logits_NC is not None:
        terms_N["loss/labels"] = functional.cross_entropy(logits_NC, batch.labels_NC, reduction="none")
        loss_N = loss_N + options.label_weight * terms_N["loss/labels"]
    return loss_N.mean(), _detached({"loss/generator": loss_N, **terms_N})


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
    # the penalty is a small difference of norms, which a 16-bit dtype rounds
    with discriminator.full_precision() if discriminator.float32_penalty else nullcontext():
        scores_N, _ = discriminator(interpolated_NCHW, lod, noise)
    with no_weight_grad():
        (gradients_NCHW,) = torch.autograd.grad(scores_N.sum(), interpolated_NCHW, create_graph=True)
    norms_N = gradients_NCHW.square().sum(dim=(1, 2, 3)).sqrt() / 2 ** split_lod(lod)[0]
    return scores_N, norms_N


def _detached(terms_N: Terms) -> Terms:
    return {name: values_N.detach() for name, values_N in terms_N.items()}
