"""Images that were published as arrays: each becomes a PNG without loss, its class one yes among noes."""

from collections.abc import Callable, Collection, Generator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline import atomic
from pipeline.faces.png import encode_png
from pipeline.sources.archive import Member

PNG_LEVEL = 1
"""On 32² pixels higher levels save little and cost time."""

LINES_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True, eq=False)
class Pictures:
    """Numbered images with labels.

    Attributes
    ----------
    image
        Image `index` as (R, R, 3) uint8 RGB.
    label_names
        Names of the L labels, without spaces.
    labels_NL
        Which labels each of the N images has.
    """

    image: Callable[[int], NDArray[np.uint8]]
    label_names: tuple[str, ...]
    labels_NL: NDArray[np.bool_]

    def names(self) -> list[str]:
        """The file name of every image, in order: its index, as wide as the last one."""
        count = len(self.labels_NL)
        width = max(6, len(str(count - 1)))
        return [f"{index:0{width}d}.png" for index in range(count)]

    def read(self, wanted: Collection[str]) -> Generator[Member]:
        """The images of those names, in order."""
        wanted = frozenset(wanted)
        for index, name in enumerate(self.names()):
            if name in wanted:
                yield Member(name, encode_png(self.image(index), PNG_LEVEL))

    def write_attributes(self, path: Path) -> None:
        """Write the labels in the format of CelebA's attributes: 1 for yes, -1 for no."""
        fields = np.array(["-1", "1"])
        names = self.names()
        with atomic.writing(path) as partial, partial.open("w", encoding="ascii") as file:
            file.write(f"{len(names)}\n{' '.join(self.label_names)}\n")
            for start in range(0, len(names), LINES_AT_ONCE):
                rows = fields[self.labels_NL[start : start + LINES_AT_ONCE].astype(np.intp)].tolist()
                lines = zip(names[start : start + LINES_AT_ONCE], rows, strict=True)
                file.writelines(f"{name} {' '.join(row)}\n" for name, row in lines)


def one_hot(classes_N: NDArray[np.integer], count: int) -> NDArray[np.bool_]:
    """(N, count): true where the column is the row's class."""
    return classes_N[:, None] == np.arange(count)
