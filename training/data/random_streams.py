"""The random numbers of a run, each a pure function of seed, purpose and images shown.

There is no generator state to save: a resumed run draws what an uninterrupted one draws, and the draws of one purpose
do not change those of another. N = minibatch, L = latent size.
"""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class Stream(IntEnum):
    """What a number is drawn for. The values decide the result of every run: never renumber them."""

    WEIGHTS = 0
    ORDER = 1
    MIRROR = 2
    D_LATENTS = 3
    INTERPOLATION = 4
    G_LATENTS = 5
    G_LABELS = 6
    GRID = 7
    SAMPLES = 8
    D_NOISE = 9
    G_NOISE = 10
    DIGITS = 11
    SNAPSHOT_SWD = 12
    VIDEO = 13


def generator(seed: int, stream: Stream, position: int) -> np.random.Generator:
    """The generator of one purpose at one position, mostly the number of images shown."""
    return np.random.default_rng([seed, stream, position])


def latents(seed: int, stream: Stream, images_shown: int, shape_NL: tuple[int, int]) -> Floats:
    """Standard normal latents (N, L) float32 for the minibatch that starts at `images_shown`."""
    return generator(seed, stream, images_shown).standard_normal(shape_NL, dtype=np.float32)


def interpolation_weights(seed: int, images_shown: int, count: int) -> Floats:
    """The points between real (0) and fake (1) of the gradient penalty: (N,) float32, uniform in [0, 1)."""
    return generator(seed, Stream.INTERPOLATION, images_shown).random(count, dtype=np.float32)


def rows(seed: int, stream: Stream, images_shown: int, count: int, total: int) -> NDArray[np.int64]:
    """`count` rows of a data set of `total`, drawn with replacement."""
    return generator(seed, stream, images_shown).integers(total, size=count)


def permutation(seed: int, epoch: int, total: int) -> NDArray[np.int64]:
    """The order of the images of a data set of `total` in one epoch."""
    return generator(seed, Stream.ORDER, epoch).permutation(total)


def mirrored(seed: int, images_shown: int, count: int) -> NDArray[np.bool_]:
    """Which of the images at positions `images_shown` ... + `count` are flipped left to right.

    Philox is counter-based: each position has its own number, whatever the minibatch size.
    """
    words_per_block = 4
    first_block, skip = divmod(images_shown, words_per_block)
    philox = np.random.Philox(np.random.SeedSequence([seed, Stream.MIRROR])).advance(first_block)
    words = np.asarray(philox.random_raw(skip + count))
    return (words[skip:] & 1).astype(np.bool_)
