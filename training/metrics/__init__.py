"""Metrics that compare generated images with real ones. A metric's name carries its protocol."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]
"""A minibatch (N, C, H, W), 0…255."""


class FirstImages:
    """Passes the first `count` images of a sequence of minibatches to `update`."""

    def __init__(self, count: int, update: Callable[[Images], object]) -> None:
        self._left = count
        self._update = update

    def __call__(self, images_NCHW: Images) -> None:
        """Pass on what is left of the first images."""
        first_NCHW = images_NCHW[: self._left]
        self._left -= len(first_NCHW)
        if len(first_NCHW):
            self._update(first_NCHW)


def short_count(count: int) -> str:
    """A count as it is written in a metric's name: 16384 → `16k`, 10000 → `10k`, 256 → `256`.

    As published, SWD counts in 1,024 (16,384 images are 16k), FID and MS-SSIM in 1,000.
    Only powers of two and whole thousands are shortened.
    """
    if count >= 1024 and count & (count - 1) == 0:
        return f"{count // 1024}k"
    if count >= 1000 and count % 1000 == 0:
        return f"{count // 1000}k"
    return str(count)
