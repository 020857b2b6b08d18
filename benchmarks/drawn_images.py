"""Images without files, for benchmarks and tests of training."""

import numpy as np
from numpy.typing import NDArray


class DrawnImages:
    """Replaces a data set of shards: discs of random colour and position, drawn when read."""

    labels = None

    def __init__(self, resolution: int, count: int) -> None:
        self.resolution = resolution
        self._count = count
        self.md5s = [f"{row:032x}" for row in range(count)]  # an image follows from its row

    def __len__(self) -> int:
        return self._count

    def read(self, resolution: int, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The images `rows`, (N, 3, resolution, resolution)."""
        y, x = np.mgrid[:resolution, :resolution] / resolution
        images = np.empty((len(rows), 3, resolution, resolution), np.uint8)
        for image_CHW, row in zip(images, rows, strict=True):
            rng = np.random.default_rng(row)
            ground, disc, (cx, cy) = rng.random(3), rng.random(3), rng.uniform(0.3, 0.7, 2)
            inside = 1 / (1 + np.exp(20 * (np.hypot(x - cx, y - cy) - 0.3)))
            image_CHW[:] = (ground[:, None, None] + (disc - ground)[:, None, None] * inside) * 255
        return images
