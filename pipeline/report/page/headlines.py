"""The few numbers and curves of each data set and run that DVC shows: `dvc metrics show`, `dvc plots show`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.report.page.results import Results, read_points, read_rows

CURVES = Path("live/plots/metrics")


def is_headline(metric: str) -> bool:
    """Whether a metric is one of the few that stand for a run: mean SWD, MS-SSIM, FID, modes."""
    return metric.startswith(("fid", "msssim", "modes")) or (metric.startswith("swd") and metric.endswith("_mean"))


def headlines(results: Results) -> dict[str, dict[str, Any]]:
    """A few numbers by name of a file, without its suffix; nothing of what has not run."""
    found: dict[str, dict[str, Any]] = {}
    for file, name in [("faces", "shard"), *((f"lsun/{name}", f"lsun@{name}") for name in results.categories)]:
        numbers = results.stage(name).numbers
        if "images" in numbers:
            found[file] = {"images": numbers["images"]}
    for name in results.runs:
        train, evaluation = results.stage(f"train@{name}").numbers, results.stage(f"evaluate@{name}").numbers
        shown = {"kimg": train["images"] / 1000} if "images" in train else {}
        values = shown | {key: value for key, value in evaluation.items() if is_headline(key)}
        if values:
            found[f"runs/{name}"] = values
    return found


def curves(results: Results) -> Iterator[tuple[str, list[str], list[tuple[float, ...]]]]:
    """Name of a file, columns and rows: the losses, the mean SWD, and MS-SSIM of each run over `kimg`."""
    for name in results.runs:
        train, evaluation = results.stage(f"train@{name}").folder, results.stage(f"evaluate@{name}").folder
        files = [(train / CURVES / "loss" / f"{network}.tsv", network) for network in ("discriminator", "generator")]
        first, second = (read_points(path, "step", column, 1000) for path, column in files)
        if first and second:
            rows = [(x, one, two) for (x, one), (_, two) in zip(first, second, strict=False)]
            yield f"loss/{name}", ["kimg", "discriminator", "generator"], rows
        for kind in ("swd", "msssim"):
            path = evaluation / f"{kind}.csv"
            column = next((column for column in _columns(path) if is_headline(column)), None)
            points = read_points(path, "kimg", column) if column else []
            if points:
                yield f"{kind}/{name}", ["kimg", kind], [*points]


def _columns(path: Path) -> list[str]:
    rows = read_rows(path)
    return list(rows[0]) if rows else []
