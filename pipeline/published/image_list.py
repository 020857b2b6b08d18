"""The published list of CelebA-HQ: the photograph of each image, and the MD5s that verify it."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.errors import SourceError

SCHEMA = pa.schema({"idx": pa.int32(), "orig_idx": pa.int32(), "proc_md5": pa.binary(16), "final_md5": pa.binary(16)})


@dataclass(frozen=True, slots=True)
class PublishedImage:
    """One image of the list, as dataset_tool.py names its columns.

    `idx` is its number in CelebA-HQ, `orig_idx` that of its photograph in CelebA, both from 0. `proc_md5` and
    `final_md5` are those of its pixels before and after the delta (see `md5_of`).
    """

    idx: int
    orig_idx: int
    proc_md5: str
    final_md5: str

    @property
    def file(self) -> str:
        """The name of its photograph."""
        return f"{self.orig_idx + 1:06d}.jpg"


def md5_of(image_CHW: NDArray[np.uint8]) -> str:
    """The hexadecimal MD5 of an image's bytes; for the list they are (3, 1024, 1024) uint8."""
    return hashlib.md5(np.ascontiguousarray(image_CHW).data, usedforsecurity=False).hexdigest()


def read_list(folder: Path) -> list[PublishedImage]:
    """The images of a list, in the order of `idx`.

    `SourceError`: `folder` holds no list, or one that leaves out or repeats an image.
    """
    paths = sorted(folder.glob("images-*.parquet"))
    if not paths:
        raise SourceError(
            f"{folder}: no images-*.parquet here. The published list comes with the repository (git checkout "
            f"manifests/celebahq); name its folder in exact.image_list of params.yaml."
        )
    try:
        table = pa.concat_tables([pq.read_table(path, schema=SCHEMA) for path in paths])
    except (pa.ArrowException, OSError) as error:
        raise SourceError(f"{folder}: not a list of published images: {error}") from error
    images = [
        PublishedImage(row["idx"], row["orig_idx"], row["proc_md5"].hex(), row["final_md5"].hex())
        for row in table.to_pylist()
    ]
    if [image.idx for image in images] != list(range(len(images))):
        raise SourceError(f"{folder}: idx does not count from 0 without a gap; restore it: git checkout {folder}")
    if len({image.orig_idx for image in images}) != len(images):
        raise SourceError(f"{folder}: a photograph is in the list twice; restore it: git checkout {folder}")
    return images
