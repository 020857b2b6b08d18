"""A folder of PNG files with `metadata.jsonl`, as Hugging Face's `imagefolder` reads it."""

import os
import shutil
from collections.abc import Iterator
from typing import Any

from pipeline import atomic
from pipeline.faces.png import encode_png
from pipeline.shards.export.plan import Format, Image, Part, Plan

PNG_LEVEL = 3
"""Measured at 1024²: level 1 takes 0.10 s for 9 % more bytes, level 6 0.43 s for 14 % fewer; level 3 takes 0.16 s."""


class PngFolder(Format):
    """`00000.png`..., all in one folder."""

    def write(self, plan: Plan, part: Part, images: Iterator[Image]) -> list[Any]:
        """Write the files of a part; they get their names when all of them are on the disk."""
        folder = plan.work / f"images-{part.number:05d}{atomic.PARTIAL_SUFFIX}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        names: list[str] = []
        for image in images:
            names.append(f"{image.name}.png")
            (folder / names[-1]).write_bytes(encode_png(image.channels_last, PNG_LEVEL))
        for name in names:
            with (folder / name).open("rb") as stream:
                os.fsync(stream.fileno())
        for name in names:
            (folder / name).replace(plan.out / name)
        folder.rmdir()
        return [None] * len(names)
