"""Stage select: ranks the scored faces and keeps the best, or the first ones, or those of the published list."""

import csv
import io
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pipeline import atomic, manifest
from pipeline.errors import DropReason
from pipeline.faces.quality import best_first
from pipeline.manifest import Drop, Input, Scored, Selected, extend
from pipeline.params import SelectParams
from pipeline.published.image_list import PublishedImage, read_list
from stages import DATA, main, read_params, stage_run, table

BEFORE = ("extract", "align", "crop", "denoise", "superres")
BINS_PER_UNIT = 50


def select() -> None:
    """Write `data/select/`: the table of ranks, the histogram of the figure, and what each stage so far let through.

    Beside them `absent.parquet`: images wanted of the published list that did not get here, and why.
    """
    params = read_params()
    inputs = [table(stage) for stage in BEFORE]
    if params.select.method == "published":
        inputs.append(params.exact.image_list)
    with stage_run("select", params={"select": params.select}, inputs=inputs, out=DATA / "select") as run:
        rows = manifest.read_kept(table("superres"), Scored)
        if params.select.method == "published":
            images = read_list(params.exact.image_list)[: params.select.keep]
            outcomes = listed(rows, images)
            manifest.write_rows(run.work / "absent.parquet", Input, _absent(images, outcomes))
        else:
            outcomes = chosen(rows, params.select)
        account = manifest.write_rows(run.work / "select.parquet", Selected, outcomes)
        # dropping is this stage's purpose, so no share of it is too much
        run.count(account, max_dropped=1.0)
        run.report["asked"] = params.select.keep
        _write_csv(run.work / "quality_histogram.csv", ("quality", "kept", "dropped"), _histogram(rows, outcomes))
        own = run.work / "select.parquet"
        funnel = [_through(stage, table(stage)) for stage in BEFORE] + [_through("select", own)]
        _write_csv(run.work / "funnel.csv", ("stage", "kept", "dropped", "reasons"), funnel)


def chosen(rows: Sequence[Scored], params: SelectParams) -> list[Selected | Drop]:
    """Each row with its rank by quality (0 the best; equal figures by index), or dropped, in the order given."""
    order = best_first([row.quality or 0.0 for row in rows])
    ranks = dict(zip(order, range(len(rows)), strict=True))
    kept = set((order if params.method == "quality" else list(range(len(rows))))[: params.keep])
    return [
        extend(row, Selected, rank=ranks[position])
        if position in kept
        else Drop(
            index=row.index,
            file=row.file,
            reason=DropReason.LOW_QUALITY,
            detail=f"rank {ranks[position]} of {len(rows)}, quality {row.quality or 0.0:.6f}; {_rule(params)} are kept",
        )
        for position, row in enumerate(rows)
    ]


def listed(rows: Sequence[Scored], images: Sequence[PublishedImage]) -> list[Selected | Drop]:
    """Each row with its image's number in the published list as rank, or dropped, in the order given."""
    numbers = {image.file: image.idx for image in images}
    return [
        extend(row, Selected, rank=numbers[row.file])
        if row.file in numbers
        else Drop(
            index=row.index,
            file=row.file,
            reason=DropReason.NOT_PUBLISHED,
            detail=f"none of the first {len(images)} images is made of it",
        )
        for row in rows
    ]


def _absent(images: Sequence[PublishedImage], outcomes: Sequence[Selected | Drop]) -> list[Drop]:
    """Why images of the list did not get here: where their photographs were dropped."""
    arrived = {outcome.file for outcome in outcomes if isinstance(outcome, Selected)}
    dropped = {drop.file: drop for stage in BEFORE for drop in manifest.read_dropped(table(stage))}
    return [
        dropped.get(image.file)
        or Drop(
            index=image.orig_idx, file=image.file, reason=DropReason.NO_PHOTOGRAPH, detail="the source has no such file"
        )
        for image in images
        if image.file not in arrived
    ]


def _rule(params: SelectParams) -> str:
    return f"the {'best' if params.method == 'quality' else 'first'} {params.keep}"


def _histogram(rows: Sequence[Scored], outcomes: Sequence[Selected | Drop]) -> list[tuple[float, int, int]]:
    """Counts by quality: the middle of a bin, kept, dropped; bins from the lowest to the highest figure met."""
    kept, dropped = Counter[int](), Counter[int]()
    for row, outcome in zip(rows, outcomes, strict=True):
        if row.quality is not None:
            (dropped if isinstance(outcome, Drop) else kept)[math.floor(row.quality * BINS_PER_UNIT)] += 1
    bins = kept | dropped
    return [
        (round((place + 0.5) / BINS_PER_UNIT, 6), kept[place], dropped[place])
        for place in range(min(bins, default=0), max(bins, default=-1) + 1)
    ]


def _through(stage: str, path: Path) -> tuple[str, int, int, str]:
    account = manifest.account(path)
    reasons = "; ".join(f"{reason}: {count}" for reason, count in account.dropped.items())
    return stage, account.kept, account.given - account.kept, reasons


def _write_csv(path: Path, columns: Sequence[str], records: Iterable[Sequence[Any]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(records)
    atomic.write_bytes(path, text.getvalue().encode())


if __name__ == "__main__":
    main(select)
