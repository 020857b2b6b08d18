"""The synthetic source: drawn photographs as a multi-part 7z with annotations, in CelebA's published layout."""

import tempfile
from pathlib import Path

import numpy as np

from pipeline import atomic
from pipeline.demo import annotations, faults
from pipeline.demo.faults import Fault
from pipeline.params import SyntheticSource
from pipeline.sources import celeba, sevenzip
from pipeline.sources.published import Published
from pipeline.sources.source import Contents, DataSource

SAMPLE = 4
PART_BYTES_MIN = 1 << 20
PART_BYTES_PER_PHOTOGRAPH = 4096
"""A part's size: a small set gets a few parts, a large one about a dozen, as CelebA's has."""


class Synthetic(DataSource[SyntheticSource]):
    """Drawn photographs, some of them bad."""

    def fill(self, params: SyntheticSource, known: Published | None, folder: Path) -> Contents:
        """Draw the photographs and write them, with their annotations, to `folder`."""
        count = params.photographs + params.bad_photographs
        bad = plan(params)
        landmarks: dict[str, tuple[int, ...]] = {}
        attributes: dict[str, list[int]] = {}
        archive = folder / celeba.ARCHIVE
        archive.parent.mkdir(parents=True)
        with tempfile.TemporaryDirectory(dir=folder) as loose:
            photographs = Path(loose, "img_celeba")
            photographs.mkdir()
            for number in range(1, count + 1):
                file = f"{number:06d}.jpg"
                item = faults.bad(params, number, *bad[number]) if number in bad else faults.good(params, number)
                attributes[file] = item.attributes
                if item.landmarks is not None:
                    landmarks[file] = item.landmarks
                if item.content is not None:
                    path = photographs / file
                    path.write_bytes(item.content)
                    path.chmod(0o644)  # the archive keeps it, and it must not depend on the umask
            part_bytes = max(PART_BYTES_MIN, count * PART_BYTES_PER_PHOTOGRAPH)
            sevenzip.write_parts(archive, Path(loose), "img_celeba/*", part_bytes)
        texts = {
            "landmarks": annotations.landmarks_text(landmarks),
            "attributes": annotations.attributes_text(attributes),
            "partition": annotations.partition_text(list(attributes)),
        }
        for field, text in texts.items():
            atomic.write_bytes(folder / celeba.ANNOTATIONS[field], text)
        return celeba.contents(f"{celeba.ARCHIVE}.001", set(texts))


def bytes_of_photograph(source: SyntheticSource) -> int:
    """About how many bytes a drawn photograph has, from a few of them."""
    drawn = [faults.good(source, number).content or b"" for number in range(1, SAMPLE + 1)]
    return sum(map(len, drawn)) // SAMPLE


def plan(source: SyntheticSource) -> dict[int, tuple[Fault, int]]:
    """Which numbers (from 1) are bad, with the fault and how often it occurred before; spread by the seed."""
    count = source.photographs + source.bad_photographs
    numbers = np.random.default_rng([source.seed, 0]).permutation(count)[: source.bad_photographs] + 1
    kinds = list(Fault)
    return {int(number): (kinds[n % len(kinds)], n // len(kinds)) for n, number in enumerate(numbers)}
