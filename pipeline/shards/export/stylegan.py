"""A zip as StyleGAN's data set tool makes it, with the labels in `dataset.json`.

Images are `00000/img00000000.png`: not compressed, with eight digits and a folder for each thousand. A label of
`dataset.json` is a class, or a list of values. The size of a file that is not compressed is known before its pixels, so
every process writes to its own places of the one zip.
"""

import io
import json
import zlib
from collections.abc import Iterator, Sequence
from typing import Any
from zipfile import ZIP_STORED, ZipFile, ZipInfo

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from pipeline.errors import ExportError
from pipeline.shards.export.plan import Format, Image, Part, Plan, placing, release, reserve, write_metadata
from pipeline.shards.items import Item

DIGITS = 8
LABELS = "dataset.json"
HEADER_BYTES = 30  # of an entry, before its name


class StyleGanZip(Format):
    """`NAME-256x256.zip`, where NAME is the name of the folder."""

    names_folder = True

    def begin(self, plan: Plan) -> None:
        """Make the zip, up to the list of its entries."""
        reserve(plan, _zip(plan), _entries(plan)[1])

    def write(self, plan: Plan, part: Part, images: Iterator[Image]) -> list[Any]:
        """Write entries at their places; return their CRC-32s."""
        entries = _entries(plan)[0][part.start : part.stop]
        with placing(plan, _zip(plan), entries[0].header_offset) as stream:
            for entry, image in zip(entries, images, strict=True):
                content = uncompressed_png(image.channels_last)
                if len(content) != entry.file_size:
                    raise ExportError(f"{entry.filename}: Pillow made a PNG of another size than of a black image")
                entry.CRC = zlib.crc32(content)
                stream.write(entry.FileHeader(zip64=False))
                stream.write(content)
        return [entry.CRC for entry in entries]

    def finish(self, plan: Plan, md5s: Sequence[str], values: Sequence[Any]) -> None:
        """Add the labels and the list of entries."""
        entries, end = _entries(plan)
        path, names = plan.work / _zip(plan), [entry.filename for entry in entries]
        if path.exists():
            for entry, crc in zip(entries, values, strict=True):
                entry.CRC = crc
            labels = [[name, item.label] for name, item in zip(names, plan.items, strict=True)]
            with path.open("r+b") as stream:
                stream.truncate(end)
                stream.seek(end)
                with ZipFile(stream, "w", ZIP_STORED) as archive:
                    archive.filelist.extend(entries)
                    archive.writestr(_info(LABELS), json.dumps({"labels": labels if plan.classes else None}))
        release(plan, _zip(plan))
        write_metadata(plan, md5s, names)


def image_name(item: Item) -> str:
    """The name of an image in the zip: `00000/img00000012.png`."""
    number = f"{item.number:0{DIGITS}d}"
    return f"{number[: DIGITS - 3]}/img{item.name(DIGITS)}.png"


def uncompressed_png(image_HWC: NDArray[np.uint8]) -> bytes:
    """Pixels as a PNG whose size depends on its sides alone."""
    stream = io.BytesIO()
    PillowImage.fromarray(image_HWC).save(stream, format="png", compress_level=0, optimize=False)
    return stream.getvalue()


def _zip(plan: Plan) -> str:
    return f"{plan.out.name}-{plan.resolution}x{plan.resolution}.zip"


def _entries(plan: Plan) -> tuple[list[ZipInfo], int]:
    """The entries at their places, without CRCs, and where the last one ends."""
    size = len(uncompressed_png(np.zeros((plan.resolution, plan.resolution, 3), np.uint8)))
    entries: list[ZipInfo] = []
    end = 0
    for item in plan.items:
        entry = _info(image_name(item))
        entry.header_offset, entry.file_size, entry.compress_size = end, size, size
        entries.append(entry)
        end += HEADER_BYTES + len(entry.filename) + size
    return entries, end


def _info(name: str) -> ZipInfo:
    """An entry without the time of writing, and the same on every system."""
    info = ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    info.create_system, info.external_attr = 3, 0o644 << 16
    return info
