"""Metrics that compare generated images with real ones. A metric's name carries its protocol."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]
"""A minibatch (N, C, H, W), 0…255."""


class FirstImages:
    """Applies `function` to the first `count` images of a sequence of minibatches, and keeps the `results`."""

    def __init__(self, count: int, function: Callable[[Images], Any]) -> None:
        self._left = count
        self._function = function
        self.results: list[Any] = []

    def update(self, images_NCHW: Images) -> None:
        """Add a minibatch."""
        first_NCHW = images_NCHW[: self._left]
        self._left -= len(first_NCHW)
        if len(first_NCHW):
            self.results.append(self._function(first_NCHW))

    def compute(self) -> NDArray[Any]:
        """All results in one array."""
        return np.concatenate(self.results)


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
