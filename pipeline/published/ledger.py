"""CelebA-HQ as published: each final image is verified by its MD5s, and a ledger has one row per image of the list.

A mismatch never stops a run. The image is left out, and the ledger says why: `proc mismatch` points to the processing
(decoder, resampler, landmarks, or another photograph), `final mismatch` to the delta.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline import atomic
from pipeline.container import read_stored
from pipeline.errors import DropReason, ExactMatchError, RejectedInputError
from pipeline.faces.final_image import FinalImage, FinalRenderer
from pipeline.manifest import Drop, Selected
from pipeline.published.deltas import apply_delta, open_delta, read_token
from pipeline.published.image_list import PublishedImage, md5_of


class Verdict(StrEnum):
    """The result for one image of the list: the column `verdict` of the ledger."""

    MATCH = "match"
    PROC_MISMATCH = "proc mismatch"
    FINAL_MISMATCH = "final mismatch"
    MISSING_INPUT = "missing input"
    UNDECODABLE = "undecodable"

    @classmethod
    def of(cls, reason: DropReason) -> "Verdict":
        """The verdict on an image whose photograph or delta was rejected for this reason."""
        # any other reason, such as landmarks that span no square, cannot have led to the published image
        return _VERDICTS.get(reason, cls.PROC_MISMATCH)


_VERDICTS = {
    DropReason.NO_PHOTOGRAPH: Verdict.MISSING_INPUT,
    DropReason.NO_LANDMARKS: Verdict.MISSING_INPUT,
    DropReason.DELTA_MISSING: Verdict.MISSING_INPUT,
    DropReason.NOT_AN_IMAGE: Verdict.UNDECODABLE,
    DropReason.TRUNCATED: Verdict.UNDECODABLE,
    DropReason.UNDECODABLE: Verdict.UNDECODABLE,
    DropReason.KILLED_WORKER: Verdict.UNDECODABLE,
    DropReason.DELTA_CORRUPT: Verdict.UNDECODABLE,
    DropReason.DELTA_KEY: Verdict.UNDECODABLE,
    DropReason.DELTA_SIZE: Verdict.UNDECODABLE,
    DropReason.FINAL_MISMATCH: Verdict.FINAL_MISMATCH,
}

SCHEMA = pa.schema(
    {
        "idx": pa.int32(),
        "file": pa.string(),
        "proc_md5": pa.string(),
        "final_md5": pa.string(),
        "verdict": pa.string(),
        "detail": pa.string(),
        "position": pa.int64(),
    }
)


@dataclass(frozen=True, slots=True)
class PublishedRenderer:
    """Makes the published final images: processed by `renderer`, verified, the delta added, verified again.

    `images` is the published list, in which a row's `rank` is the position of its image; `deltas` the folder of delta
    archives; `data` the folder that the rows' containers are relative to.
    """

    renderer: FinalRenderer
    images: Sequence[PublishedImage]
    deltas: Path
    data: Path

    def render(self, row: Selected) -> FinalImage:
        """The final image of a row.

        `RejectedInputError`: PROC_MISMATCH, FINAL_MISMATCH, or what `read_token` and `open_delta` raise.
        """
        image = self.images[row.rank]
        processed = self.renderer.render(row)
        proc_CHW = np.ascontiguousarray(processed.image_HWC.transpose(2, 0, 1))
        _verify(proc_CHW, image.proc_md5, DropReason.PROC_MISMATCH)
        jpeg = read_stored(self.data, row.photograph)
        final_CHW = apply_delta(proc_CHW, open_delta(read_token(self.deltas, image.idx), jpeg, image.file))
        _verify(final_CHW, image.final_md5, DropReason.FINAL_MISMATCH)
        return replace(processed, image_HWC=final_CHW.transpose(1, 2, 0))


def _verify(image_CHW: NDArray[np.uint8], published: str, reason: DropReason) -> None:
    found = md5_of(image_CHW)
    if found != published:
        raise RejectedInputError(reason, f"MD5 {found}, published is {published}")


def write_ledger(
    path: Path, images: Iterable[PublishedImage], positions: Mapping[str, int], dropped: Iterable[Drop]
) -> dict[str, int]:
    """Write one row for each of `images`, and return how many images got each verdict.

    A row has a detail where it is no match, and its position in the data set where it is one. `positions` are those of
    the images that came through `PublishedRenderer`, by photograph; `dropped` are the rejected photographs of all
    stages, of which the first of a file counts.
    """
    drops: dict[str, Drop] = {}
    for drop in dropped:
        drops.setdefault(drop.file, drop)
    rows: list[dict[str, Any]] = []
    for image in images:
        verdict, detail, drop = Verdict.MATCH, None, drops.get(image.file)
        position = positions.get(image.file)
        if position is None:
            verdict = Verdict.of(drop.reason if drop else DropReason.NO_PHOTOGRAPH)
            detail = f"{drop.reason.value}: {drop.detail}" if drop else f"the source has no {image.file}"
        result = {"file": image.file, "verdict": verdict.value, "detail": detail, "position": position}
        rows.append(asdict(image) | result)
    with atomic.writing(path) as partial:
        pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), partial, compression="zstd")
    counts = Counter(row["verdict"] for row in rows)
    return {verdict.value: counts[verdict.value] for verdict in Verdict}


def check_matches(counts: Mapping[str, int], min_match: float, ledger: Path) -> None:
    """Raise `ExactMatchError` where the fraction of matches is below `min_match` (0...1)."""
    total, matches = sum(counts.values()), counts[Verdict.MATCH]
    if matches < min_match * total:
        found = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
        raise ExactMatchError(
            f"{matches} of {total} images equal the published ones ({found}), exact.min_match needs {min_match:.2%}. "
            f"{ledger} gives the reason for each image; celebahq exact --only IDX shows the steps of one. To keep only "
            f"those that match, lower exact.min_match in params.yaml: finished work is not repeated."
        )
