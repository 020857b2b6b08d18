"""Clean training images from the user's photographs, and the patches of each training step.

Photographs are JPEGs, whose artefacts would be learnt. Halving the size removes most of them: on the Berkeley
photographs the error of JPEG at quality 50 to 90 falls by 5 dB. Photographs too small for that are used unchanged.

Images are (H, W, 3) uint8 RGB.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.container import read_stored
from pipeline.errors import DropReason, RejectedInputError, SourceError
from pipeline.faces.decode import decode
from pipeline.manifest import Photograph, read_kept
from pipeline.params import PhotographParams, TrainedNetwork
from pipeline.restoration.degradations import Degradation, Pixels

REGION_PIXELS = 512
"""Side of the square that is used of a larger photograph; bounds the memory at 0.75 MiB per photograph."""


@dataclass(frozen=True, slots=True)
class CleanImages:
    """Clean regions of training and held-out photographs, and the numbers of skipped photographs by reason."""

    training: list[Pixels]
    held_out: list[Pixels]
    skipped: dict[str, int]


def read_clean(table: Path, data: Path, params: TrainedNetwork, how: PhotographParams, *, side: int) -> CleanImages:
    """Read clean regions of photographs in random order; the held-out ones come first.

    `table` has rows of `Photograph`, `data` is the folder of their containers, `how` says how they are decoded. Broken
    photographs, and those with less than `side` pixels in height or width, are skipped.

    `SourceError`: fewer usable photographs than the held-out ones and one more.
    """
    how = how.model_copy(update={"decoder": "pillow"})  # the faster one: no published pixel depends on it
    held_out, seed = params.held_out_photographs, params.seed
    rows = read_kept(table, Photograph)
    skipped: Counter[str] = Counter()
    regions: list[Pixels] = []
    for position in np.random.default_rng([seed]).permutation(len(rows)):
        row = rows[position]
        try:
            image = decode(read_stored(data, row.photograph), how)
            regions.append(_region(image, row, side, np.random.default_rng([seed, row.index])))
        except RejectedInputError as rejected:
            skipped[rejected.reason.value] += 1
        if len(regions) == held_out + params.max_photographs:
            break
    if len(regions) <= held_out:
        raise SourceError(
            f"{table}: {len(regions)} of {len(rows)} photographs can be used (skipped: {dict(skipped)}; at least "
            f"{side} x {side} pixels are needed), but {held_out} are held out and one must remain. Use more or "
            f"larger photographs, or lower held_out_photographs or patch_pixels."
        )
    return CleanImages(regions[held_out:], regions[:held_out], dict(sorted(skipped.items())))


@dataclass(frozen=True)
class PatchSampler:
    """Random patches of clean images; a minibatch depends only on the attributes and the step's number."""

    images: Sequence[Pixels]
    degradation: Degradation
    params: TrainedNetwork

    def __call__(self, step: int) -> tuple[Pixels, Pixels]:
        """The degraded (N, p, p, 3) and clean (N, scale x p, scale x p, 3) patches of a step."""
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
    """One pair from the middle of each image, with at most `pixels` clean pixels per side; the same at every call."""
    pairs: list[tuple[Pixels, Pixels]] = []
    for number, image in enumerate(images):
        available = min(image.shape[:2]) // degradation.scale - degradation.margin
        side = degradation.square_side(min(available, pixels // degradation.scale))
        y, x = ((size - side) // 2 for size in image.shape[:2])
        # three numbers, unlike the [seed, step] of training
        rng = np.random.default_rng([seed, 0, number])
        pairs.append(degradation.pair(np.ascontiguousarray(image[y : y + side, x : x + side]), rng))
    return pairs


def _region(image: Pixels, row: Photograph, side: int, rng: np.random.Generator) -> Pixels:
    height, width, _ = image.shape
    if min(height, width) < side:
        raise RejectedInputError(DropReason.TOO_SMALL, f"{row.file}: {width} x {height}, less than {side} x {side}")
    if min(height, width) >= 2 * side:
        image = np.asarray(Image.fromarray(image).resize((width // 2, height // 2), Image.Resampling.LANCZOS))
    y, x = (int(rng.integers(max(size - REGION_PIXELS, 0), endpoint=True)) for size in image.shape[:2])
    return image[y : y + REGION_PIXELS, x : x + REGION_PIXELS].copy()
