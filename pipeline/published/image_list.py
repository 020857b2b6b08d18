"""The published list of CelebA-HQ: which photograph each image is made of, and the MD5s that prove it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import atomic
from pipeline.errors import SourceError

SCHEMA = pa.schema(
    [
        pa.field("idx", pa.int32()),
        pa.field("orig_idx", pa.int32()),
        pa.field("proc_md5", pa.binary(16)),
        pa.field("final_md5", pa.binary(16)),
    ]
)


@dataclass(frozen=True, slots=True)
class PublishedImage:
    """One image of the list.

    Attributes
    ----------
    idx
        Its number in CelebA-HQ, from 0.
    orig_idx
        The number of its photograph in CelebA, from 0.
    proc_md5, final_md5
        Over the (3, 1024, 1024) uint8 bytes, before and after the delta; hexadecimal.
    """

    idx: int
    orig_idx: int
    proc_md5: str
    final_md5: str

    @property
    def file(self) -> str:
        """The name of its photograph."""
        return f"{self.orig_idx + 1:06d}.jpg"


def read_list(folder: Path) -> list[PublishedImage]:
    """The images of a list, in the order of `idx`.

    Raises
    ------
    SourceError
        `folder` holds no list, or one that leaves out or repeats an image.
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
        raise SourceError(f"{folder}: a photograph stands in the list twice; restore it: git checkout {folder}")
    return images


def write_list(folder: Path, images: Sequence[PublishedImage], files: int) -> None:
    """Write a list as `files` tables of about equal length (a file of the repository stays below 1 MB)."""
    for part in np.array_split(np.arange(len(images)), files):
        chosen = [images[place] for place in part]
        table = pa.table(
            {
                "idx": [image.idx for image in chosen],
                "orig_idx": [image.orig_idx for image in chosen],
                "proc_md5": [bytes.fromhex(image.proc_md5) for image in chosen],
                "final_md5": [bytes.fromhex(image.final_md5) for image in chosen],
            },
            schema=SCHEMA,
        )
        with atomic.writing(folder / f"images-{chosen[0].idx:05d}.parquet") as partial:
            pq.write_table(table, partial, compression="zstd", use_dictionary=False)
