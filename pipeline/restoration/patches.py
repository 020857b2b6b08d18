"""Clean pixels out of the user's own photographs, and the patches that a step of the fit is given.

Photographs are JPEGs, so their own artefacts would be learnt as truth. Reducing by two averages most of them away
(on the Berkeley photographs the error of JPEG at quality 50 to 90 falls by 5 dB), and leaves pixels as sharp as a
target should be. Only photographs too small to give a patch after that are used as they are.

Images are (H, W, 3) uint8 RGB.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.container import read_stored
from pipeline.errors import DropReason, RejectedInputError, SourceError
from pipeline.faces.decode import decode
from pipeline.manifest import Photograph, read_kept
from pipeline.restoration.degradations import Degradation, Pixels

REGION_PIXELS = 512
"""Side of the square kept of a larger photograph: it bounds the memory of a fit at 0.75 MiB per photograph."""


@dataclass(frozen=True, slots=True)
class CleanImages:
    """Clean regions for training and for measuring, of different photographs; why others were passed over."""

    training: list[Pixels]
    held_out: list[Pixels]
    skipped: dict[str, int]


def read_clean(table: Path, data: Path, *, training: int, held_out: int, side: int, seed: int) -> CleanImages:
    """Read clean regions, in an order that `seed` draws, the held-out ones first.

    Parameters
    ----------
    table, data
        Rows of `Photograph`, and the folder that their containers are named from.
    training, held_out
        How many photographs to use at most for the one, and exactly for the other.
    side
        Pixels that a region must have both ways; photographs with less are passed over, as are broken ones.
    seed
        Decides the order of photographs and where regions lie.

    Raises
    ------
    SourceError
        Too few usable photographs: `held_out`, and one more to train on, are needed.
    """
    rows = read_kept(table, Photograph)
    skipped: Counter[str] = Counter()
    regions: list[Pixels] = []
    for position in np.random.default_rng([seed]).permutation(len(rows)):
        row = rows[position]
        try:
            image = decode(read_stored(data, row.photograph), "pillow")
            regions.append(_region(image, row, side, np.random.default_rng([seed, row.index])))
        except RejectedInputError as rejected:
            skipped[rejected.reason.value] += 1
        if len(regions) == held_out + training:
            break
    if len(regions) <= held_out:
        raise SourceError(
            f"{table}: {len(regions)} of {len(rows)} photographs can be used (passed over: {dict(skipped)}; at least "
            f"{side} pixels each way are needed), but {held_out} are held out and one must remain. Bring more or "
            f"larger photographs, or lower held_out_photographs or patch_pixels."
        )
    return CleanImages(regions[held_out:], regions[:held_out], dict(sorted(skipped.items())))


class PatchSampler:
    """Minibatches by step: equal arguments give equal minibatches, whatever was sampled before.

    Parameters
    ----------
    images
        Clean regions, each at least scale x (patch_pixels + margin) both ways.
    degradation
        Makes the pairs.
    patch_pixels
        Side of a degraded patch.
    minibatch
        Pairs per step.
    seed
        With the step's number, decides everything that is drawn.
    """

    def __init__(
        self, images: Sequence[Pixels], degradation: Degradation, *, patch_pixels: int, minibatch: int, seed: int
    ) -> None:
        self._images = images
        self._degradation = degradation
        self._side = clean_side(degradation, patch_pixels)
        self._minibatch = minibatch
        self._seed = seed

    def __call__(self, step: int) -> tuple[Pixels, Pixels]:
        """The degraded (N, p, p, 3) and clean (N, scale x p, scale x p, 3) patches of a step."""
        rng = np.random.default_rng([self._seed, step])
        pairs = [self._degradation.pair(square, rng) for square in self._squares(rng)]
        return np.stack([degraded for degraded, _ in pairs]), np.stack([clean for _, clean in pairs])

    def _squares(self, rng: np.random.Generator) -> Iterator[Pixels]:
        for _ in range(self._minibatch):
            image = self._images[int(rng.integers(len(self._images)))]
            y, x = (int(rng.integers(size - self._side, endpoint=True)) for size in image.shape[:2])
            square = np.rot90(image[y : y + self._side, x : x + self._side], int(rng.integers(4)))
            yield np.ascontiguousarray(square[:, ::-1] if rng.integers(2) else square)


def clean_side(degradation: Degradation, patch_pixels: int) -> int:
    """Side of the clean square that a pair with `patch_pixels` degraded pixels is made from."""
    return degradation.scale * (patch_pixels + degradation.margin)


def held_out_pairs(
    images: Sequence[Pixels], degradation: Degradation, *, pixels: int, seed: int
) -> list[tuple[Pixels, Pixels]]:
    """One pair from the middle of each image, of at most `pixels` clean pixels a side; the same at every call."""
    pairs: list[tuple[Pixels, Pixels]] = []
    for number, image in enumerate(images):
        room = min(image.shape[:2]) // degradation.scale - degradation.margin
        side = clean_side(degradation, min(room, pixels // degradation.scale))
        y, x = ((size - side) // 2 for size in image.shape[:2])
        # three numbers, so that no step's [seed, step] draws the same
        rng = np.random.default_rng([seed, 0, number])
        pairs.append(degradation.pair(np.ascontiguousarray(image[y : y + side, x : x + side]), rng))
    return pairs


def _region(image: Pixels, row: Photograph, side: int, rng: np.random.Generator) -> Pixels:
    height, width, _ = image.shape
    if min(height, width) < side:
        raise RejectedInputError(DropReason.TOO_SMALL, f"{row.file}: {width} x {height}, wanted {side} each way")
    if min(height, width) >= 2 * side:
        image = np.asarray(Image.fromarray(image).resize((width // 2, height // 2), Image.Resampling.LANCZOS))
    y, x = (int(rng.integers(max(size - REGION_PIXELS, 0), endpoint=True)) for size in image.shape[:2])
    return image[y : y + REGION_PIXELS, x : x + REGION_PIXELS].copy()
