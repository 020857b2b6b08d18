"""Noise in the discriminator that grows as it wins: generalised dropout (Karras et al. 2018, appendix B).

N = minibatch, C = feature maps.
"""

import math

import numpy as np
import torch
from torch import Tensor

from pipeline.params import LsganLoss

THRESHOLD = 0.5
"""Mean score of the fakes, whose target is 1, above which there is noise."""
MOMENTUM = 0.9
"""How much of the estimate of that score stays when a new one comes."""


class WinningEstimate:
    """How far the discriminator is ahead: a running mean of the fakes' mean score, clipped to 0…1."""

    def __init__(self, device: torch.device) -> None:
        self.value = torch.zeros((), device=device)

    def update(self, fake_scores_N: Tensor) -> None:
        """Take in the scores of one minibatch."""
        score = fake_scores_N.detach().mean().clamp(0, 1)
        self.value = MOMENTUM * self.value + (1 - MOMENTUM) * score

    def strength(self, loss: LsganLoss) -> Tensor:
        """The strength of the noise, without dimension."""
        return loss.noise_gain * (self.value - THRESHOLD).clamp(min=0).square()


class MultiplicativeNoise:
    """Multiplies each map of each sample by a number from N(1, (strength * sqrt(C))²), new ones at every call.

    Numbers come from `rng` on the CPU, so that every device sees the same.
    """

    def __init__(self, strength: Tensor, rng: np.random.Generator) -> None:
        self._strength = strength
        self._rng = rng

    def __call__(self, x_NCHW: Tensor) -> Tensor:
        """(N, C, H, W) → the same shape."""
        samples, maps = x_NCHW.shape[:2]
        drawn = self._rng.standard_normal((samples, maps, 1, 1), dtype=np.float32)
        normal = torch.from_numpy(drawn).to(x_NCHW.device, x_NCHW.dtype)
        return x_NCHW * (1 + normal * (self._strength * math.sqrt(maps)))
