"""Tars of samples as the package `webdataset` reads them: `KEY.png`, `KEY.json`, and `KEY.cls` where it has a class."""

import io
import json
import tarfile
from collections.abc import Iterator, Sequence
from typing import Any

from pipeline import atomic
from pipeline.faces.png import encode_png
from pipeline.shards.export.folder import PNG_LEVEL
from pipeline.shards.export.plan import Format, Image, Part, Plan, facts_of, files_by_split


class WebDataset(Format):
    """`train-000000.tar`..., a sequence of tars for each split; the key of a sample is the name of the image."""

    groups_splits = True

    def size(self, plan: Plan) -> int:
        """With the headers and the padding of a tar."""
        return super().size(plan) + 3072 * len(plan.items)

    def parts(self, plan: Plan) -> list[Part]:
        """A tar each."""
        return files_by_split(plan, "{split}-{number:06d}.tar")

    def write(self, plan: Plan, part: Part, images: Iterator[Image]) -> list[Any]:
        """Write a tar."""
        with (
            atomic.writing(plan.out / part.file) as partial,
            tarfile.open(partial, "w", format=tarfile.USTAR_FORMAT) as archive,
        ):
            for image in images:
                _add(archive, f"{image.name}.png", encode_png(image.channels_last, PNG_LEVEL))
                if isinstance(image.item.label, int):
                    _add(archive, f"{image.name}.cls", str(image.item.label).encode())
                _add(archive, f"{image.name}.json", json.dumps(facts_of(image.item, image.md5)).encode())
        return [None] * (part.stop - part.start)

    def finish(self, plan: Plan, md5s: Sequence[str], values: Sequence[Any]) -> None:
        """Nothing is left to do: each sample has its own facts."""


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)  # of user 0, without the time of writing
    info.size = len(content)
    archive.addfile(info, io.BytesIO(content))
