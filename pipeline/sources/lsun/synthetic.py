"""A small drawn LSUN category: a real LMDB in a real zip, with the published names."""

import hashlib
import zipfile
from pathlib import Path

import lmdb
import numpy as np

from pipeline.demo.scenes import encode_scene
from pipeline.errors import SourceError
from pipeline.sources.lsun.published import DATABASE, PublishedCategory

MAP_BYTES_PER_RECORD = 2**18


def make_category(
    folder: Path, name: str, category: PublishedCategory, *, records: int, bad_records: int, seed: int
) -> Path:
    """Write the category's zip below `folder`, at its published path; return that.

    `bad_records` of the `records` cannot be decoded. The scenes depend on the category's `name` and the seed.
    """
    if bad_records >= records:
        raise SourceError(f"lsun.source: bad_records {bad_records} of records {records} leaves none; lower it")
    values: dict[bytes, bytes] = {}
    for number in range(records):
        key = hashlib.sha1(f"{name}/{seed}/{number}".encode(), usedforsecurity=False).hexdigest().encode()
        random = np.random.default_rng([seed, number, *name.encode()])
        value = encode_scene(name, random)
        values[key] = _damaged(value, number) if number < bad_records else value
    path = folder / category.zip
    path.parent.mkdir(parents=True, exist_ok=True)
    database = folder / category.folder
    map_bytes = MAP_BYTES_PER_RECORD * (records + 4)
    with lmdb.open(str(database), map_size=map_bytes) as environment, environment.begin(write=True) as transaction:
        for key in sorted(values):
            transaction.put(key, values[key], append=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in (database / DATABASE, database / "lock.mdb"):
            archive.write(file, f"{category.folder}/{file.name}")
            file.unlink()
    database.rmdir()
    return path


def _damaged(value: bytes, number: int) -> bytes:
    """What LSUN's bad records look like, in turn: cut short, no image at all, a header with nothing behind it."""
    return (value[: len(value) // 3], b"<html>404 Not Found</html>", b"RIFF\x04\x00\x00\x00WEBP", b"")[number % 4]
