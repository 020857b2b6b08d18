"""The quality of a restoration network on held-out photographs: PSNR, sharpness by octave, and a sheet of examples."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from pipeline import atomic
from pipeline.restoration.apply import to_pixels, to_tensor
from pipeline.restoration.degradations import Pixels
from pipeline.restoration.networks import RestorationNetwork

DETAIL_PIXELS = 128
ENLARGE = 2
OCTAVES = 4
"""From the finest: 1/4 to 1/2 cycles per pixel, 1/8 to 1/4..."""

Pairs = Sequence[tuple[Pixels, Pixels]]

_BRIGHTNESS = (0.299, 0.587, 0.114)
_LEAST_POWER = 1e-3  # per pixel, in squared levels: below it an octave is empty


@dataclass(frozen=True, slots=True)
class Figures:
    """Means over pairs.

    `psnr` is in dB. `octaves` have the power of restored images relative to that of the clean ones in dB, from the
    finest octave on: 0 is as sharp as the original, below 0 is smoother.
    """

    psnr: float
    octaves: tuple[float, ...]


def psnr(image_HWC: Pixels, clean_HWC: Pixels) -> float:
    """Peak signal-to-noise ratio over all pixels and channels, in dB, at most 100."""
    squared = (image_HWC.astype(np.float64) - clean_HWC.astype(np.float64)) ** 2
    return float(min(10 * np.log10(255**2 / max(squared.mean(), 1e-12)), 100.0))


def octave_power(image_HWC: Pixels) -> NDArray[np.float64]:
    """Power of an image's brightness in the `OCTAVES` highest octaves of frequency, from the finest, per pixel."""
    grey_HW = image_HWC.astype(np.float64) @ np.array(_BRIGHTNESS)
    height, width = grey_HW.shape
    window_HW = np.outer(np.hanning(height + 2)[1:-1], np.hanning(width + 2)[1:-1])
    power_HW = np.abs(np.fft.fft2((grey_HW - grey_HW.mean()) * window_HW)) ** 2 / (window_HW**2).sum()
    frequency_HW = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None, :])
    bands = [(0.5 ** (octave + 2), 0.5 ** (octave + 1)) for octave in range(OCTAVES)]
    return np.array([power_HW[(low < frequency_HW) & (frequency_HW <= high)].sum() for low, high in bands]) / (
        grey_HW.size
    )


def sharpness(image_HWC: Pixels, clean_HWC: Pixels) -> NDArray[np.float64]:
    """`octave_power` of an image relative to that of the clean one, in dB; 0 where the octave is empty in both."""
    ours, true = octave_power(image_HWC), octave_power(clean_HWC)
    return 10 * np.log10(np.maximum(ours, _LEAST_POWER) / np.maximum(true, _LEAST_POWER))


def figures(pairs: Pairs, restore: Callable[[Pixels], Pixels]) -> Figures:
    """The figures of restored images."""
    restored = [(restore(degraded), clean) for degraded, clean in pairs]
    octaves = np.mean([sharpness(image, clean) for image, clean in restored], axis=0)
    return Figures(float(np.mean([psnr(image, clean) for image, clean in restored])), tuple(map(float, octaves)))


def without_network(degraded_HWC: Pixels, scale: int) -> Pixels:
    """The image itself, or its Lanczos enlargement."""
    if scale == 1:
        return degraded_HWC
    height, width, _ = degraded_HWC.shape
    return np.asarray(Image.fromarray(degraded_HWC).resize((width * scale, height * scale), Image.Resampling.LANCZOS))


def with_network(degraded_HWC: Pixels, network: RestorationNetwork) -> Pixels:
    """Restore a whole image."""
    device = next(network.parameters()).device
    with torch.inference_mode():
        return to_pixels(network(to_tensor(degraded_HWC[None], device)))[0]


def write_sheet(path: Path, pairs: Pairs, network: RestorationNetwork) -> None:
    """Write a PNG with a row per pair: the middle of the image without the network, with it, and clean, enlarged."""
    side = min(DETAIL_PIXELS, *(min(clean.shape[:2]) for _, clean in pairs))
    rows = [
        (without_network(degraded, network.scale), with_network(degraded, network), clean) for degraded, clean in pairs
    ]
    sheet = np.vstack([np.hstack([_middle(image, side) for image in row]) for row in rows])
    with atomic.writing(path) as partial:
        Image.fromarray(sheet.repeat(ENLARGE, axis=0).repeat(ENLARGE, axis=1)).save(partial, "PNG")


def _middle(image_HWC: Pixels, side: int) -> Pixels:
    y, x = ((size - side) // 2 for size in image_HWC.shape[:2])
    return image_HWC[y : y + side, x : x + side]
