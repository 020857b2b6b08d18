"""The conditional patch discriminator of pix2pix (Isola et al. 2017) and its losses, for the adversarial term."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class PatchDiscriminator(nn.Module):
    """Classifies each patch of 22 x 22 pixels as clean or restored, given the degraded image.

    Without normalisation, since minibatches are small.
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
        """Logits (N, 1, h, w), high for clean; a smaller degraded image is enlarged to the candidate's size."""
        size = candidate_NCHW.shape[-2:]
        if degraded_NCHW.shape[-2:] != size:
            degraded_NCHW = functional.interpolate(degraded_NCHW, size=size, mode="bicubic", align_corners=False)
        return self.layers(torch.cat([degraded_NCHW, candidate_NCHW], dim=1))


def discriminator_loss(clean_logits: Tensor, restored_logits: Tensor) -> Tensor:
    """Binary cross-entropy."""
    return functional.softplus(-clean_logits).mean() + functional.softplus(restored_logits).mean()


def restorer_loss(restored_logits: Tensor) -> Tensor:
    """Non-saturating loss of the restoration network."""
    return functional.softplus(-restored_logits).mean()
