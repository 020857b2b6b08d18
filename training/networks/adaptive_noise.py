"""Multiplicative noise in the discriminator that grows as it outperforms the generator (Karras et al. 2018, app. B).

N = minibatch, C = feature maps.
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.params import LsganLoss
from training.ops.packing import Images, unpack

THRESHOLD = 0.5
"""Mean score of the fakes above which there is noise; the discriminator's target for them is 1."""
DECAY = 0.9


class FakeScoreEma:
    """Exponential moving average of the fakes' mean score, clipped to 0…1."""

    def __init__(self, device: torch.device) -> None:
        self.value = torch.zeros((), device=device)

    def update(self, fake_score: Tensor) -> None:
        """Add the mean score of one minibatch; a score that is not finite is ignored."""
        score = fake_score.to(self.value.dtype)
        updated = DECAY * self.value + (1 - DECAY) * score.clamp(0, 1)
        self.value = torch.where(score.isfinite(), updated, self.value)

    def strength(self, loss: LsganLoss) -> Tensor:
        """The strength of the noise, without dimension."""
        return loss.noise_gain * (self.value - THRESHOLD).clamp(min=0).square()


class MultiplicativeNoise:
    """Multiplies each map of each sample by a number from N(1, (strength * sqrt(C))²), drawn anew at every call.

    Numbers come from `rng` on the CPU, so that all devices get the same. They are drawn for the whole `minibatch`;
    the samples of a call are its `rows`.
    """

    def __init__(self, strength: Tensor, rng: np.random.Generator, minibatch: int, rows: NDArray[np.int64]) -> None:
        self._strength = strength
        self._rng = rng
        self._minibatch = minibatch
        self._rows = rows

    def __call__(self, x: Images) -> Tensor:
        """(N, C, H, W) → the same shape."""
        x_NCHW = unpack(x)
        maps = x_NCHW.shape[1]
        drawn = self._rng.standard_normal((self._minibatch, maps, 1, 1), dtype=np.float32)
        normal = torch.from_numpy(drawn[self._rows]).to(x_NCHW.device, x_NCHW.dtype)
        return x_NCHW * (1 + normal * (self._strength * math.sqrt(maps)))
