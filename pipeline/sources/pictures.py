"""Images that were published as arrays: each becomes a lossless PNG, its classes become CelebA's attributes."""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline import atomic
from pipeline.faces.png import encode_png

PNG_LEVEL = 1
"""At 32 x 32 pixels, higher levels save little and cost time."""


@dataclass(frozen=True, slots=True, eq=False)
class Pictures:
    """N numbered images with L labels; `image` gives (R, R, 3) uint8 RGB by index, label names have no spaces."""

    image: Callable[[int], NDArray[np.uint8]]
    label_names: tuple[str, ...]
    labels_NL: NDArray[np.bool_]

    def names(self) -> list[str]:
        """The file name of every image, in order: its index, as wide as the last one."""
        width = max(6, len(str(len(self.labels_NL) - 1)))
        return [f"{index:0{width}d}.png" for index in range(len(self.labels_NL))]

    def read(self, names: frozenset[str]) -> Generator[tuple[str, bytes]]:
        """Names and bytes of the images of those names, in order."""
        for index, name in enumerate(self.names()):
            if name in names:
                yield name, encode_png(self.image(index), PNG_LEVEL)

    def write_attributes(self, path: Path) -> None:
        """Write the labels in the format of CelebA's attributes: 1 for yes, -1 for no."""
        names = self.names()
        with atomic.writing(path) as partial, partial.open("w", encoding="ascii") as file:
            file.write(f"{len(names)}\n{' '.join(self.label_names)}\n")
            for name, labels_L in zip(names, self.labels_NL, strict=True):
                file.write(f"{name} {' '.join('1' if label else '-1' for label in labels_L.tolist())}\n")


def one_hot(classes_N: NDArray[np.integer], count: int) -> NDArray[np.bool_]:
    """(N, count): true where the column is the row's class."""
    return classes_N[:, None] == np.arange(count)
