"""The adversarial phase: a conditional patch discriminator (Isola et al. 2017), relativistic losses, and its features.

The relativistic average losses are those of ESRGAN (Wang et al. 2018), feature matching that of pix2pixHD (Wang et al.
2018): the discriminator's features take the place of a network trained on other pictures.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


class PatchDiscriminator(nn.Module):
    """Classifies each patch of 34 x 34 pixels as clean or restored, given the degraded image.

    Without normalisation, since minibatches are small.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            [
                nn.Conv2d(6, channels, 4, stride=2, padding=1),
                nn.Conv2d(channels, 2 * channels, 4, stride=2, padding=1),
                nn.Conv2d(2 * channels, 2 * channels, 4, padding=2),
                nn.Conv2d(2 * channels, 1, 4, padding=1),
            ]
        )

    def forward(self, degraded_NCHW: Tensor, candidate_NCHW: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Logits (N, 1, h, w), high for clean, and the features of each layer below.

        A smaller degraded image is enlarged to the candidate's size.
        """
        size = candidate_NCHW.shape[-2:]
        if degraded_NCHW.shape[-2:] != size:
            degraded_NCHW = functional.interpolate(degraded_NCHW, size=size, mode="bicubic", align_corners=False)
        x, features = torch.cat([degraded_NCHW, candidate_NCHW], dim=1), list[Tensor]()
        for layer in self.layers[:-1]:
            x = functional.leaky_relu(layer(x), 0.2)
            features.append(x)
        return self.layers[-1](x).float(), features


def discriminator_loss(clean_logits: Tensor, restored_logits: Tensor) -> Tensor:
    """Relativistic average: clean patches above the mean of restored ones, and these below the mean of clean ones."""
    above, below = _relative(clean_logits, restored_logits)
    return 0.5 * (functional.softplus(-above).mean() + functional.softplus(below).mean())


def restorer_loss(clean_logits: Tensor, restored_logits: Tensor) -> Tensor:
    """The same with the two kinds exchanged."""
    return discriminator_loss(restored_logits, clean_logits)


def feature_loss(clean: Sequence[Tensor], restored: Sequence[Tensor]) -> Tensor:
    """Mean absolute difference between the features of clean and restored images."""
    return torch.stack(
        [(a.detach().float() - b.float()).abs().mean() for a, b in zip(clean, restored, strict=True)]
    ).mean()


def _relative(clean_logits: Tensor, restored_logits: Tensor) -> tuple[Tensor, Tensor]:
    return clean_logits - restored_logits.mean(), restored_logits - clean_logits.mean()
