"""The patches of each training step, and the pairs of held-out photographs.

Images are (H, W, 3) uint8 RGB.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch.utils.data import Dataset

from pipeline.params import TrainedNetwork
from pipeline.restoration.degradations import CONTEXT, GRID, Degradation, Pixels


@dataclass(frozen=True)
class PatchSampler(Dataset[tuple[Pixels, Pixels]]):
    """Random patches of clean images; a minibatch depends only on the attributes and the step's number.

    So it is a data set whose items are minibatches, which processes can make in any order.
    """

    images: Sequence[Pixels]
    degradation: Degradation
    params: TrainedNetwork

    def __len__(self) -> int:
        """The number of steps."""
        return self.params.steps

    def __getitem__(self, step: int) -> tuple[Pixels, Pixels]:
        """Degraded (N, p + 2 CONTEXT, p + 2 CONTEXT, 3) and clean (N, scale x p, scale x p, 3) patches of a step."""
        rng = np.random.default_rng([self.params.seed, step])
        pairs = [self.degradation.pair(self._square(rng), rng) for _ in range(self.params.minibatch)]
        return np.stack([degraded for degraded, _ in pairs]), np.stack([clean for _, clean in pairs])

    def _square(self, rng: np.random.Generator) -> Pixels:
        side = self.degradation.square_side(self.params.patch_pixels)
        image = self.images[int(rng.integers(len(self.images)))]
        y, x = (int(rng.integers(size - side, endpoint=True)) for size in image.shape[:2])
        square = np.rot90(image[y : y + side, x : x + side], int(rng.integers(4)))
        return np.ascontiguousarray(square[:, ::-1] if rng.integers(2) else square)


def held_out_pairs(
    images: Sequence[Pixels], degradation: Degradation, *, pixels: int, seed: int
) -> list[tuple[Pixels, Pixels]]:
    """One pair from the middle of each image, with at most `pixels` clean pixels per side; the same at every call.

    The degraded image of a pair has `CONTEXT` around it. All are degraded: the PSNR of one that is right already would
    outweigh those of the others.
    """
    always = degradation.params.model_copy(update={"uncompressed": 0.0})
    degradation = replace(degradation, params=always)
    pairs: list[tuple[Pixels, Pixels]] = []
    for number, image in enumerate(images):
        available = min(image.shape[:2]) // degradation.scale - 2 * CONTEXT - GRID
        side = degradation.square_side(min(available, pixels // degradation.scale))
        y, x = ((size - side) // 2 for size in image.shape[:2])
        # three numbers, unlike the [seed, step] of training
        rng = np.random.default_rng([seed, 0, number])
        pairs.append(degradation.pair(np.ascontiguousarray(image[y : y + side, x : x + side]), rng))
    return pairs
