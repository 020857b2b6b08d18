"""What the losses of one microbatch are computed from.

N = microbatch, C = 3 (images) or classes (labels), L = latent size.
"""

from typing import NamedTuple

from torch import Tensor

from training.networks.discriminator import FeatureNoise, identity


class DiscriminatorBatch(NamedTuple):
    """A microbatch of the discriminator.

    `reals_NCHW`: real images after `process_reals`. `labels_NC`: of the reals, which the fakes are generated with too;
    None without labels. `latents_NL`: of the fakes. `interpolation_weights_N`: the points between real (0) and fake (1)
    at which WGAN-GP takes its gradient penalty. `noise`: in the discriminator.
    """

    reals_NCHW: Tensor
    labels_NC: Tensor | None
    latents_NL: Tensor
    interpolation_weights_N: Tensor
    noise: FeatureNoise = identity


class GeneratorBatch(NamedTuple):
    """A microbatch of the generator: latent vectors and labels of the fakes, and noise in the discriminator."""

    latents_NL: Tensor
    labels_NC: Tensor | None
    noise: FeatureNoise = identity
