"""The quality of a restoration network on held-out photographs: PSNR, and a sheet of examples."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from pipeline import atomic
from pipeline.restoration.apply import to_pixels, to_tensor
from pipeline.restoration.degradations import Pixels
from pipeline.restoration.networks import RestorationNetwork

DETAIL_PIXELS = 128
ENLARGE = 2

Pairs = Sequence[tuple[Pixels, Pixels]]


def psnr(image_HWC: Pixels, clean_HWC: Pixels) -> float:
    """Peak signal-to-noise ratio over all pixels and channels, in dB, at most 100."""
    squared = (image_HWC.astype(np.float64) - clean_HWC.astype(np.float64)) ** 2
    return float(min(10 * np.log10(255**2 / max(squared.mean(), 1e-12)), 100.0))


def mean_psnr(pairs: Pairs, restore: Callable[[Pixels], Pixels]) -> float:
    """Mean PSNR of the restored images over the pairs, in dB."""
    return float(np.mean([psnr(restore(degraded), clean) for degraded, clean in pairs]))


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
