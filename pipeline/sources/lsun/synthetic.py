"""A small LSUN category made here: a real LMDB in a real zip, spelt as published (STYLE, fake data of true shape)."""

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
    """Write the category's zip below `folder`, spelt as published; return its path.

    Parameters
    ----------
    name
        The category; each has scenes of its own. `bedroom` and the other rooms are interiors, the rest skylines.
    records, bad_records
        Records in all, and how many of them cannot be decoded.
    """
    if bad_records >= records:
        raise SourceError(f"lsun.source: bad_records {bad_records} of records {records} leaves none; lower it")
    values: dict[bytes, bytes] = {}
    for number in range(records):
        key = hashlib.sha1(f"{name}/{seed}/{number}".encode(), usedforsecurity=False).hexdigest().encode()
        random = np.random.default_rng([seed, number, *name.encode()])
        value = encode_scene(name, random)
        values[key] = _spoilt(value, number) if number < bad_records else value
    path = folder / category.zip
    path.parent.mkdir(parents=True, exist_ok=True)
    database = folder / category.folder
    _write_database(database, values)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in (database / DATABASE, database / "lock.mdb"):
            archive.write(file, f"{category.folder}/{file.name}")
            file.unlink()
    database.rmdir()
    return path


def _write_database(folder: Path, values: dict[bytes, bytes]) -> None:
    with (
        lmdb.open(str(folder), map_size=MAP_BYTES_PER_RECORD * (len(values) + 4)) as environment,
        environment.begin(write=True) as transaction,
    ):
        for key in sorted(values):
            transaction.put(key, values[key], append=True)


def _spoilt(value: bytes, number: int) -> bytes:
    """What LSUN's bad records look like, in turn: cut short, no image at all, a header with nothing behind it."""
    return (value[: len(value) // 3], b"<html>404 Not Found</html>", b"RIFF\x04\x00\x00\x00WEBP", b"")[number % 4]
