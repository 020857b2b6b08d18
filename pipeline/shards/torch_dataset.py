"""A data set of shards for any training code: a map-style dataset of PyTorch that needs h5py and numpy only.

    from torch.utils.data import DataLoader
    from pipeline.shards.torch_dataset import ShardDataset

    loader = DataLoader(ShardDataset("data/shard", resolution=64), batch_size=32, shuffle=True, num_workers=4)

PyTorch itself is not imported: `DataLoader` makes tensors of numpy's arrays.
"""

import operator
from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from pipeline.shards.items import read_items
from pipeline.shards.reader import DataSet

Sample = Any
"""An image, or a pair of an image and its labels."""


class ShardDataset:
    """The images of a data set of shards at one resolution, as a map-style dataset.

    Item `n` is the image, uint8 RGB (3, r, r), or a pair of it and its labels, float32 (L,), where the data set has
    labels. Negative numbers count from the end. `DataLoader` reads a batch at once (`__getitems__`). The object may be
    pickled, or used in a process that was forked or spawned: each process opens the shards for itself.

    Parameters
    ----------
    path
        The folder: `data/shard`, `data/lsun/NAME`, or the result of `celebahq build`.
    resolution
        R, R/2, ..., or 1.
    split
        Only its images: `train`, `validation` or `test`. Splits are in the table of the data set, and reading that
        needs the package pyarrow.
    transform
        Called with each image, an array that it may keep and change; its result takes the place of the image.

    Attributes
    ----------
    positions
        Of the images in the data set of shards, (N,).
    labels
        Float32 (N, L), or None.

    Raises
    ------
    ShardError
        There is no whole data set, resolution or split of that name.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        resolution: int,
        split: str | None = None,
        transform: Callable[[NDArray[np.uint8]], Any] | None = None,
    ) -> None:
        self._data = DataSet(Path(path).absolute())
        self._data.read(resolution, [])  # an error now, not in a worker
        self.resolution = resolution
        self.split = split
        self.transform = transform
        self.positions = np.arange(len(self._data)) if split is None else _positions(self._data, split)
        self.labels = None if self._data.labels is None else self._data.labels[self.positions]

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, number: SupportsIndex) -> Sample:
        return self.__getitems__([number])[0]

    def __getitems__(self, numbers: Sequence[SupportsIndex]) -> list[Sample]:
        """Several items, read together."""
        places = [self._place(number) for number in numbers]
        images_NCHW = self._data.read(self.resolution, self.positions[places])
        # copies, since a transform may keep one image of a batch
        images: list[Any] = [image_CHW.copy() for image_CHW in images_NCHW]
        if self.transform is not None:
            images = [self.transform(image_CHW) for image_CHW in images]
        if self.labels is None:
            return images
        return list(zip(images, self.labels[places], strict=True))

    def __repr__(self) -> str:
        split = f", split={self.split!r}" if self.split else ""
        return f"ShardDataset({str(self._data.folder)!r}, {self.resolution}{split}): {len(self)} images"

    def _place(self, number: SupportsIndex) -> int:
        place = operator.index(number)
        if not -len(self) <= place < len(self):
            raise IndexError(f"{self!r}: no item {place}; there are 0 to {len(self) - 1}")
        return place % len(self)


def _positions(data: DataSet, split: str) -> NDArray[np.int64]:
    """The positions of a split's images, by the data set's table."""
    return np.array([item.position for item in read_items(data, split)], np.int64)
