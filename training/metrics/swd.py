"""Sliced Wasserstein distance between the local structure of two image sets (Karras et al. 2018, §5).

By level of a Laplacian pyramid: 7x7 patches at random places, normalised per channel over the set, projected on
random unit directions; the mean absolute difference of the sorted projections, times 1,000.

Suffixes: N image, C channel, H height, W width, D direction, L descriptor value, P patch.
"""

from collections.abc import Iterable
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.metrics.laplacian import pyramid
from training.metrics.swd_patches import LENGTH, SIDE, DescriptorFile, cut, draw_centres

COARSEST = 16
SCALE = 1000.0
Directions = NDArray[np.float32]
_PROJECTED_BYTES = 512 << 20


def level_sides(resolution: int) -> tuple[int, ...]:
    """Sides of the levels on which the distance is taken: R, R/2, …, 16.

    Images under 16 pixels, for which the original reports nothing, have the one level that still holds a patch
    with a choice of place: 8; under that there is none, and no distance.
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
        Where the descriptors are kept; 588 bytes per patch and level. The caller removes it.
    resolution
        OptimizedNetwork of the images.
    patches_per_image
        Patches cut from each image at each level.
    rng
        Decides where patches are cut. Draws are made per minibatch and level, as in the original, so the places
        (not their distribution) depend on the minibatch.
    """

    def __init__(self, folder: Path, resolution: int, patches_per_image: int, rng: np.random.RandomState) -> None:
        self._patches = patches_per_image
        self._rng = rng
        self.levels = {side: DescriptorFile(folder / f"{side}.f32") for side in level_sides(resolution)}

    def feed(self, images_NCHW: NDArray[np.uint8]) -> None:
        """Add a minibatch of images, 0…255."""
        if not self.levels:
            return
        count = len(images_NCHW)
        centres = [draw_centres(self._rng, side, count * self._patches) for side in self.levels]
        cuts: list[list[NDArray[np.float32]]] = [[] for _ in self.levels]
        for n, image_CHW in enumerate(images_NCHW):
            own = slice(n * self._patches, (n + 1) * self._patches)
            parts = pyramid(image_CHW.transpose(1, 2, 0).astype(np.float32), len(self.levels))
            for level, part_HWC in enumerate(parts):
                cuts[level].append(cut(part_HWC, centres[level][own]))
        for file, patches in zip(self.levels.values(), cuts, strict=True):
            file.append(np.concatenate(patches))

    def complete(self) -> "PatchSet":
        """Normalise the set: no image may be fed after this."""
        for file in self.levels.values():
            file.normalise()
        return self


def collect(batches_NCHW: Iterable[NDArray[np.uint8]], into: PatchSet) -> PatchSet:
    """Feed all minibatches to a set and complete it."""
    for images_NCHW in batches_NCHW:
        into.feed(images_NCHW)
    return into.complete()


def draw_directions(rng: np.random.RandomState, repeats: int, count: int) -> Directions:
    """`repeats` x `count` random unit directions, [D, L]."""
    draws = [_unit(rng.randn(LENGTH, count)) for _ in range(repeats)]
    return np.concatenate(draws, axis=1).T.astype(np.float32)


def distance(a: DescriptorFile, b: DescriptorFile, directions_DL: Directions, threads: int) -> float:
    """Mean over directions of the mean absolute difference of sorted projections; sets of equal count.

    Memory: 1 GiB for full-size sets, whatever the number of directions.
    """
    at_once = max(1, _PROJECTED_BYTES // (a.count * directions_DL.itemsize))
    groups = [directions_DL[start : start + at_once] for start in range(0, len(directions_DL), at_once)]
    with ThreadPoolExecutor(threads) as pool:
        means_D = np.concatenate([_distances(a, b, group_DL, pool) for group_DL in groups])
    return float(means_D.mean())


def sliced_wasserstein(
    a: PatchSet, b: PatchSet, *, repeats: int, directions: int, rng: np.random.RandomState, threads: int
) -> dict[int, float]:
    """The distance x 1,000 at each level, by the level's side.

    Parameters
    ----------
    a, b
        Completed sets of the same resolution and the same number of images.
    repeats, directions
        `repeats` draws of `directions` directions each (the original: 4 x 128).
    rng
        Decides the directions, level by level.
    threads
        Levels of parallelism over directions; without influence on the result.
    """
    return {
        side: distance(a.levels[side], b.levels[side], draw_directions(rng, repeats, directions), threads) * SCALE
        for side in a.levels
    }


def _distances(a: DescriptorFile, b: DescriptorFile, directions_DL: Directions, pool: Executor) -> NDArray[np.float64]:
    difference_DP = _sorted_projections(a, directions_DL, pool)
    difference_DP -= _sorted_projections(b, directions_DL, pool)
    return np.abs(difference_DP, out=difference_DP).mean(axis=1, dtype=np.float64)


def _sorted_projections(file: DescriptorFile, directions_DL: Directions, pool: Executor) -> NDArray[np.float32]:
    projected_DP = np.empty((len(directions_DL), file.count), np.float32)
    start = 0
    for block_PL in file.blocks():
        projected_DP[:, start : start + len(block_PL)] = directions_DL @ block_PL.T
        start += len(block_PL)
    list(pool.map(np.ndarray.sort, projected_DP))  # each row in place; NumPy sorts without holding the interpreter
    return projected_DP


def _unit(directions_LD: NDArray[np.float64]) -> NDArray[np.float64]:
    return directions_LD / np.sqrt(np.square(directions_LD).sum(axis=0, keepdims=True))
