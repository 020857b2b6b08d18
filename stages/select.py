"""Stage select: ranks the scored faces and keeps the best ones, the first ones, or those of the published list."""

import csv
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline import atomic, manifest
from pipeline.errors import DropReason, RejectedInputError
from pipeline.faces.quality import best_first
from pipeline.manifest import Drop, Input, Scored, Selected, extend
from pipeline.params import Params, SelectParams
from pipeline.published.agreement import agreements
from pipeline.published.image_list import PublishedImage, read_list
from stages import main, read_params, stage_run, table

BEFORE = ("extract", "align", "crop", "denoise", "superres")
"""And `detect`, where it finds the landmarks: align has no row of a photograph in which it found no face."""

BINS_PER_UNIT = 50


def select() -> None:
    """Write `data/select/`: the table of ranks, a histogram of the quality, and the counts of every stage so far.

    With the published list also `absent.parquet`: the images of the list that are missing, and why. Where CelebA's
    photographs are scored, the report says how well the score agrees with that list.
    """
    params = read_params()
    before = (BEFORE[0], "detect", *BEFORE[1:]) if params.detects else BEFORE
    inputs = [table(stage) for stage in before]
    compared = _can_be_compared(params)
    if compared or params.select.method == "published":
        inputs.append(params.exact.image_list)
    with stage_run("select", params={"select": params.select}, inputs=inputs) as run:
        rows = manifest.read_kept(table("superres"), Scored)
        if params.select.method == "published":
            images = read_list(params.exact.image_list)[: params.select.keep]
            outcomes = keep_published(rows, images)
            manifest.write_rows(run.work / "absent.parquet", Input, _absent(images, outcomes, before))
        else:
            outcomes = keep_best(rows, params.select)
        # dropping is the purpose of this stage, so no fraction of it is too much
        run.count(manifest.write_rows(run.table, Selected, outcomes), max_dropped=1.0)
        run.report["asked"] = params.select.keep
        if compared:
            run.report |= _compared(rows, read_list(params.exact.image_list))
        _write_csv(run.work / "quality_histogram.csv", ("quality", "kept", "dropped"), _histogram(rows, outcomes))
        counts = [*(_counts(table(stage)) for stage in before), _counts(run.table)]
        _write_csv(run.work / "funnel.csv", ("stage", "kept", "dropped", "reasons"), counts)


def _can_be_compared(params: Params) -> bool:
    """Whether scored faces of CelebA can be compared with the published list."""
    celeba = params.download.source.kind == "celeba" and params.align.photographs == "all"
    return celeba and params.superres.method != "delta" and params.exact.image_list.is_dir()


def _compared(rows: Sequence[Scored], images: Sequence[PublishedImage]) -> dict[str, Any]:
    """For the report: how many scored faces are in the published list, and how well each figure agrees with it."""
    listed = {image.file for image in images}
    found = agreements(rows, listed)
    if found is None:
        return {}
    counted = len({row.file for row in rows if row.quality is not None} & listed)
    return {"agreement": {"listed": counted} | {name: asdict(figure) for name, figure in found.items()}}


def keep_best(rows: Sequence[Scored], params: SelectParams) -> list[Selected | Drop]:
    """Each row, in the order given, with its rank by quality, or dropped.

    Rank 0 is the best, equal qualities go by index. Kept are the best rows, or the first ones for the method `index`.
    """
    order = best_first([row.quality or 0.0 for row in rows])
    ranks = {position: rank for rank, position in enumerate(order)}
    by_quality = params.method == "quality"
    rule = f"the {'best' if by_quality else 'first'} {params.keep} are kept"
    outcomes: list[Selected | Drop] = []
    for position, row in enumerate(rows):
        rank = ranks[position]
        if (rank if by_quality else position) < params.keep:
            outcomes.append(extend(row, Selected, rank=rank))
        else:
            detail = f"rank {rank} of {len(rows)}, quality {row.quality or 0.0:.6f}; {rule}"
            outcomes.append(Drop.of(row, RejectedInputError(DropReason.LOW_QUALITY, detail)))
    return outcomes


def keep_published(rows: Sequence[Scored], images: Sequence[PublishedImage]) -> list[Selected | Drop]:
    """Each row, in the order given, with its image's number in the published list as rank, or dropped.

    Of several faces of a photograph the first is published.
    """
    numbers = {image.file: image.idx for image in images}
    unpublished = RejectedInputError(DropReason.NOT_PUBLISHED, f"none of the first {len(images)} images is made of it")
    outcomes: list[Selected | Drop] = []
    for row in rows:
        number = numbers.pop(row.file, None)
        outcomes.append(Drop.of(row, unpublished) if number is None else extend(row, Selected, rank=number))
    return outcomes


def _absent(images: Sequence[PublishedImage], outcomes: Sequence[Selected | Drop], before: Sequence[str]) -> list[Drop]:
    """The images of the list without a row: the drop of their photograph, or NO_PHOTOGRAPH."""
    found = {outcome.file for outcome in outcomes if isinstance(outcome, Selected)}
    dropped = {drop.file: drop for stage in before for drop in manifest.read_dropped(table(stage))}
    missing = RejectedInputError(DropReason.NO_PHOTOGRAPH, "the source has no such file")
    return [
        dropped.get(image.file) or Drop.of(Input(index=image.orig_idx, file=image.file), missing)
        for image in images
        if image.file not in found
    ]


def _histogram(rows: Sequence[Scored], outcomes: Sequence[Selected | Drop]) -> list[tuple[float, int, int]]:
    """Counts by quality: the middle of a bin, kept, dropped; from the lowest bin in use to the highest."""
    kept, dropped = Counter[int](), Counter[int]()
    for row, outcome in zip(rows, outcomes, strict=True):
        if row.quality is not None:
            (dropped if isinstance(outcome, Drop) else kept)[math.floor(row.quality * BINS_PER_UNIT)] += 1
    bins = kept | dropped
    return [
        (round((place + 0.5) / BINS_PER_UNIT, 6), kept[place], dropped[place])
        for place in range(min(bins, default=0), max(bins, default=-1) + 1)
    ]


def _counts(path: Path) -> tuple[str, int, int, str]:
    account = manifest.account(path)
    reasons = "; ".join(f"{reason}: {count}" for reason, count in account.dropped.items())
    return path.stem, account.kept, account.given - account.kept, reasons


def _write_csv(path: Path, columns: Sequence[str], records: Iterable[Sequence[Any]]) -> None:
    with atomic.writing(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(records)


if __name__ == "__main__":
    main(select)
