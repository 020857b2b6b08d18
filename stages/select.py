"""Stage select: ranks the scored faces and keeps the best ones, the first ones, or those of the published list."""

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline import atomic, manifest
from pipeline.errors import DropReason, RejectedInputError
from pipeline.faces.quality import best_first
from pipeline.manifest import Drop, Input, Scored, Selected
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
        scores = manifest.kept_columns(table("superres"), ["file", "quality"])
        images: list[PublishedImage] | None = None
        if params.select.method == "published":
            images = read_list(params.exact.image_list)[: params.select.keep]
            chosen = keep_published(scores["file"].to_pylist(), images)
        else:
            chosen = keep_best(scores["quality"].fill_null(0.0).to_pylist(), params.select)
        # dropping is the purpose of this stage, so no fraction of it is too much
        run.count(manifest.write_tables(run.table, Selected, selected(table("superres"), chosen)), max_dropped=1.0)
        if images is not None:
            manifest.write_rows(run.work / "absent.parquet", Input, _absent(images, run.table, before))
        run.report["asked"] = params.select.keep
        if compared:
            run.report |= _compared(read_list(params.exact.image_list))
        _write_csv(run.work / "quality_histogram.csv", ("quality", "kept", "dropped"), _histogram(run.table, scores))
        counts = [*(_counts(table(stage)) for stage in before), _counts(run.table)]
        _write_csv(run.work / "funnel.csv", ("stage", "kept", "dropped", "reasons"), counts)


def _can_be_compared(params: Params) -> bool:
    """Whether scored faces of CelebA can be compared with the published list."""
    celeba = params.download.source.kind == "celeba" and params.align.photographs == "all"
    return celeba and params.superres.method != "delta" and params.exact.image_list.is_dir()


def _compared(images: Sequence[PublishedImage]) -> dict[str, Any]:
    """For the report: how many scored faces are in the published list, and how well each figure agrees with it."""
    names = ["file", "quality", "sharpness", "photograph", "shrink", "zoom"]
    faces = manifest.kept_columns(table("superres"), names)
    is_scored = faces["quality"].is_valid()
    listed_N = keep_published(faces["file"].to_pylist(), images).ranks_N >= 0
    chosen = listed_N[is_scored.to_numpy()].tolist()
    if not any(chosen) or all(chosen):
        return {}
    found = agreements(faces.filter(is_scored), chosen)
    return {"agreement": {"listed": sum(chosen)} | {name: asdict(figure) for name, figure in found.items()}}


@dataclass(frozen=True, slots=True)
class Chosen:
    """The ranks of the rows of a table (N,), -1 where the row is dropped, and why these are: `detail` of a place."""

    ranks_N: NDArray[np.int64]
    reason: DropReason
    detail: Callable[[int], str]


def keep_best(scores: Sequence[float], params: SelectParams) -> Chosen:
    """Each row, by its score, with its rank by quality, or dropped.

    Rank 0 is the best, equal qualities go by index. Kept are the best rows, or the first ones for the method `index`.
    """
    ranks_N = np.empty(len(scores), np.int64)
    ranks_N[best_first(scores)] = np.arange(len(scores))
    by_quality = params.method == "quality"
    rule = f"the {'best' if by_quality else 'first'} {params.keep} are kept"
    kept_N = (ranks_N if by_quality else np.arange(len(scores))) < params.keep
    return Chosen(
        np.where(kept_N, ranks_N, -1),
        DropReason.LOW_QUALITY,
        lambda place: f"rank {ranks_N[place]} of {len(scores)}, quality {scores[place]:.6f}; {rule}",
    )


def keep_published(files: Sequence[str], images: Sequence[PublishedImage]) -> Chosen:
    """Each row, by its photograph, with its image's number in the published list as rank, or dropped.

    Of several faces of a photograph the first is published.
    """
    numbers = {image.file: image.idx for image in images}
    ranks_N = np.array([numbers.pop(file, -1) for file in files], np.int64)
    return Chosen(ranks_N, DropReason.NOT_PUBLISHED, lambda _: f"none of the first {len(images)} images is made of it")


def selected(scored: Path, chosen: Chosen) -> Iterator[pa.Table]:
    """The kept rows of a table of `Scored` rows as those of this stage's table, some thousand at a time."""
    start = 0
    for rows in manifest.kept_groups(scored, Scored):
        ranks_N = chosen.ranks_N[start : start + len(rows)]
        kept = rows.filter(pa.array(ranks_N >= 0)).append_column("rank", pa.array(ranks_N[ranks_N >= 0]))
        details = [chosen.detail(start + place) for place in np.flatnonzero(ranks_N < 0).tolist()]
        dropped = manifest.dropped_rows(Selected, rows.filter(pa.array(ranks_N < 0)), chosen.reason, details)
        schema = manifest.schema_of(Selected)
        both = pa.concat_tables([manifest.with_columns(kept, schema), dropped])
        yield both.sort_by([("index", "ascending"), ("face", "ascending")])
        start += len(rows)


def _absent(images: Sequence[PublishedImage], path: Path, before: Sequence[str]) -> list[Drop]:
    """The images of the list without a row in the table `path`: the drop of their photograph, or NO_PHOTOGRAPH."""
    found = {*manifest.kept_columns(path, ["file"])["file"].to_pylist()}
    images = [image for image in images if image.file not in found]
    files = {image.file for image in images}
    dropped = {drop.file: drop for stage in before for drop in manifest.iterate_dropped(table(stage), files)}
    missing = RejectedInputError(DropReason.NO_PHOTOGRAPH, "the source has no such file")
    return [
        dropped.get(image.file) or Drop.of(Input(index=image.orig_idx, file=image.file), missing) for image in images
    ]


def _histogram(path: Path, scores: pa.Table) -> list[tuple[float, int, int]]:
    """Counts by quality: the middle of a bin, kept, dropped; from the lowest bin in use to the highest."""
    all_N, kept_K = (
        np.floor(columns["quality"].drop_null().to_numpy() * BINS_PER_UNIT).astype(np.int64)
        for columns in (scores, manifest.kept_columns(path, ["quality"]))
    )
    if not len(all_N):
        return []
    counts, kept = (np.bincount(bins, minlength=all_N.max() + 1) for bins in (all_N, kept_K))
    return [
        (round((place + 0.5) / BINS_PER_UNIT, 6), int(kept[place]), int(counts[place] - kept[place]))
        for place in range(all_N.min(), all_N.max() + 1)
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
