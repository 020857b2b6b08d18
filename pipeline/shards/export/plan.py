"""What an export writes, in which parts; and what every format does."""

import json
import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import numpy as np
from numpy.typing import NDArray

from pipeline import atomic
from pipeline.shards.items import Item, digits_of

WORK = ".export"
"""In the folder of an unfinished export: which one it is, and what is finished."""

METADATA = "metadata.jsonl"
BLOCK_BYTES = 2**26
"""Of pixels in a part, where parts are no files of their own."""
FILE_BYTES = 2**29
"""Of pixels in a file of several images."""
BLOCK_IMAGES, FILE_IMAGES = 4096, 10_000


@dataclass(frozen=True)
class Plan:
    """An export; picklable, the same in every process."""

    dataset: Path
    out: Path
    resolution: int
    items: Sequence[Item]  # in the order of the data set
    classes: int | None  # the number of labels L
    images_per_file: int | None

    @property
    def work(self) -> Path:
        """The folder of unfinished files."""
        return self.out / WORK

    @property
    def digits(self) -> int:
        """Digits of the numbers in names."""
        return digits_of(self.items)

    @property
    def image_bytes(self) -> int:
        """Bytes of the pixels of one image."""
        return 3 * self.resolution**2


@dataclass(frozen=True, slots=True)
class Part:
    """Images `start`...`stop` of a plan, which one process writes; `file`: the name of the file that has them alone."""

    number: int
    start: int
    stop: int
    file: str = ""


@dataclass(frozen=True, slots=True)
class Image:
    """One image that is read: `place` counts from 0 in the plan; by level uint8 RGB (3, r, r); MD5 of the first."""

    place: int
    item: Item
    name: str
    levels: dict[int, NDArray[np.uint8]]
    md5: str

    @property
    def channels_first(self) -> NDArray[np.uint8]:
        """The largest level, (3, r, r)."""
        return next(iter(self.levels.values()))

    @property
    def channels_last(self) -> NDArray[np.uint8]:
        """The largest level, (r, r, 3)."""
        return np.ascontiguousarray(self.channels_first.transpose(1, 2, 0))


class Format(ABC):
    """One format. Its bytes depend on the plan alone."""

    version: ClassVar[int] = 1
    """Raised when the bytes change: an export of another version is not resumed."""

    names_folder: ClassVar[bool] = False
    """Whether file names begin with the name of the folder."""

    groups_splits: ClassVar[bool] = False
    """Whether the images of a split follow each other; else all are in the order of the data set."""

    needs: ClassVar[tuple[str, str] | None] = None
    """A package that is imported, and the extra that installs it."""

    def levels(self, plan: Plan) -> tuple[int, ...]:
        """The resolutions that are read of each image, largest first."""
        return (plan.resolution,)

    def size(self, plan: Plan) -> int:
        """About how many bytes the export takes, at most."""
        return len(plan.items) * (plan.image_bytes + plan.image_bytes // 64 + 2048)

    def parts(self, plan: Plan) -> list[Part]:
        """The parts, in order."""
        return blocks(plan, max(1, min(BLOCK_IMAGES, BLOCK_BYTES // plan.image_bytes)))

    def begin(self, plan: Plan) -> None:  # noqa: B027 - most formats have nothing to prepare
        """Prepare what parts write to; called again when an export is resumed."""

    @abstractmethod
    def write(self, plan: Plan, part: Part, images: Iterator[Image]) -> list[Any]:
        """Write a part; return a JSON value for each of its images. Called again for a part that was not finished."""

    def finish(self, plan: Plan, md5s: Sequence[str], values: Sequence[Any]) -> None:
        """Complete the export, given the MD5 and the value of each image; called again if it was not finished."""
        digits = plan.digits
        write_metadata(plan, md5s, [f"{item.name(digits)}.png" for item in plan.items])


def blocks(plan: Plan, images: int) -> list[Part]:
    """Parts of so many images."""
    count = len(plan.items)
    starts = range(0, count, images)
    return [Part(number, start, min(start + images, count)) for number, start in enumerate(starts)]


def files_by_split(plan: Plan, pattern: str) -> list[Part]:
    """Parts that are files of their own, of one split each; items are in order of their split (`by_split`).

    `pattern` has `split`, `number` and `count` of the files of a split. Where no image has a split it is `train`; where
    only some have none, theirs is `unknown`.
    """
    images = plan.images_per_file or max(1, min(FILE_IMAGES, FILE_BYTES // plan.image_bytes))
    found: list[Part] = []
    start = 0
    sizes = Counter(item.split for item in plan.items)
    for split, size in sizes.items():
        name = split or ("train" if len(sizes) == 1 else "unknown")
        starts = range(start, start + size, images)
        for number, first in enumerate(starts):
            file = pattern.format(split=name, number=number, count=len(starts))
            found.append(Part(len(found), first, min(first + images, start + size), file))
        start += size
    return found


def by_split(items: Sequence[Item]) -> list[Item]:
    """The items of each split together, in the order in which splits first occur; within a split as they were."""
    order = {split: number for number, split in enumerate(dict.fromkeys(item.split for item in items))}
    return sorted(items, key=lambda item: order[item.split])


def facts_of(item: Item, md5: str) -> dict[str, Any]:
    """What is known of an image, as JSON.

    `index`, `face`, `file`: in the source. `image_md5`: of the (3, R, R) uint8 bytes in the data set, as in its table;
    `md5`: of the (3, r, r) bytes as exported. `label` is a class, `labels` are the values of all labels.
    """
    facts: dict[str, Any] = asdict(item)
    label = facts.pop("label")
    for name in ("position", "number"):
        del facts[name]
    if label is not None:
        facts["labels" if isinstance(label, list) else "label"] = label
    return facts | {"md5": md5}


def write_metadata(plan: Plan, md5s: Sequence[str], names: Sequence[str]) -> None:
    """Write `metadata.jsonl`, a line for each image: the name of its file and `facts_of`."""
    with atomic.writing(plan.out / METADATA) as partial, partial.open("w", encoding="utf-8") as stream:
        for item, md5, name in zip(plan.items, md5s, names, strict=True):
            stream.write(json.dumps({"file_name": name, **facts_of(item, md5)}, ensure_ascii=False) + "\n")


def reserve(plan: Plan, name: str, size: int) -> None:
    """Make the file `name` of `size` bytes in the work folder, unless it is there or finished."""
    path = plan.work / name
    if path.exists() or (plan.out / name).exists():
        return
    with atomic.writing(path) as partial, partial.open("wb") as stream:
        if size:
            os.posix_fallocate(stream.fileno(), 0, size)


@contextmanager
def placing(plan: Plan, name: str, offset: int) -> Generator[BinaryIO]:
    """Open a file that `reserve` made for writing at a place; what was written is on the disk at the end."""
    with (plan.work / name).open("r+b") as stream:
        stream.seek(offset)
        yield stream
        stream.flush()
        os.fsync(stream.fileno())


def release(plan: Plan, name: str) -> None:
    """Give a file of the work folder its final name, unless it has it."""
    path = plan.work / name
    if path.exists():
        with path.open("rb") as stream:
            os.fsync(stream.fileno())
        path.replace(plan.out / name)
