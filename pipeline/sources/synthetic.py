"""The synthetic source: drawn photographs as a multi-part 7z with annotations, in CelebA's published layout."""

import io
from collections.abc import Iterable
from pathlib import Path

import multivolumefile
import numpy as np
import py7zr
from py7zr.helpers import ArchiveTimestamp

from pipeline import atomic
from pipeline.demo import annotations, faults
from pipeline.demo.faults import Fault, Item
from pipeline.params import SyntheticSource
from pipeline.sources import celeba
from pipeline.sources.contents import Contents

PART_BYTES_MIN = 1 << 20
PART_BYTES_PER_PHOTOGRAPH = 4096
"""A part's size: a small set gets a few parts, a large one about a dozen, as CelebA's has."""
FILTERS = [{"id": py7zr.FILTER_LZMA2, "preset": 1}]
"""Photographs are compressed already; a higher preset costs time and saves nothing."""
MODIFIED = ArchiveTimestamp(130_883_904_000_000_000)
"""Of every member, so that the archive's bytes depend on nothing but the params: 2015-10-04 00:00 UTC."""


def stage_files(source: SyntheticSource, folder: Path) -> Contents:
    """Draw the photographs and write them, with their annotations, to `folder`."""
    count = source.photographs + source.bad_photographs
    wrong = plan(source)
    landmarks: dict[str, tuple[int, ...]] = {}
    attributes: dict[str, list[int]] = {}

    def photographs() -> Iterable[tuple[str, bytes]]:
        for number in range(1, count + 1):
            file, item = f"{number:06d}.jpg", _item(source, number, wrong)
            attributes[file] = item.attributes
            if item.landmarks is not None:
                landmarks[file] = item.landmarks
            if item.content is not None:
                yield f"img_celeba/{file}", item.content

    archive = folder / celeba.IMAGES / celeba.ARCHIVE
    _write_parts(archive, photographs(), max(PART_BYTES_MIN, count * PART_BYTES_PER_PHOTOGRAPH))
    atomic.write_bytes(folder / celeba.LANDMARKS, annotations.landmarks_text(landmarks))
    atomic.write_bytes(folder / celeba.ATTRIBUTES, annotations.attributes_text(attributes))
    atomic.write_bytes(folder / celeba.PARTITION, annotations.partition_text(list(attributes)))
    every = {celeba.LANDMARKS, celeba.ATTRIBUTES, celeba.PARTITION}
    return celeba.contents(f"{celeba.IMAGES}/{celeba.ARCHIVE}.001", every)


def plan(source: SyntheticSource) -> dict[int, tuple[Fault, int]]:
    """Which numbers (from 1) are bad, with the fault and how often it occurred before; spread by the seed."""
    count = source.photographs + source.bad_photographs
    numbers = np.random.default_rng([source.seed, 0]).permutation(count)[: source.bad_photographs] + 1
    kinds = list(Fault)
    return {int(number): (kinds[n % len(kinds)], n // len(kinds)) for n, number in enumerate(numbers)}


def _item(source: SyntheticSource, number: int, wrong: dict[int, tuple[Fault, int]]) -> Item:
    if number not in wrong:
        return faults.good(source, number)
    return faults.bad(source, number, *wrong[number])


def _write_parts(archive: Path, members: Iterable[tuple[str, bytes]], part_bytes: int) -> None:
    archive.parent.mkdir(parents=True, exist_ok=True)
    for old in archive.parent.glob(f"{archive.name}.*"):
        old.unlink()
    with (
        multivolumefile.MultiVolume(archive, "wb", volume=part_bytes, ext_digits=3) as volumes,
        py7zr.SevenZipFile(volumes, "w", filters=FILTERS) as writer,
    ):
        for name, content in members:
            writer.writef(io.BytesIO(content), name)
            # py7zr stamps the time of writing; the header is written from this record when the archive closes
            writer.files.files_list[-1]["lastwritetime"] = MODIFIED
