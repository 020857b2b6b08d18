"""The synthetic source: drawn photographs as a multi-part 7z with annotations, in CelebA's published layout."""

import tempfile
from pathlib import Path

import numpy as np

from pipeline import atomic
from pipeline.demo.faces import annotations, faults
from pipeline.demo.faces.faults import Fault, Item
from pipeline.params import SyntheticSource
from pipeline.sources import celeba, sevenzip
from pipeline.sources.contents import Contents

PART_BYTES_MIN = 1 << 20
PART_BYTES_PER_PHOTOGRAPH = 4096
"""A part's size: a small set gets a few parts, a large one about a dozen, as CelebA's has."""


def stage_files(source: SyntheticSource, folder: Path) -> Contents:
    """Draw the photographs and write them, with their annotations, to `folder`."""
    count = source.photographs + source.bad_photographs
    wrong = plan(source)
    landmarks: dict[str, tuple[int, ...]] = {}
    attributes: dict[str, list[int]] = {}

    archive = folder / celeba.IMAGES / celeba.ARCHIVE
    archive.parent.mkdir(parents=True)
    with tempfile.TemporaryDirectory(dir=folder) as loose:
        photographs = Path(loose, "img_celeba")
        photographs.mkdir()
        for number in range(1, count + 1):
            file, item = f"{number:06d}.jpg", _item(source, number, wrong)
            attributes[file] = item.attributes
            if item.landmarks is not None:
                landmarks[file] = item.landmarks
            if item.content is not None:
                path = photographs / file
                path.write_bytes(item.content)
                path.chmod(0o644)  # stored, and must not depend on the umask
        part_bytes = max(PART_BYTES_MIN, count * PART_BYTES_PER_PHOTOGRAPH)
        sevenzip.write_parts(archive, Path(loose), "img_celeba/*", part_bytes)
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
