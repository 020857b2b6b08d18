"""How much a restoration network helps, in decibels and to the eye."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from pipeline import atomic
from pipeline.restoration.apply import to_network, to_pixels
from pipeline.restoration.degradations import Pixels
from pipeline.restoration.networks import RestorationNetwork

_DETAIL_PIXELS = 128
_ENLARGE = 2

Pairs = Sequence[tuple[Pixels, Pixels]]


def psnr(image_HWC: Pixels, clean_HWC: Pixels) -> float:
    """Peak signal-to-noise ratio over all pixels and channels, in dB; equal images count as 100 dB."""
    squared = (image_HWC.astype(np.float64) - clean_HWC.astype(np.float64)) ** 2
    return float(min(10 * np.log10(255**2 / max(squared.mean(), 1e-12)), 100.0))


def plain(degraded_HWC: Pixels, scale: int) -> Pixels:
    """What there would be without a network: the image itself, or its Lanczos enlargement."""
    if scale == 1:
        return degraded_HWC
    height, width, _ = degraded_HWC.shape
    size = (width * scale, height * scale)
    return np.asarray(Image.fromarray(degraded_HWC).resize(size, Image.Resampling.LANCZOS))


def restored(network: RestorationNetwork, degraded_HWC: Pixels, device: torch.device) -> Pixels:
    """What the network makes of a whole image."""
    with torch.inference_mode():
        return to_pixels(network(to_network(degraded_HWC[None], device)))[0]


def mean_psnr_plain(pairs: Pairs, scale: int) -> float:
    """Mean over the pairs, in dB, without a network."""
    return float(np.mean([psnr(plain(degraded, scale), clean) for degraded, clean in pairs]))


def mean_psnr_restored(pairs: Pairs, network: RestorationNetwork, device: torch.device) -> float:
    """Mean over the pairs, in dB, with the network."""
    return float(np.mean([psnr(restored(network, degraded, device), clean) for degraded, clean in pairs]))


def write_sheet(path: Path, pairs: Pairs, network: RestorationNetwork, device: torch.device, *, rows: int) -> None:
    """Write a PNG with one row per pair: its middle without a network, with it, and clean, enlarged to be seen."""
    side = min(_DETAIL_PIXELS, *(min(clean.shape[:2]) for _, clean in pairs[:rows]))
    strips = [
        np.hstack(
            [_middle(image, side) for image in (plain(small, network.scale), restored(network, small, device), clean)]
        )
        for small, clean in pairs[:rows]
    ]
    sheet = np.vstack(strips).repeat(_ENLARGE, axis=0).repeat(_ENLARGE, axis=1)
    with atomic.writing(path) as partial:
        Image.fromarray(sheet).save(partial, "PNG")


def _middle(image_HWC: Pixels, side: int) -> Pixels:
    y, x = ((size - side) // 2 for size in image_HWC.shape[:2])
    return image_HWC[y : y + side, x : x + side]
