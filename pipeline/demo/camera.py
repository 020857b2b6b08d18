"""From a painting to a photograph: colour of the light, focus, grain, and the JPEG file."""

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.demo.canvas import Array, Rng


class Shot:
    """How photograph `number` is taken, drawn at random.

    Every 48th is gray and every 64th progressive, so that a small set has both.
    """

    def __init__(self, rng: Rng, number: int) -> None:
        fault = rng.choice(4, p=[0.76, 0.12, 0.06, 0.06])
        self.warmth = rng.normal(0.02, 0.05)  # colour of the light; 0: neutral
        self.exposure = rng.normal(1.0, 0.09)
        self.contrast = rng.normal(1.05, 0.08)
        self.vignette = float(rng.choice([0.0, rng.uniform(0.05, 0.3)]))
        self.blur = rng.uniform(1.0, 3.0) if fault == 1 else 0.0  # sigma in pixels
        self.motion = rng.uniform(5, 12) if fault == 2 else 0.0  # length of a straight smear in pixels
        self.motion_angle = rng.uniform(0, np.pi)
        self.small = rng.uniform(1.6, 3.0) if fault == 3 else 1.0  # the picture was enlarged by this factor
        self.grain = rng.gamma(1.5, 0.009)  # standard deviation of the sensor's noise at middle gray, of 1
        self.quality = int(rng.integers(30, 96))
        self.full_chroma = rng.random() < 0.3  # 4:4:4 instead of 4:2:0
        self.gray = number % 48 == 7
        self.progressive = number % 64 == 23
        self.blurry = self.blur > 1.2 or self.motion > 4 or self.small > 1.5  # a viewer would call it out of focus


def expose(image_HWC: Array, shot: Shot, rng: Rng) -> NDArray[np.uint8]:
    """The photograph's pixels, uint8 RGB HWC: light, vignette, focus, grain."""
    height, width = image_HWC.shape[:2]
    image = (image_HWC * shot.exposure - 0.5) * shot.contrast + 0.5
    image *= np.array([1 + shot.warmth, 1.0, 1 - shot.warmth], np.float32)
    if shot.vignette:
        rows, columns = (np.linspace(-1, 1, size, dtype=np.float32) ** 2 for size in (height, width))
        image *= (1 - shot.vignette * (rows[:, None] + columns) / 2)[..., None]
    image = np.clip(image, 0, 1)
    if shot.blur:
        image = cv2.GaussianBlur(image, (0, 0), shot.blur)
    if shot.motion:
        size = int(np.ceil(shot.motion)) | 1
        kernel, middle = np.zeros((size, size), np.float32), (size - 1) / 2
        reach = np.array([np.cos(shot.motion_angle), np.sin(shot.motion_angle)]) * (size - 1) / 2
        start, end = np.round((middle - reach) * 16), np.round((middle + reach) * 16)
        cv2.line(kernel, start.astype(int).tolist(), end.astype(int).tolist(), 1.0, 1, cv2.LINE_8, 4)
        image = cv2.filter2D(image, -1, kernel / kernel.sum())
    if shot.small > 1:
        reduced = cv2.resize(image, None, fx=1 / shot.small, fy=1 / shot.small, interpolation=cv2.INTER_AREA)
        image = cv2.resize(reduced, (width, height), interpolation=cv2.INTER_CUBIC)
    image = np.clip(image, 0, 1)
    if shot.grain > 0.002:
        speckle = rng.standard_normal(((height + 1) // 2, (width + 1) // 2, 3), np.float32)
        noise = cv2.resize(speckle, (width, height), interpolation=cv2.INTER_LINEAR)
        noise += rng.standard_normal((height, width, 1), np.float32)
        image = image + noise * (shot.grain * (0.4 + np.sqrt(image[..., 1:2])))
    return np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)


def develop(pixels_HWC: NDArray[np.uint8], shot: Shot) -> bytes:
    """The JPEG file."""
    sampling = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444 if shot.full_chroma else cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420
    conversion = cv2.COLOR_RGB2GRAY if shot.gray else cv2.COLOR_RGB2BGR
    options = [cv2.IMWRITE_JPEG_QUALITY, shot.quality, cv2.IMWRITE_JPEG_PROGRESSIVE, int(shot.progressive)]
    options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling]
    return cv2.imencode(".jpg", cv2.cvtColor(pixels_HWC, conversion), options)[1].tobytes()
