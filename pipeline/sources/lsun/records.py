"""The records of an LSUN database: WebP or JPEG files under keys of 40 hex digits.

A record's index is its place in the order of keys. The database is one file, which is mapped into memory.
"""

import io
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from pipeline.errors import DropReason, RejectedInputError, SourceError
from pipeline.faces import jpeg
from pipeline.manifest import Input
from pipeline.sources.lsun.image_folder import ImageFolder


@dataclass(frozen=True, slots=True, kw_only=True)
class LsunImage(Input):
    """A row of `lsun`: record `index` (its place in the order of keys) of key `file`.

    It is row `row` of the file `shard`; the position in the data set is its place among the kept rows. `width` and
    `height` are those of the record, `image_md5` is over the (3, R, R) uint8 bytes of the image.
    """

    encoding: str
    width: int
    height: int
    shard: str
    row: int
    image_md5: str


class Records:
    """The records of one open database, in the order of their keys; see `open_records`."""

    def __init__(self, environment: Any, path: Path) -> None:
        self._environment = environment
        self._path = path
        stat = environment.stat()
        self.count: int = stat["entries"]
        information = environment.info()
        needed = (information["last_pgno"] + 1) * stat["psize"]
        size = path.stat().st_size
        self._contents = f"{self.count} records, {size} bytes, transaction {information['last_txnid']}"
        # reading a page beyond the end of a mapped file would end the process without an error
        if size < needed:
            raise SourceError(
                f"{path}: {size} bytes, but its pages reach to {needed}. "
                f"The copy is incomplete: fetch or unpack it again."
            )

    @property
    def identity(self) -> str:
        """Identifies the database by its content, whatever its file's name and time."""
        with self._environment.begin() as transaction, transaction.cursor() as cursor:
            ends = [cursor.key().hex() for found in (cursor.first(), cursor.last()) if found]
        return f"{self._contents}, keys {ends}"

    def keys(self) -> Iterator[bytes]:
        """All keys; values are not touched."""
        with self._environment.begin() as transaction, transaction.cursor() as cursor:
            yield from cursor.iternext(keys=True, values=False)

    def values(self, first_key: bytes, count: int) -> Iterator[tuple[bytes, bytes]]:
        """Key and value of `count` records from `first_key` on, or fewer where the database ends."""
        with self._environment.begin() as transaction, transaction.cursor() as cursor:
            if not cursor.set_key(first_key):
                raise SourceError(f"{self._path}: has no key {first_key!r}; it was changed while it was read")
            yield from islice(cursor.iternext(keys=True, values=True), count)


@contextmanager
def open_records(path: Path) -> Generator[Records | ImageFolder]:
    """Open a database file or a folder of images to read: no lock, no other file, any number of processes."""
    if path.is_dir():
        yield ImageFolder(path)
        return
    try:
        # access is random in the file (neighbouring keys lie anywhere), so reading ahead only evicts other pages
        environment = lmdb.open(str(path), subdir=False, readonly=True, lock=False, readahead=False)
    except lmdb.Error as error:
        raise SourceError(f"{path}: no LMDB database ({error}); fetch or unpack it again") from error
    try:
        yield Records(environment, path)
    except lmdb.Error as error:
        raise SourceError(f"{path}: damaged database ({error}); fetch or unpack it again") from error
    finally:
        environment.close()


def decode(value: bytes, resolution: int) -> tuple[NDArray[np.uint8], str, tuple[int, int]]:
    """Decode a record, cut out its central square, and resample it by Lanczos, as ProGAN's dataset tool does.

    Returns uint8 RGB (R, R, 3), the record's encoding, and its width and height. Raises `RejectedInputError` if the
    value is neither WebP, JPEG nor PNG, cannot be decoded whole, or is a JPEG with damaged data.
    """
    if value[:4] == b"RIFF" and value[8:12] == b"WEBP":
        encoding = "WEBP"
    elif value[:3] == b"\xff\xd8\xff":
        encoding = "JPEG"
    elif value[:8] == b"\x89PNG\r\n\x1a\n":
        encoding = "PNG"
    else:
        detail = f"{len(value)} bytes, neither WebP nor JPEG: {value[:12].hex()}"
        raise RejectedInputError(DropReason.NOT_AN_IMAGE, detail)
    try:
        with Image.open(io.BytesIO(value), formats=[encoding]) as opened:
            image = opened.convert("RGB")
    except UnidentifiedImageError as error:
        # Pillow's own message holds a memory address, and a table must not differ between equal runs
        raise RejectedInputError(DropReason.UNDECODABLE, f"{len(value)} bytes of {encoding}: broken header") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise RejectedInputError(DropReason.UNDECODABLE, f"{len(value)} bytes of {encoding}: {error}") from error
    if encoding == "JPEG":
        jpeg.check_data(value, "drop")
    width, height = image.size
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    square = image.crop((left, top, left + side, top + side))
    image_HWC = np.asarray(square.resize((resolution, resolution), Image.Resampling.LANCZOS))
    return image_HWC, encoding.lower(), (width, height)
