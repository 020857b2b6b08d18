"""The images of a data set: what each is called, and what is known of it.

Needs pyarrow where the data set has a table, else numpy and h5py only.
"""

import importlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ShardError
from pipeline.shards.reader import DataSet

TABLES = ("shard.parquet", "lsun.parquet")
COLUMNS = ("shard", "row", "face", "split", "rank", "quality")
DIGITS = 5
"""Of the number in a name, at least: the 30,000 images of CelebA-HQ are 00000 to 29999."""

Label = int | list[float] | None
"""A class, or the values of all labels, or None where the data set has no labels."""


@dataclass(frozen=True, slots=True)
class Item:
    """One image.

    `number` is its index in the published list where one selects the images, else in the source; several faces of a
    photograph have the `face` numbers 0, 1, ... `image_md5` is of the full-resolution (3, R, R) bytes.
    """

    position: int
    number: int
    index: int
    face: int
    file: str
    split: str | None
    image_md5: str
    label: Label

    def name(self, digits: int) -> str:
        """`00012`, and `00012-1` for a further face."""
        return f"{self.number:0{digits}d}" + (f"-{self.face}" if self.face else "")


def read_items(data: DataSet, split: str | None = None) -> list[Item]:
    """The images of a data set in its order, or those of one split; its table is read if there is one.

    `ShardError` if the split has no images, or the table is of another data set.
    """
    table = _table(data)
    known: dict[str, list[Any]] = {}
    if table is not None:
        known = {name: table[name].to_pylist() for name in ("face", "split", "rank") if name in table.column_names}
    published = table is not None and "rank" in known and table["quality"].null_count == len(table)
    numbers = known["rank"] if published else data.index.tolist()
    faces = [0] * len(data) if published else known.get("face") or _counted(data.index.tolist())
    splits: list[str | None] = known.get("split") or [None] * len(data)
    places = [place for place, of in enumerate(splits) if split is None or of == split]
    if not places:
        names = sorted({name for name in splits if name is not None})
        known_splits = f"there are {', '.join(names)}" if names else "no image has one"
        if table is None:
            known_splits = f"splits are in the table, and there is none ({', '.join(TABLES)})"
        raise ShardError(f"{data.folder}: no image of the split {split!r}; {known_splits}")
    labels, index = labels_of(data.labels, len(data)), data.index.tolist()
    return [
        Item(at, numbers[at], index[at], faces[at], data.files[at], splits[at], data.md5s[at], labels[at])
        for at in places
    ]


def _counted(index: Sequence[int]) -> list[int]:
    """How many images of the same index come before each."""
    seen: Counter[int] = Counter()
    found: list[int] = []
    for number in index:
        found.append(seen[number])
        seen[number] += 1
    return found


def digits_of(items: Sequence[Item]) -> int:
    """How many digits the numbers in names have, so that names sort as numbers do."""
    return max(DIGITS, len(str(max(item.number for item in items))))


def labels_of(labels_NL: NDArray[np.float32] | None, images: int) -> list[Label]:
    """The label of each image: its class where every row of (N, L) labels is one-hot, else its L values; or None."""
    if labels_NL is None:
        return [None] * images
    ones_N, zeros_N = (labels_NL == 1).sum(axis=1), (labels_NL == 0).sum(axis=1)
    one_hot = labels_NL.shape[1] > 1 and bool(np.all(ones_N == 1) and np.all(zeros_N == labels_NL.shape[1] - 1))
    return (labels_NL.argmax(axis=1) if one_hot else labels_NL).tolist()


def _table(data: DataSet) -> Any:
    """The kept rows of the data set's table (pyarrow), in the data set's order; None where there is no table."""
    paths = [data.folder / name for name in TABLES if (data.folder / name).is_file()]
    if not paths:
        return None
    (path, *_) = paths
    try:
        pq = importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise ShardError(f"{path} can be read with the package pyarrow only: pip install pyarrow") from error
    try:
        columns = [name for name in COLUMNS if name in pq.read_schema(path).names]
        table = pq.read_table(path, columns=["index", "file", *columns, "drop_reason"])
    except (ValueError, OSError) as error:  # of pyarrow: ArrowInvalid is a ValueError
        raise ShardError(f"{path}: not a parquet table, or damaged ({error}). Copy the folder again.") from error
    rows = table.filter(table["drop_reason"].is_null()).sort_by([("shard", "ascending"), ("row", "ascending")])
    if not (np.array_equal(rows["index"], data.index) and rows["file"].to_pylist() == data.files):
        raise ShardError(
            f"{path}: lists {len(rows)} images, which are not the {len(data)} of {data.folder / 'dataset.h5'}. They "
            f"belong to different data sets: copy the folder again, or remove the table to export without it."
        )
    return rows
