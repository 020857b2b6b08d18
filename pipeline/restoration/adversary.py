"""The conditional patch discriminator and its loss (pix2pix, Isola et al. 2017), for the optional adversarial term."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class PatchDiscriminator(nn.Module):
    """Judges overlapping patches: is this the clean image that belongs to the degraded one beside it?

    One logit per patch of 22 x 22 pixels. No normalisation: minibatches are small.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(6, channels, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(channels, 2 * channels, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * channels, 1, 4, padding=1),
        )

    def forward(self, degraded_NCHW: Tensor, candidate_NCHW: Tensor) -> Tensor:
        """Logits (N, 1, h, w), high where the candidate looks clean; a smaller degraded image is enlarged to fit."""
        size = candidate_NCHW.shape[-2:]
        if degraded_NCHW.shape[-2:] != size:
            degraded_NCHW = functional.interpolate(degraded_NCHW, size=size, mode="bicubic", align_corners=False)
        return self.layers(torch.cat([degraded_NCHW, candidate_NCHW], dim=1))


def discriminator_loss(logits_of_clean: Tensor, logits_of_restored: Tensor) -> Tensor:
    """Cross-entropy of telling the two apart."""
    return functional.softplus(-logits_of_clean).mean() + functional.softplus(logits_of_restored).mean()


def restorer_loss(logits_of_restored: Tensor) -> Tensor:
    """Cross-entropy of passing for clean (the form that does not saturate)."""
    return functional.softplus(-logits_of_restored).mean()
