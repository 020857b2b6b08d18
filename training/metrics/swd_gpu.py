"""Patches and distance of SWD on a torch device; `swd_patches` and `swd` have the plain forms.

Suffixes: N image, P patch, C channel, H height, W width, X column in the patch, Y row in the patch, D direction,
L descriptor value.
"""

from collections.abc import Generator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from training.metrics.swd_patches import SIDE, DescriptorFile

_TAPS = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)
_PROJECTED_BYTES = 256 << 20
"""Of each set's projections at once; sorting takes five times as much, the two sets of descriptors 2.5 GB."""


@torch.no_grad()
def patches(
    images_NCHW: NDArray[np.uint8], centres: Sequence[NDArray[np.int64]], device: torch.device
) -> list[NDArray[np.float32]]:
    """For each level of the Laplacian pyramid, the patches [P, C, X, Y] around its `centres` [P, 2] = (x, y).

    Every image has the same number of patches, one image's after the other's.
    """
    levels = laplacian_pyramid(torch.from_numpy(images_NCHW).to(device).float(), len(centres))
    return [_cut(level_NCHW, torch.from_numpy(own).to(device)) for level_NCHW, own in zip(levels, centres, strict=True)]


def laplacian_pyramid(images_NCHW: Tensor, levels: int) -> list[Tensor]:
    """As `swd_patches.laplacian_pyramid`, of all images at once."""
    details: list[Tensor] = []
    for _ in range(levels - 1):
        smaller = _down(_down(images_NCHW).mT).mT
        details.append(images_NCHW - _up(_up(smaller).mT).mT)
        images_NCHW = smaller
    return [*details, images_NCHW]


def _down(rows: Tensor) -> Tensor:
    """Blur and halve the last dimension. Sums of slices, since a convolution would use TF32."""
    padded = functional.pad(rows, (2, 2, 0, 0), mode="reflect")
    size = rows.shape[-1]
    halved = padded[..., 0:size:2] * _TAPS[0]
    for tap, weight in enumerate(_TAPS[1:], 1):
        halved += padded[..., tap : tap + size : 2] * weight
    return halved


def _up(rows: Tensor) -> Tensor:
    """Double the last dimension: zeros between the values, blurred, times 2."""
    padded = torch.cat([rows[..., 1:2], rows, rows[..., -1:]], dim=-1)
    before, after = padded[..., :-2], padded[..., 2:]
    even, odd = (before + 6 * rows + after) / 8, (rows + after) / 2
    return torch.stack([even, odd], dim=-1).flatten(-2)


def _cut(level_NCHW: Tensor, centres_P2: Tensor) -> NDArray[np.float32]:
    windows_NCHWYX = level_NCHW.unfold(2, SIDE, 1).unfold(3, SIDE, 1)
    image = torch.arange(len(centres_P2), device=level_NCHW.device) // (len(centres_P2) // len(level_NCHW))
    columns, rows = (centres_P2 - SIDE // 2).unbind(1)
    return windows_NCHWYX[image, :, rows, columns].mT.contiguous().cpu().numpy()


@torch.no_grad()
def distance(a: DescriptorFile, b: DescriptorFile, directions_DL: NDArray[np.float32], device: torch.device) -> float:
    """As `swd.distance`: mean over directions of the mean absolute difference of sorted projections."""
    descriptors = [torch.cat([torch.from_numpy(block).to(device) for block in file.blocks()]) for file in (a, b)]
    chunk = max(1, _PROJECTED_BYTES // (a.count * directions_DL.itemsize))
    means: list[Tensor] = []
    with _no_tf32():
        for directions in torch.from_numpy(directions_DL).to(device).split(chunk):
            first_DP, second_DP = (torch.sort(directions @ set_PL.T).values for set_PL in descriptors)
            means.append((first_DP - second_DP).abs().mean(dim=1, dtype=torch.float64))
    return float(torch.cat(means).mean())


@contextmanager
def _no_tf32() -> Generator[None]:
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
