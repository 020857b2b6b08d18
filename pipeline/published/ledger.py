"""CelebA-HQ as published: each final image proven by its MD5s, and a ledger of every image of the list.

A mismatch never stops a run. The image is left out, and the ledger says why: `proc mismatch` names the processing
(decoder, resampler, landmarks, or another photograph), `final mismatch` the delta.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline import atomic
from pipeline.container import read_stored
from pipeline.errors import DropReason, ExactMatchError, RejectedInputError
from pipeline.faces.final_image import FinalRenderer, Finished
from pipeline.manifest import Drop, Selected, Sharded
from pipeline.published.deltas import apply_delta, open_delta, read_token
from pipeline.published.image_list import PublishedImage


class Verdict(StrEnum):
    """What became of one image of the list."""

    MATCH = "match"
    PROC_MISMATCH = "proc mismatch"
    FINAL_MISMATCH = "final mismatch"
    MISSING_INPUT = "missing input"
    UNDECODABLE = "undecodable"


VERDICTS: Mapping[DropReason, Verdict] = {
    DropReason.NO_PHOTOGRAPH: Verdict.MISSING_INPUT,
    DropReason.NO_LANDMARKS: Verdict.MISSING_INPUT,
    DropReason.DELTA_MISSING: Verdict.MISSING_INPUT,
    DropReason.NOT_AN_IMAGE: Verdict.UNDECODABLE,
    DropReason.TRUNCATED: Verdict.UNDECODABLE,
    DropReason.UNDECODABLE: Verdict.UNDECODABLE,
    DropReason.DELTA_CORRUPT: Verdict.UNDECODABLE,
    DropReason.DELTA_KEY: Verdict.UNDECODABLE,
    DropReason.DELTA_SIZE: Verdict.UNDECODABLE,
    DropReason.FINAL_MISMATCH: Verdict.FINAL_MISMATCH,
}
"""Any other reason (landmarks that span no square, a photograph too small) cannot have led to the published image."""

SCHEMA = pa.schema(
    [
        pa.field("idx", pa.int32()),
        pa.field("file", pa.string()),
        pa.field("proc_md5", pa.string()),
        pa.field("final_md5", pa.string()),
        pa.field("verdict", pa.string()),
        pa.field("detail", pa.string()),
        pa.field("position", pa.int64()),
    ]
)


@dataclass(frozen=True, slots=True)
class PublishedRenderer:
    """Makes the published final images: processed, proven, the delta added, proven again.

    Attributes
    ----------
    finisher
        Makes the processed images.
    images
        The published list; a row's `rank` is its image's place there.
    deltas
        The folder of delta archives.
    data
        The folder that the rows' containers are relative to.
    """

    finisher: FinalRenderer
    images: Sequence[PublishedImage]
    deltas: Path
    data: Path

    def finish(self, row: Selected) -> Finished:
        """The final image of a row.

        Raises
        ------
        RejectedInputError
            PROC_MISMATCH, FINAL_MISMATCH, or what `read_token` and `open_delta` raise.
        """
        image = self.images[row.rank]
        processed = self.finisher.finish(row)
        proc_CHW = np.ascontiguousarray(processed.image_HWC.transpose(2, 0, 1))
        _prove(proc_CHW, image.proc_md5, DropReason.PROC_MISMATCH)
        jpeg = read_stored(self.data, row.photograph)
        final_CHW = apply_delta(proc_CHW, open_delta(read_token(self.deltas, image.idx), jpeg, image.file))
        _prove(final_CHW, image.final_md5, DropReason.FINAL_MISMATCH)
        return replace(processed, image_HWC=final_CHW.transpose(1, 2, 0))


def md5_of(image_CHW: NDArray[np.uint8]) -> str:
    """The MD5 by which the list knows an image: over its (3, R, R) bytes."""
    return hashlib.md5(np.ascontiguousarray(image_CHW).data, usedforsecurity=False).hexdigest()


def _prove(image_CHW: NDArray[np.uint8], published: str, reason: DropReason) -> None:
    found = md5_of(image_CHW)
    if found != published:
        raise RejectedInputError(reason, f"MD5 {found}, published is {published}")


def write_ledger(
    path: Path, images: Iterable[PublishedImage], kept: Iterable[Sharded], dropped: Iterable[Drop]
) -> dict[str, int]:
    """Write one row for each of `images`: its verdict, the detail where it is no match, its position where it is one.

    Parameters
    ----------
    kept
        The rows that came through `PublishedRenderer`.
    dropped
        Every rejected photograph, wherever it was rejected; the first row of a file counts.

    Returns
    -------
    dict
        How many images got each verdict; none is left out.
    """
    positions = {row.file: row.position for row in kept}
    drops: dict[str, Drop] = {}
    for drop in dropped:
        drops.setdefault(drop.file, drop)
    rows: list[dict[str, str | int | None]] = []
    for image in images:
        position = positions.get(image.file)
        verdict, detail = (Verdict.MATCH, None) if position is not None else _judge(image, drops.get(image.file))
        rows.append(
            {
                "idx": image.idx,
                "file": image.file,
                "proc_md5": image.proc_md5,
                "final_md5": image.final_md5,
                "verdict": verdict.value,
                "detail": detail,
                "position": position,
            }
        )
    with atomic.writing(path) as partial:
        pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), partial, compression="zstd")
    counts = Counter(row["verdict"] for row in rows)
    return {verdict.value: counts[verdict.value] for verdict in Verdict}


def check_matches(counts: Mapping[str, int], min_match: float, ledger: Path) -> None:
    """Raise `ExactMatchError` where the share of matches among the images wanted is below `min_match` (0...1)."""
    wanted, matches = sum(counts.values()), counts[Verdict.MATCH]
    if matches < min_match * wanted:
        found = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
        raise ExactMatchError(
            f"{matches} of {wanted} images equal the published ones ({found}), exact.min_match asks for "
            f"{min_match:.2%}. {ledger} says of each image why; celebahq exact --only IDX takes one apart. To go on "
            f"with those that match, lower exact.min_match in params.yaml: nothing that is done is done again."
        )


def _judge(image: PublishedImage, drop: Drop | None) -> tuple[Verdict, str]:
    if drop is None:
        return Verdict.MISSING_INPUT, f"the source has no {image.file}"
    return VERDICTS.get(drop.reason, Verdict.PROC_MISMATCH), f"{drop.reason.value}: {drop.detail}"
