"""From a painting to a photograph: colour of the light, focus, grain, and the JPEG file."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.demo.faces.canvas import Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """How one photograph is taken.

    Attributes
    ----------
    warmth, exposure, contrast
        Colour of the light (0: neutral), brightness and contrast (1: as painted).
    blur, motion
        Sigma of a defocus and length of a straight smear, in pixels; 0: none.
    small
        Factor by which the picture was enlarged before it was saved; 1: not.
    grain
        Standard deviation of the sensor's noise at middle gray, 0...1.
    quality, full_chroma, gray, progressive
        Of the JPEG: 0...100, 4:4:4 instead of 4:2:0, one channel, progressive scans.
    """

    warmth: float
    exposure: float
    contrast: float
    vignette: float
    blur: float
    motion: float
    motion_angle: float
    small: float
    grain: float
    quality: int
    full_chroma: bool
    gray: bool
    progressive: bool

    @property
    def blurry(self) -> bool:
        """Whether a viewer would call it out of focus."""
        return self.blur > 1.2 or self.motion > 4 or self.small > 1.5


def draw_shot(rng: np.random.Generator, number: int) -> Shot:
    """A shot at random. Every 48th is gray and every 64th progressive, so that a small set has both."""
    fault = rng.choice(4, p=[0.76, 0.12, 0.06, 0.06])
    return Shot(
        warmth=float(rng.normal(0.02, 0.05)),
        exposure=float(rng.normal(1.0, 0.09)),
        contrast=float(rng.normal(1.05, 0.08)),
        vignette=float(rng.choice([0.0, rng.uniform(0.05, 0.3)])),
        blur=float(rng.uniform(1.0, 3.0)) if fault == 1 else 0.0,
        motion=float(rng.uniform(5, 12)) if fault == 2 else 0.0,
        motion_angle=float(rng.uniform(0, np.pi)),
        small=float(rng.uniform(1.6, 3.0)) if fault == 3 else 1.0,
        grain=float(rng.gamma(1.5, 0.009)),
        quality=int(rng.integers(30, 96)),
        full_chroma=bool(rng.random() < 0.3),
        gray=number % 48 == 7,
        progressive=number % 64 == 23,
    )


def expose(image_HWC: Floats, shot: Shot, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The photograph's pixels, uint8 RGB HWC."""
    height, width = image_HWC.shape[:2]
    image = image_HWC * np.float32(shot.exposure)
    image = (image - np.float32(0.5)) * np.float32(shot.contrast) + np.float32(0.5)
    image *= np.array([1 + shot.warmth, 1.0, 1 - shot.warmth], np.float32)
    if shot.vignette:
        rows = np.linspace(-1, 1, height, dtype=np.float32)[:, None] ** 2
        columns = np.linspace(-1, 1, width, dtype=np.float32)[None] ** 2
        image *= (1 - np.float32(shot.vignette) * (rows + columns) / 2)[..., None]
    image = _defocus(np.clip(image, 0, 1), shot)
    if shot.grain > 0.002:
        speckle = rng.standard_normal(((height + 1) // 2, (width + 1) // 2, 3), np.float32)
        noise = cv2.resize(speckle, (width, height), interpolation=cv2.INTER_LINEAR)
        noise += rng.standard_normal((height, width, 1), np.float32)
        image = image + noise * (np.float32(shot.grain) * (np.float32(0.4) + np.sqrt(image[..., 1:2])))
    return np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)


def develop(pixels_HWC: NDArray[np.uint8], shot: Shot) -> bytes:
    """The JPEG file."""
    sampling = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444 if shot.full_chroma else cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420
    conversion = cv2.COLOR_RGB2GRAY if shot.gray else cv2.COLOR_RGB2BGR
    options = [cv2.IMWRITE_JPEG_QUALITY, shot.quality, cv2.IMWRITE_JPEG_PROGRESSIVE, int(shot.progressive)]
    options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling]
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(pixels_HWC, conversion), options)
    return encoded.tobytes()


def _defocus(image: Floats, shot: Shot) -> Floats:
    if shot.blur:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), shot.blur), np.float32)
    if shot.motion:
        size = int(np.ceil(shot.motion)) | 1
        kernel = np.zeros((size, size), np.float32)
        reach = np.array([np.cos(shot.motion_angle), np.sin(shot.motion_angle)]) * (size - 1) / 2
        middle = (size - 1) / 2
        start, end = np.round((middle - reach) * 16), np.round((middle + reach) * 16)
        cv2.line(kernel, start.astype(int).tolist(), end.astype(int).tolist(), 1.0, 1, cv2.LINE_8, 4)
        image = np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum()), np.float32)
    if shot.small > 1:
        height, width = image.shape[:2]
        reduced = cv2.resize(image, None, fx=1 / shot.small, fy=1 / shot.small, interpolation=cv2.INTER_AREA)
        image = np.asarray(cv2.resize(reduced, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)
    return np.clip(image, 0, 1)
