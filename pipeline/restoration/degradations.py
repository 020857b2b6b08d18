"""Degradations of clean pixels: the pairs of input and target on which a network is trained.

Images are (H, W, 3) uint8 RGB.
"""

import io
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.restoration.networks import Architecture

Pixels = NDArray[np.uint8]

_CHROMA_SAMPLINGS = (0, 1, 2)  # Pillow's names of 4:4:4, 4:2:2, 4:2:0
_FILTERS = (Image.Resampling.BOX, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)


@dataclass(frozen=True, kw_only=True)
class Degradation(ABC):
    """Makes (degraded, clean) pairs from clean squares.

    Attributes
    ----------
    quality_min, quality_max
        Range of the JPEG quality.
    scale
        Clean pixels per degraded pixel, along one side.
    margin
        Degraded pixels, along one side, by which a pair is smaller than its square.
    """

    quality_min: int
    quality_max: int
    scale: ClassVar[int]
    margin: ClassVar[int]

    def square_side(self, pixels: int) -> int:
        """Side of the clean square for a pair with `pixels` degraded pixels per side."""
        return self.scale * (pixels + self.margin)

    @abstractmethod
    def pair(self, square_HWC: Pixels, rng: np.random.Generator) -> tuple[Pixels, Pixels]:
        """Degraded (p, p, 3) and clean (scale x p, scale x p, 3) pixels of the same place of a clean square."""

    def _random_quality(self, rng: np.random.Generator) -> int:
        return int(rng.integers(self.quality_min, self.quality_max, endpoint=True))


class JpegArtefacts(Degradation):
    """JPEG at random quality and chroma sampling, with the grid of 8x8 blocks at a random offset.

    The grid of a crop does not start at its corner, so a network must not learn that it does.
    """

    scale = 1
    margin = 16

    def pair(self, square_HWC: Pixels, rng: np.random.Generator) -> tuple[Pixels, Pixels]:  # noqa: D102
        degraded = _jpeg(square_HWC, self._random_quality(rng), rng)
        side = len(square_HWC) - self.margin
        y, x = rng.integers(0, self.margin, size=2)
        return degraded[y : y + side, x : x + side], square_HWC[y : y + side, x : x + side]


class Reduction(Degradation):
    """Reduction to a quarter of the side by a random filter, then JPEG unless its quality is 100.

    The filters (box, bicubic, Lanczos, all antialiased) differ in sharpness, as those of real photographs do. The
    margin removes their border effects.
    """

    scale = 4
    margin = 8

    def pair(self, square_HWC: Pixels, rng: np.random.Generator) -> tuple[Pixels, Pixels]:  # noqa: D102
        small = len(square_HWC) // self.scale
        resample = _FILTERS[int(rng.integers(len(_FILTERS)))]
        degraded = np.asarray(Image.fromarray(square_HWC).resize((small, small), resample))
        quality = self._random_quality(rng)
        if quality < 100:
            degraded = _jpeg(degraded, quality, rng)
        inner = slice(self.margin // 2, small - self.margin // 2)
        outer = slice(inner.start * self.scale, inner.stop * self.scale)
        return degraded[inner, inner], square_HWC[outer, outer]


DEGRADATIONS: dict[Architecture, type[Degradation]] = {"rednet": JpegArtefacts, "srresnet": Reduction}
"""What the network of an architecture removes."""


def _jpeg(image_HWC: Pixels, quality: int, rng: np.random.Generator) -> Pixels:
    sampling = _CHROMA_SAMPLINGS[int(rng.integers(len(_CHROMA_SAMPLINGS)))]
    encoded = io.BytesIO()
    Image.fromarray(image_HWC).save(encoded, "JPEG", quality=quality, subsampling=sampling)
    return np.asarray(Image.open(encoded))
