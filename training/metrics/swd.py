"""Sliced Wasserstein distance (SWD) between the local structure of two image sets (Karras et al. 2018, §5).

At each level of a Laplacian pyramid: 7x7 patches at random positions, normalised per channel over the set, projected on
random unit directions; the mean absolute difference of the sorted projections, times 1,000.

Suffixes: N image, C channel, H height, W width, D direction, L descriptor value, P patch.
"""

from collections.abc import Iterable
from enum import IntEnum
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from training.metrics import Images, swd_gpu
from training.metrics.compute import ONE_THREAD, Compute
from training.metrics.swd_patches import LENGTH, SIDE, DescriptorFile, cut, draw_centres, laplacian_pyramid

COARSEST = 16
SCALE = 1000.0
Directions = NDArray[np.float32]
_PROJECTED_BYTES = 512 << 20


class SwdSeed(IntEnum):
    """Second word of the seed of NumPy's legacy generator. Every result depends on the values: never renumber them."""

    REALS = 0
    FAKES = 1
    DIRECTIONS = 2

    def rng(self, seed: int) -> np.random.RandomState:
        """A new generator of random numbers from `seed`."""
        return np.random.RandomState([seed, self])


def level_sides(resolution: int) -> tuple[int, ...]:
    """Sides of the levels at which the distance is measured: R, R/2, …, 16.

    Below 16 pixels, where the original measures nothing: 8 has one level, 4 has none (no room for a 7x7 patch).
    """
    if resolution < COARSEST:
        return (resolution,) if resolution > SIDE else ()
    sides = [resolution]
    while sides[-1] // 2 >= COARSEST:
        sides.append(sides[-1] // 2)
    return tuple(sides)


class PatchSet:
    """The descriptors of one image set, at every level.

    Parameters
    ----------
    folder
        For the descriptors: 588 bytes per patch and level. The caller removes it.
    resolution
        Of the images.
    patches_per_image
        Patches per image and level.
    rng
        Draws the positions of patches, per minibatch and level as in the original: they depend on the minibatch size.
    compute
        Where pyramids and patches are computed.
    """

    def __init__(
        self,
        folder: Path,
        resolution: int,
        patches_per_image: int,
        rng: np.random.RandomState,
        compute: Compute = ONE_THREAD,
    ) -> None:
        self._patches = patches_per_image
        self._rng = rng
        self._compute = compute
        self.levels = {side: DescriptorFile(folder / f"{side}.f32") for side in level_sides(resolution)}

    def update(self, images_NCHW: Images) -> None:
        """Add a minibatch of images."""
        if not self.levels:
            return
        count, compute = len(images_NCHW), self._compute
        centres = [draw_centres(self._rng, side, count * self._patches) for side in self.levels]
        if compute.on_gpu:
            patches = swd_gpu.patches(images_NCHW, centres, compute.device)
        else:
            of_image = zip(*(np.split(own, count) for own in centres), strict=True)
            of_images = compute.map(self._patches_of, images_NCHW, of_image)
            patches = [np.concatenate(of_level) for of_level in zip(*of_images, strict=True)]
        compute.map(DescriptorFile.append, self.levels.values(), patches)

    def _patches_of(
        self, image_CHW: NDArray[np.uint8], centres: tuple[NDArray[np.int64], ...]
    ) -> list[NDArray[np.float32]]:
        levels = laplacian_pyramid(image_CHW.transpose(1, 2, 0).astype(np.float32), len(self.levels))
        return [cut(level_HWC, own) for level_HWC, own in zip(levels, centres, strict=True)]

    def normalise(self) -> "PatchSet":
        """Normalise the complete set, once, after the last `update`."""
        self._compute.map(DescriptorFile.normalise, self.levels.values())
        return self


def collect(batches_NCHW: Iterable[Images], patches: PatchSet) -> PatchSet:
    """Add all minibatches to a set and normalise it."""
    for images_NCHW in batches_NCHW:
        patches.update(images_NCHW)
    return patches.normalise()


def sliced_wasserstein(
    a: PatchSet,
    b: PatchSet,
    *,
    repeats: int,
    directions: int,
    rng: np.random.RandomState,
    compute: Compute = ONE_THREAD,
) -> dict[int, float]:
    """The distance x 1,000 at each level, by the level's side; normalised sets of equally many images.

    `rng` draws, level by level, `repeats` times `directions` directions (the original: 4 x 128).
    """
    return {
        side: distance(a.levels[side], b.levels[side], draw_directions(rng, repeats, directions), compute) * SCALE
        for side in a.levels
    }


def draw_directions(rng: np.random.RandomState, repeats: int, count: int) -> Directions:
    """`repeats` x `count` random unit directions, [D, L]."""
    draws = [rng.randn(LENGTH, count) for _ in range(repeats)]
    unit_LD = np.concatenate([draw / np.sqrt(np.square(draw).sum(axis=0, keepdims=True)) for draw in draws], axis=1)
    return unit_LD.T.astype(np.float32)


def distance(a: DescriptorFile, b: DescriptorFile, directions_DL: Directions, compute: Compute = ONE_THREAD) -> float:
    """Mean over directions of the mean absolute difference of sorted projections; sets of equal count.

    Memory: 1 GiB for full-size sets, independent of the number of directions.
    """
    if compute.on_gpu:
        return swd_gpu.distance(a, b, directions_DL, compute.device)
    chunk = min(len(directions_DL), max(1, _PROJECTED_BYTES // (a.count * directions_DL.itemsize)))
    # the same memory for every chunk: the system takes long to hand out new pages
    first_DP, second_DP = (np.empty((chunk, file.count), np.float32) for file in (a, b))
    means: list[float] = []
    for start in range(0, len(directions_DL), chunk):
        part_DL = directions_DL[start : start + chunk]
        _project(a, part_DL, first_DP)
        _project(b, part_DL, second_DP)
        means += compute.map(_mean_difference, first_DP[: len(part_DL)], second_DP[: len(part_DL)])
    return float(np.mean(means))


def _project(file: DescriptorFile, directions_DL: Directions, out_DP: NDArray[np.float32]) -> None:
    """Project with torch's matrix product and its threads: it writes into a part of the rows without a copy."""
    directions, start = torch.from_numpy(directions_DL), 0
    for block_PL in file.blocks():
        out = torch.from_numpy(out_DP[: len(directions_DL), start : start + len(block_PL)])
        torch.mm(directions, torch.from_numpy(block_PL).T, out=out)
        start += len(block_PL)


def _mean_difference(first_P: NDArray[np.float32], second_P: NDArray[np.float32]) -> float:
    """Of the sorted values of one direction; both are overwritten. NumPy sorts without the interpreter's lock."""
    first_P.sort()
    second_P.sort()
    first_P -= second_P
    return float(np.abs(first_P, out=first_P).mean(dtype=np.float64))
