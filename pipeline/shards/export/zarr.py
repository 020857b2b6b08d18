"""A zarr group (format 2, which every zarr reads): `images` (N, 3, r, r) uint8, and an array for each fact."""

import importlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import atomic
from pipeline.shards.export.plan import BLOCK_BYTES, Format, Image, Part, Plan, blocks
from pipeline.shards.export.tfrecord import label_values

CHUNK_BYTES = 2**20
"""Of pixels in a chunk, which is a file; a larger image has a chunk of its own."""
ZSTD_LEVEL = 3


class ZarrGroup(Format):
    """The folder is the group. Arrays: `images`, `labels`, `index`, `face`, `file`, `split`, `image_md5`, `md5`."""

    needs = ("zarr", "zarr")

    def parts(self, plan: Plan) -> list[Part]:
        """Whole chunks."""
        chunk = _chunk(plan)
        return blocks(plan, chunk * max(1, BLOCK_BYTES // (chunk * plan.image_bytes)))

    def begin(self, plan: Plan) -> None:
        """Make the group and the array of images, unless they are there."""
        zarr = importlib.import_module("zarr")
        group = zarr.open_group(plan.out, mode="a", zarr_format=2)
        if "images" not in group:
            size = plan.resolution
            group.create_array(
                "images", shape=(len(plan.items), 3, size, size), chunks=(_chunk(plan), 3, size, size), dtype="uint8",
                compressors=_compressor(),
            )  # fmt: skip
        # zarr writes attributes to files of their own, which a kill may have left out
        group.update_attributes({"resolution": plan.resolution, "layout": "N, C (red, green, blue), height, width"})
        group["images"].update_attributes({})

    def write(self, plan: Plan, part: Part, images: Iterator[Image]) -> list[Any]:
        """Write the chunks of a part."""
        array = importlib.import_module("zarr").open_group(plan.out, mode="r+")["images"]
        chunk: list[Any] = []
        for image in images:
            chunk.append(image.channels_first)
            if len(chunk) == array.chunks[0] or image.place == part.stop - 1:
                first = image.place + 1 - len(chunk)
                array[first : image.place + 1] = np.stack(chunk)
                _flush(plan.out / "images" / f"{first // array.chunks[0]}.0.0.0")
                chunk = []
        return [None] * (part.stop - part.start)

    def finish(self, plan: Plan, md5s: Sequence[str], values: Sequence[Any]) -> None:
        """Write the facts."""
        group = importlib.import_module("zarr").open_group(plan.out, mode="r+")
        columns: dict[str, NDArray[Any]] = {
            "index": np.array([item.index for item in plan.items], np.int64),
            "face": np.array([item.face for item in plan.items], np.int64),
            "file": np.array([item.file for item in plan.items], np.str_),
            "split": np.array([item.split or "" for item in plan.items], np.str_),
            "image_md5": np.array([item.image_md5 for item in plan.items], np.str_),
            "md5": np.array(md5s, np.str_),
        }
        if plan.classes:
            columns["labels"] = label_values(plan)
        for name, values_N in columns.items():
            group.create_array(name, data=values_N, chunks=values_N.shape, compressors=_compressor(), overwrite=True)
        atomic.sweep(plan.out)


def _chunk(plan: Plan) -> int:
    return max(1, min(len(plan.items), CHUNK_BYTES // plan.image_bytes))


def _flush(path: Path) -> None:
    if path.exists():  # zarr leaves out a chunk of zeros
        with path.open("rb") as stream:
            os.fsync(stream.fileno())


def _compressor() -> Any:
    return importlib.import_module("numcodecs").Zstd(level=ZSTD_LEVEL)
