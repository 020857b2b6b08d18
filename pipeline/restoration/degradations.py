"""What happened to a photograph before it reached us, done again to clean pixels: the fit's input beside its target.

Images are (H, W, 3) uint8 RGB.
"""

import io
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.restoration.networks import Architecture

Pixels = NDArray[np.uint8]

_CHROMA_SAMPLINGS = (0, 1, 2)  # Pillow's names for 4:4:4, 4:2:2, 4:2:0
_UNTOUCHED = 100
_FILTERS = (Image.Resampling.BOX, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)


class Degradation(Protocol):
    """Makes (degraded, clean) pairs out of clean squares."""

    @property
    def scale(self) -> int:
        """Clean pixels per degraded pixel, along one side."""
        ...

    @property
    def margin(self) -> int:
        """Degraded pixels, along one side, that a pair loses of the square that it is cut from."""
        ...

    def pair(self, square_HWC: Pixels, rng: np.random.Generator) -> tuple[Pixels, Pixels]:
        """Degrade a clean square of side scale x (p + margin).

        Returns
        -------
        tuple
            Degraded (p, p, 3) and clean (scale x p, scale x p, 3), of the same place.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class JpegArtefacts:
    """JPEG at a random quality and chroma sampling; the grid of 8x8 blocks may lie anywhere in the pair.

    In a crop out of a photograph the grid's origin is not the crop's. A network that only ever saw
    blocks begin at the border would learn to count pixels from there.
    """

    quality_min: int
    quality_max: int
    scale: int = 1
    margin: int = 16

    def pair(self, square_HWC: Pixels, rng: np.random.Generator) -> tuple[Pixels, Pixels]:
        """See `Degradation`."""
        degraded = _jpeg(square_HWC, int(rng.integers(self.quality_min, self.quality_max, endpoint=True)), rng)
        side = len(square_HWC) - self.margin
        y, x = rng.integers(0, self.margin, size=2)
        return degraded[y : y + side, x : x + side], square_HWC[y : y + side, x : x + side]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reduction:
    """Reduction to a quarter of the side by one of several filters, then JPEG unless the quality drawn is 100.

    The filters (box, bicubic, Lanczos, all antialiased) differ in sharpness, as the unknown ones that made real
    photographs small do. The margin keeps what they do at a border out of the pair.
    """

    quality_min: int
    quality_max: int
    scale: int = 4
    margin: int = 8

    def pair(self, square_HWC: Pixels, rng: np.random.Generator) -> tuple[Pixels, Pixels]:
        """See `Degradation`."""
        small = len(square_HWC) // self.scale
        resample = _FILTERS[int(rng.integers(len(_FILTERS)))]
        degraded = np.asarray(Image.fromarray(square_HWC).resize((small, small), resample))
        quality = int(rng.integers(self.quality_min, self.quality_max, endpoint=True))
        if quality < _UNTOUCHED:
            degraded = _jpeg(degraded, quality, rng)
        inner = slice(self.margin // 2, small - self.margin // 2)
        outer = slice(inner.start * self.scale, inner.stop * self.scale)
        return degraded[inner, inner], square_HWC[outer, outer]


def degradation_for(architecture: Architecture, *, quality_min: int, quality_max: int) -> Degradation:
    """What the network of that architecture has to undo."""
    if architecture == "rednet":
        return JpegArtefacts(quality_min=quality_min, quality_max=quality_max)
    return Reduction(quality_min=quality_min, quality_max=quality_max)


def _jpeg(image_HWC: Pixels, quality: int, rng: np.random.Generator) -> Pixels:
    sampling = _CHROMA_SAMPLINGS[int(rng.integers(len(_CHROMA_SAMPLINGS)))]
    encoded = io.BytesIO()
    Image.fromarray(image_HWC).save(encoded, "JPEG", quality=quality, subsampling=sampling)
    return np.asarray(Image.open(encoded))
