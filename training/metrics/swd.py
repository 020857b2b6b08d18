"""Sliced Wasserstein distance (SWD) between the local structure of two image sets (Karras et al. 2018, §5).

At each level of a Laplacian pyramid: 7x7 patches at random positions, normalised per channel over the set, projected on
random unit directions; the mean absolute difference of the sorted projections, times 1,000.

Suffixes: N image, C channel, H height, W width, D direction, L descriptor value, P patch.
"""

from collections.abc import Iterable
from concurrent.futures import Executor, ThreadPoolExecutor
from enum import IntEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.metrics import Images
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
    """

    def __init__(self, folder: Path, resolution: int, patches_per_image: int, rng: np.random.RandomState) -> None:
        self._patches = patches_per_image
        self._rng = rng
        self.levels = {side: DescriptorFile(folder / f"{side}.f32") for side in level_sides(resolution)}

    def update(self, images_NCHW: Images) -> None:
        """Add a minibatch of images."""
        if not self.levels:
            return
        count = len(images_NCHW)
        centres = [draw_centres(self._rng, side, count * self._patches) for side in self.levels]
        patches: list[list[NDArray[np.float32]]] = [[] for _ in self.levels]
        for n, image_CHW in enumerate(images_NCHW):
            own = slice(n * self._patches, (n + 1) * self._patches)
            levels = laplacian_pyramid(image_CHW.transpose(1, 2, 0).astype(np.float32), len(self.levels))
            for level, level_HWC in enumerate(levels):
                patches[level].append(cut(level_HWC, centres[level][own]))
        for file, level_patches in zip(self.levels.values(), patches, strict=True):
            file.append(np.concatenate(level_patches))

    def normalise(self) -> "PatchSet":
        """Normalise the complete set, once, after the last `update`."""
        for file in self.levels.values():
            file.normalise()
        return self


def collect(batches_NCHW: Iterable[Images], patches: PatchSet) -> PatchSet:
    """Add all minibatches to a set and normalise it."""
    for images_NCHW in batches_NCHW:
        patches.update(images_NCHW)
    return patches.normalise()


def sliced_wasserstein(
    a: PatchSet, b: PatchSet, *, repeats: int, directions: int, rng: np.random.RandomState, threads: int
) -> dict[int, float]:
    """The distance x 1,000 at each level, by the level's side; normalised sets of equally many images.

    `rng` draws, level by level, `repeats` times `directions` directions (the original: 4 x 128). `threads` do not
    change the result.
    """
    return {
        side: distance(a.levels[side], b.levels[side], draw_directions(rng, repeats, directions), threads) * SCALE
        for side in a.levels
    }


def draw_directions(rng: np.random.RandomState, repeats: int, count: int) -> Directions:
    """`repeats` x `count` random unit directions, [D, L]."""
    draws = [rng.randn(LENGTH, count) for _ in range(repeats)]
    unit_LD = np.concatenate([draw / np.sqrt(np.square(draw).sum(axis=0, keepdims=True)) for draw in draws], axis=1)
    return unit_LD.T.astype(np.float32)


def distance(a: DescriptorFile, b: DescriptorFile, directions_DL: Directions, threads: int) -> float:
    """Mean over directions of the mean absolute difference of sorted projections; sets of equal count.

    Memory: 1 GiB for full-size sets, independent of the number of directions.
    """
    chunk = max(1, _PROJECTED_BYTES // (a.count * directions_DL.itemsize))
    means: list[NDArray[np.float64]] = []
    with ThreadPoolExecutor(threads) as pool:
        for start in range(0, len(directions_DL), chunk):
            difference_DP = _sorted_projections(a, directions_DL[start : start + chunk], pool)
            difference_DP -= _sorted_projections(b, directions_DL[start : start + chunk], pool)
            means.append(np.abs(difference_DP, out=difference_DP).mean(axis=1, dtype=np.float64))
    return float(np.concatenate(means).mean())


def _sorted_projections(file: DescriptorFile, directions_DL: Directions, pool: Executor) -> NDArray[np.float32]:
    projected_DP = np.empty((len(directions_DL), file.count), np.float32)
    start = 0
    for block_PL in file.blocks():
        projected_DP[:, start : start + len(block_PL)] = directions_DL @ block_PL.T
        start += len(block_PL)
    list(pool.map(np.ndarray.sort, projected_DP))  # each row in place; NumPy sorts without the GIL
    return projected_DP
