"""A category as a folder of images, as LSUN's own tool exports it (`a/b/c/d/e/f/KEY.webp`, or without those folders).

The key of an image is its path below the folder. Paths are in sorted order, folder by folder, and are walked anew each
time, so memory does not grow with the images.
"""

import hashlib
import os
from collections.abc import Generator, Iterator
from contextlib import suppress
from functools import cached_property
from itertools import islice
from pathlib import Path

from pipeline.errors import SourceError
from pipeline.sources.junk import is_junk_file, is_junk_folder
from pipeline.sources.listing import is_named_as_photograph
from pipeline.sources.local import open_regular


class ImageFolder:
    """The images of one category, with the interface of `records.Records`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @cached_property
    def count(self) -> int:
        """The number of images."""
        return sum(1 for _ in self.keys())

    @property
    def identity(self) -> str:
        """Identifies the folder by the names and sizes of its images, whatever its place and their times."""
        return f"a folder of {self.count} images, {digest_of_names(self._path)}"

    def keys(self) -> Iterator[bytes]:
        """All keys; images are not read."""
        return _walk(self._path, b"", [])

    def values(self, first_key: bytes, count: int) -> Iterator[tuple[bytes, bytes]]:
        """Key and bytes of `count` images from `first_key` on, or fewer; no bytes of one that cannot be read."""
        keys = _walk(self._path, b"", first_key.split(b"/"))
        for place, key in enumerate(islice(keys, count)):
            if place == 0 and key != first_key:
                raise SourceError(f"{self._path}: has no image {first_key!r}; it was changed while it was read")
            content = b""
            with suppress(OSError), open_regular(self._path / os.fsdecode(key)) as file:
                content = file.read()
            yield key, content


def has_images(path: Path) -> bool:
    """Whether any image lies below a folder."""
    return next(_walk(path, b"", []), None) is not None


def digest_of_names(path: Path) -> str:
    """SHA-256 over the names and sizes of the images, as hex."""
    digest = hashlib.sha256()
    for key in _walk(path, b"", []):
        digest.update(b"%b\0%d\0" % (key, (path / os.fsdecode(key)).stat().st_size))
    return digest.hexdigest()


def _walk(folder: Path, above: bytes, start: list[bytes]) -> Generator[bytes]:
    """The paths of images from the path `start` on (its parts; none for all); links to folders are not followed."""
    with os.scandir(os.fsencode(folder)) as listed:
        entries = sorted(listed, key=lambda entry: entry.name)
    for entry in entries:
        if start and entry.name < start[0]:
            continue
        name = os.fsdecode(entry.name)
        if entry.is_dir(follow_symlinks=False):
            if not is_junk_folder(name):
                below = start[1:] if start and entry.name == start[0] else []
                yield from _walk(folder / name, above + entry.name + b"/", below)
        elif is_named_as_photograph(name) and not is_junk_file(name) and entry.is_file():
            yield above + entry.name
