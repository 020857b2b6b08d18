"""Stage select: ranks the scored faces and keeps the best, or the first ones."""

import csv
import io
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pipeline import atomic, manifest
from pipeline.errors import DropReason
from pipeline.manifest import Drop, Scored, Selected, extend
from pipeline.params import SelectParams
from pipeline.quality import best_first
from stages import DATA, main, read_params, stage_run, table

BEFORE = ("extract", "align", "crop", "denoise", "superres")
BINS_PER_UNIT = 50


def select() -> None:
    """Write `data/select/`: the table of ranks, the histogram of the figure, and what each stage so far let through."""
    params = read_params()
    inputs = [table(stage) for stage in BEFORE]
    with stage_run("select", params={"select": params.select}, inputs=inputs, out=DATA / "select") as run:
        rows = manifest.read_kept(table("superres"), Scored)
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
    order = best_first([row.quality for row in rows])
    ranks = dict(zip(order, range(len(rows)), strict=True))
    kept = set((order if params.method == "quality" else list(range(len(rows))))[: params.keep])
    return [
        extend(row, Selected, rank=ranks[position])
        if position in kept
        else Drop(
            index=row.index,
            file=row.file,
            reason=DropReason.LOW_QUALITY,
            detail=f"rank {ranks[position]} of {len(rows)}, quality {row.quality:.6f}; {_rule(params)} are kept",
        )
        for position, row in enumerate(rows)
    ]


def _rule(params: SelectParams) -> str:
    return f"the {'best' if params.method == 'quality' else 'first'} {params.keep}"


def _histogram(rows: Sequence[Scored], outcomes: Sequence[Selected | Drop]) -> list[tuple[float, int, int]]:
    """Counts by quality: the middle of a bin, kept, dropped; bins from the lowest to the highest figure met."""
    bins = [math.floor(row.quality * BINS_PER_UNIT) for row in rows]
    kept, dropped = dict.fromkeys(bins, 0), dict.fromkeys(bins, 0)
    for place, outcome in zip(bins, outcomes, strict=True):
        (dropped if isinstance(outcome, Drop) else kept)[place] += 1
    return [
        (round((place + 0.5) / BINS_PER_UNIT, 6), kept.get(place, 0), dropped.get(place, 0))
        for place in range(min(bins), max(bins) + 1)
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
