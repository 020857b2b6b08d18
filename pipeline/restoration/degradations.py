"""Degradations of clean pixels: the pairs of input and target on which a network is trained.

In this order, as with a camera and the web: blur, reduction, noise, JPEG once or twice. Images are (H, W, 3) uint8 RGB.
"""

import io
import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.faces.decode import decode
from pipeline.params import PhotographParams, TrainedNetwork

Pixels = NDArray[np.uint8]

CONTEXT = 4
"""Degraded pixels on each side of the input, which keep its border out of a restoration that comes before."""
GRID = 8
"""Side of a JPEG block."""

_CHROMA_SAMPLINGS = {0: 0.1, 1: 0.1, 2: 0.8}  # Pillow's names of 4:4:4, 4:2:2, 4:2:0, and their shares
_FILTERS = {
    "box": Image.Resampling.BOX,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


@dataclass(frozen=True, kw_only=True)
class Degradation:
    """Makes (degraded, clean) pairs from clean squares.

    Attributes
    ----------
    scale
        Clean pixels per degraded pixel, along one side.
    params
        Ranges of blur, noise and JPEG quality, filters of the reduction, and how often JPEG is left out or repeated.
    how
        How the JPEG is decoded: as the photographs are, since decoders differ in the upsampling of chroma.
    """

    scale: int
    params: TrainedNetwork
    how: PhotographParams

    def square_side(self, pixels: int) -> int:
        """Side of the clean square for a pair with `pixels` degraded pixels per side, without `CONTEXT`."""
        return self.scale * (pixels + 2 * CONTEXT + GRID)

    def pair(self, square_HWC: Pixels, rng: np.random.Generator) -> tuple[Pixels, Pixels]:
        """Degraded (p + 2 CONTEXT, p + 2 CONTEXT, 3) and clean (scale x p, scale x p, 3) pixels of a clean square.

        The clean ones show the middle of the degraded ones.
        """
        degraded_HWC = self._noise(self._reduce(self._blur(square_HWC, rng), rng), rng)
        quality = int(rng.integers(self.params.jpeg_quality_min, self.params.jpeg_quality_max, endpoint=True))
        if quality < 100 and rng.random() >= self.params.uncompressed:
            degraded_HWC = self._jpeg(degraded_HWC, quality, rng)
            if rng.random() < self.params.jpeg_twice:
                quality = int(rng.integers(self.params.jpeg_quality_min, self.params.jpeg_quality_max, endpoint=True))
                degraded_HWC = self._jpeg(degraded_HWC, quality, rng)
        first, stop = (GRID + CONTEXT) * self.scale, len(square_HWC) - CONTEXT * self.scale
        return degraded_HWC[GRID:, GRID:], square_HWC[first:stop, first:stop]

    def _blur(self, image_HWC: Pixels, rng: np.random.Generator) -> Pixels:
        """A Gaussian, of two widths and any direction in half of the patches."""
        one, two = rng.random(2) * self.params.blur_max * self.scale
        angle, isotropic = rng.random() * math.pi, rng.random() < 0.5
        if self.params.blur_max == 0:
            return image_HWC
        kernel = gaussian(one, one if isotropic else two, angle)
        return np.asarray(cv2.filter2D(image_HWC, -1, kernel, borderType=cv2.BORDER_REFLECT_101), np.uint8)

    def _reduce(self, image_HWC: Pixels, rng: np.random.Generator) -> Pixels:
        if self.scale == 1:
            return image_HWC
        side = len(image_HWC) // self.scale
        resample = _FILTERS[self.params.filters[int(rng.integers(len(self.params.filters)))]]
        return np.asarray(Image.fromarray(image_HWC).resize((side, side), resample))

    def _noise(self, image_HWC: Pixels, rng: np.random.Generator) -> Pixels:
        """White noise of the three channels, or in half of the patches of the brightness alone."""
        sigma, channels = rng.random() * self.params.noise_max, 3 if rng.random() < 0.5 else 1
        if self.params.noise_max == 0:
            return image_HWC
        noise_HWC = rng.normal(0, sigma, (*image_HWC.shape[:2], channels))
        return (image_HWC + noise_HWC).round().clip(0, 255).astype(np.uint8)

    def _jpeg(self, image_HWC: Pixels, quality: int, rng: np.random.Generator) -> Pixels:
        """Code all but the first 0...7 rows and columns: the blocks of a crop start anywhere."""
        sampling = int(rng.choice(list(_CHROMA_SAMPLINGS), p=list(_CHROMA_SAMPLINGS.values())))
        y, x = rng.integers(0, GRID, size=2)
        stream = io.BytesIO()
        coded = np.ascontiguousarray(image_HWC[y:, x:])
        Image.fromarray(coded).save(stream, "JPEG", quality=quality, subsampling=sampling)
        result_HWC = image_HWC.copy()
        result_HWC[y:, x:] = decode(stream.getvalue(), self.how, again=True)
        return result_HWC


def gaussian(along: float, across: float, angle: float) -> NDArray[np.float32]:
    """The kernel of a Gaussian with two standard deviations in pixels, the first at `angle` to the x axis; sum 1."""
    radius = math.ceil(3 * max(along, across))
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    u, v = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    small = 0.1  # of a pixel: no blur
    kernel = np.exp(-0.5 * ((u / max(along, small)) ** 2 + (v / max(across, small)) ** 2))
    return (kernel / kernel.sum()).astype(np.float32)


def inner(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Images (..., H, W, 3) without their context."""
    return images[..., CONTEXT:-CONTEXT, CONTEXT:-CONTEXT, :]
