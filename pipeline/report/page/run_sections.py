"""The sections about a training run: curves, samples, metrics, neighbours, videos."""

import base64
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.params import ReportParams
from pipeline.provenance import RECORD, read_json
from pipeline.report.page import figures, pictures, published, words
from pipeline.report.page.blocks import (
    Block,
    Chart,
    Gallery,
    Note,
    Picture,
    Section,
    Slides,
    Table,
    Tiles,
    Video,
)
from pipeline.report.page.figures import Band, Points
from pipeline.report.page.results import Results, Row, Stage, number, read_points, read_rows

IMAGES = "images shown, in thousands"
CURVES: Sequence[tuple[str, str, Sequence[tuple[str, str]], str]] = (
    ("loss", "Loss", (("loss/discriminator", "discriminator"), ("loss/generator", "generator")), ""),
    ("score", "Score of the discriminator", (("score/real", "real images"), ("score/fake", "generated images")), ""),
    ("gradient-norm", "Norm of the gradient of the penalty", (("gradient_norm", "gradient norm"),), ""),
    ("sample-std", "Difference between samples", (("sample_std", "standard deviation"),), "near 0: all are the same"),
    ("learning-rate", "Learning rate", (("learning_rate", "learning rate"),), ""),
    ("minibatch", "Images per minibatch", (("minibatch", "images"),), ""),
    ("skipped", "Skipped updates", (("skipped_share", "share of a tick's updates"),), "gradients were not finite"),
)
"""Name, title, files below live/plots/metrics with their labels, remark."""

STEPS = ("learning-rate", "minibatch")
NO_CURVES = ("kimg", "eta_seconds", "unix_time")

SOURCES = {
    "synthetic": "drawn faces (the demo)",
    "celebahq": "CelebA, as CelebA-HQ",
    "celeba": "photographs of CelebA",
    "celeba-128": "CelebA's aligned photographs",
    "folder": "a folder of photographs",
    "cifar10": "CIFAR-10",
    "mnist": "MNIST",
    "mnist-rgb": "MNIST, three digits in red, green and blue",
}
"""In words, what a data set was made from."""

VIDEOS = {"interpolation.mp4": "Interpolation between latents", "progress.mp4": "Progress of the run"}
METRIC_WORDS = (
    (r"swd(\w+?)_(\d+|mean)$", "Sliced Wasserstein distance x 1,000, level {1}, over {0} images; lower is better"),
    (r"msssim(\w+)$", "MS-SSIM between pairs of images, {0} pairs; as low as that of reals: as much variation"),
    (r"fid(\w+)$", "Fréchet Inception distance over {0} images; lower is better"),
    (r"is([^_]+)$", "Inception score over {0} images; higher is better"),
    (r"is(\w+)_std$", "Inception score, standard deviation over its splits of {0} images"),
    (r"kid(\w+)$", "Kernel Inception distance over {0} images; lower is better"),
    (r"precision(\w+)$", "Precision over {0} images; higher is better"),
    (r"(?:recall)(\w+)$", "Coverage of the reals (recall) over {0} images; higher is better"),
    (r"modes([^_]+)$", "Modes of 1,000 found in {0} images; higher is better"),
    (r"modes(\w+)_kl$", "Divergence of the frequencies of modes from uniform over {0} images; lower is better"),
)


def run_sections(results: Results, name: str, limits: ReportParams) -> Iterator[Section]:
    """The sections of the run `name`."""
    train, evaluation = results.stage(f"train@{name}"), results.stage(f"evaluate@{name}")
    yield Section(f"run-{name}", f"Run {name}", list(_overview(results, train)))
    yield Section(f"run-{name}-curves", "Training curves", list(_curves(train, name)), level=3)
    yield Section(f"run-{name}-samples", "Samples", list(_samples(train.folder, name, limits)), level=3)
    blocks = list(_metrics(results, train, evaluation, name))
    yield Section(f"run-{name}-metrics", "Metrics", blocks, level=3)
    yield Section(
        f"run-{name}-more", "Neighbours and videos", list(_more(train.folder, name, results, limits)), level=3
    )


def run_seconds(train: Stage) -> float | None:
    """The time of a run: of all its sessions by timing.csv, else of the last one; None if neither is known."""
    return _timed(train) or number(train.report.get("seconds"))


def _timed(train: Stage) -> float | None:
    points = read_points(train.folder / "timing.csv", "kimg", "seconds")
    return points[-1][1] if points else None


def run_params(train: Stage) -> Mapping[str, Any]:
    """The params of a run, as its record or its newest checkpoint states them; empty if neither is there."""
    stated = train.record.get("run")
    if not stated:
        checkpoints = sorted(train.folder.glob("checkpoint-*.json"))
        stated = read_json(checkpoints[-1]).get("run") if checkpoints else None
    return stated or {}


def _overview(results: Results, train: Stage) -> Iterator[Block]:
    numbers, run = train.numbers, run_params(train)
    if not train.folder.is_dir():
        yield Note(f"The run is not here: dvc repro {train.name}, or dvc pull {train.folder.as_posix()}.", missing=True)
    best: Mapping[str, Any] = numbers.get("best", {})
    value = next((f"{key} {words.figure(value)}" for key, value in best.items() if key != "network"), "")
    seconds = run_seconds(train)
    tiles = [
        (
            "shown",
            f"{float(numbers.get('images', 0)) / 1000:,.0f} kimg" if "images" in numbers else "",
            "of real images",
        ),
        ("resolution", f"{words.figure(numbers.get('resolution'))}²" if "resolution" in numbers else "", ""),
        ("best snapshot", Path(str(best.get("network", ""))).name.removesuffix(".safetensors"), value),
        ("time", words.seconds(seconds), "of all its sessions" if _timed(train) else "of its last session"),
    ]
    yield Tiles([tile for tile in tiles if tile[1]])
    dataset = run.get("dataset")
    if dataset:
        kind = source_of(results, str(dataset))
        yield Note(f"Trained on {dataset}, made from {SOURCES.get(kind, kind)}.")
    if run:
        yield Table("Params of the run", ("key", "value"), words.flat(dict(run)), folded=True)


def source_of(results: Results, dataset: str) -> str:
    """What a data set was made from: a kind of `download.source`, `celebahq`, or `lsun/CATEGORY`; empty if unknown."""
    folder = Path(dataset)
    if folder.parent.name == "lsun":
        record = read_json(results.root / folder / RECORD)
        kind = record.get("params", {}).get("lsun.source", {}).get("kind", "")
        return f"lsun/{folder.name}" if kind in ("network", "local") else f"{kind or 'unknown'} scenes"
    if (results.root / folder) != results.data / "shard":
        return "other pictures"
    source = results.stage("download").record.get("params", {}).get("download", {}).get("source", {})
    kind = str(source.get("kind", "unknown"))
    params = results.stage("shard").record.get("params", {})
    images = results.stage("shard").numbers.get("images")
    whole = kind == "celeba" and params.get("align.resolution") == 1024 and images == 30000
    return "celebahq" if whole else kind


def bands(folder: Path) -> list[Band]:
    """The resolutions of a run by its ticks, and where layers faded in."""
    plots = folder / "live" / "plots" / "metrics"
    sides = read_points(plots / "resolution.tsv", "step", "resolution", 1000)
    lods = dict(read_points(plots / "lod.tsv", "step", "lod", 1000))
    found: list[Band] = []
    start = 0.0
    fading: list[tuple[float, float]] = []
    for number_, (kimg, side) in enumerate(sides):
        before = sides[number_ - 1][0] if number_ else 0.0
        if number_ and side != sides[number_ - 1][1]:
            found.append(Band(start, before, int(sides[number_ - 1][1]), tuple(fading)))
            start, fading = before, []
        if lods.get(kimg, 0.0) % 1:
            joined = fading and fading[-1][1] == before
            fading[-1:] = [(fading[-1][0], kimg)] if joined else [*fading[-1:], (before, kimg)]
    if sides:
        found.append(Band(start, sides[-1][0], int(sides[-1][1]), tuple(fading)))
    return found


def _curves(train: Stage, name: str) -> Iterator[Block]:
    plots, shaded = train.folder / "live" / "plots" / "metrics", bands(train.folder)
    if shaded:
        yield Note("Every second resolution is shaded. While the grey bar below is there, new layers fade in.")
    for chart, title, files, remark in CURVES:
        series = {label: read_points(plots / f"{file}.tsv", "step", Path(file).name, 1000) for file, label in files}
        series = {label: points for label, points in series.items() if points}
        if chart == "skipped" and not any(value for points in series.values() for _, value in points):
            continue
        if series:
            yield _chart(f"{name}-{chart}", title, series, shaded, remark=remark, steps=chart in STEPS)
    for path in sorted(plots.glob("swd*.tsv")):
        points = read_points(path, "step", path.stem, 1000)
        if points:
            title = f"{path.stem}: distance of each snapshot to the reals"
            yield _chart(f"{name}-{path.stem}", title, {path.stem: points}, shaded, remark="lower is better", zero=True)
    yield from _timing(train.folder / "timing.csv", name, shaded)
    if not shaded:
        yield Note("The curves (live/) of the run are not here.", missing=True)


def _chart(
    name: str,
    title: str,
    series: Mapping[str, Points],
    shaded: Sequence[Band],
    *,
    remark: str = "",
    baselines: Mapping[str, float] | None = None,
    steps: bool = False,
    zero: bool = False,
) -> Chart:
    label = next(iter(series)) if len(series) == 1 else title
    svg = figures.lines(
        name, series, x_label=IMAGES, y_label=label, bands=shaded, baselines=baselines, zero=zero or steps, steps=steps
    )
    return Chart(name, title, svg, remark, _numbers_of(title, series))


def _numbers_of(title: str, series: Mapping[str, Points]) -> Table:
    """The numbers of a chart, at most about 60 rows of them."""
    rows = [
        (words.figure(x), *(words.figure(values.get(label)) for label in series))
        for x, values in figures.merged(series, 60)
    ]
    return Table(f"Numbers: {title}", ("kimg", *series), rows, folded=True)


def _timing(path: Path, name: str, shaded: Sequence[Band]) -> Iterator[Block]:
    """Curves of the columns of timing.csv, whose names have their units; no clock, and nothing that stays 0."""
    rows = read_rows(path)
    for column in rows[0] if rows else ():
        points = read_points(path, "kimg", column)
        if column not in NO_CURVES and any(value for _, value in points):
            label = column.replace("_", " ")
            if column == "seconds" and points[-1][1] > 7200:
                label, points = "hours", [(x, seconds / 3600) for x, seconds in points]
            remark = "Depends on the machine: equal runs differ in it."
            title = f"Time: {label}"
            yield _chart(f"{name}-timing-{_slug(column)}", title, {label: points}, shaded, remark=remark, zero=True)


def _samples(folder: Path, name: str, limits: ReportParams) -> Iterator[Block]:
    grids = sorted((folder / "grids").glob("samples-*.png"))
    sides = read_points(folder / "live" / "plots" / "metrics" / "resolution.tsv", "step", "resolution")
    others: list[Picture] = []
    places: dict[int, int] = {}
    for path in sorted((folder / "grids").glob("reals-*.png")):
        side = int(path.stem.partition("-")[2])
        picture = pictures.of_file(path, limits.sheet_pixels, f"Real images at {side}²", f"real, {side}²")
        if picture:
            places[side] = len(others)
            others.append(picture)
    frames: list[Picture] = []
    partners: list[int] = []
    for path in pictures.spread(grids, limits.samples_shown):
        shown = int(path.stem.partition("-")[2])
        side = _side_at(sides, shown)
        label = f"{shown / 1000:,.0f} kimg" + (f", {side}²" if side else "")
        picture = pictures.of_file(path, limits.sheet_pixels, f"Generated images after {label}", label)
        if picture:
            frames.append(picture)
            partners.append(places.get(side, len(others) - 1))
    if frames:
        yield Slides(
            f"{name}-samples",
            "Samples by images shown, next to real images of the same resolution",
            frames,
            others,
            partners if others else (),
            f"{len(frames)} of {len(grids)} grids. All are of the same latents: each place is one latent.",
        )
    finals = [
        pictures.of_file(folder / f"{file}.png", limits.sheet_pixels, alt, caption)
        for file, alt, caption in (
            ("samples", "Generated images of the last snapshot", "generated"),
            ("reals", "Real images", "real"),
        )
    ]
    shown = [picture for picture in finals if picture]
    if shown and not frames:
        yield Gallery("Generated and real", shown)
    rows = pictures.of_file(folder / "progress.png", limits.sheet_pixels, "A row of samples for each resolution")
    if rows:
        note = "The same latents at the end of each resolution, the lowest on top."
        yield Gallery("One row per resolution", [rows], note)
    if not frames and not shown:
        yield Note("The sheets of samples are not here.", missing=True)


def _side_at(sides: Points, shown: int) -> int:
    """The resolution of the last tick at or before `shown` images; of the first one before it; 0 without ticks."""
    reached = [side for images, side in sides if images <= shown]
    return int(reached[-1] if reached else sides[0][1]) if sides else 0


def _metrics(results: Results, train: Stage, evaluation: Stage, name: str) -> Iterator[Block]:
    numbers = evaluation.numbers
    if not numbers:
        yield Note(f"Not evaluated: dvc repro evaluate@{name}.", missing=True)
        return
    run, protocol = run_params(train), evaluation.record.get("params", {}).get("evaluate", {})
    kind, resolution = source_of(results, str(run.get("dataset", ""))), int(run.get("resolution", 0))
    figures_ = {figure.name: figure for figure in published.figures(kind, resolution, run, protocol)}
    reals: Mapping[str, Any] = numbers.get("reals", {})
    rows = [
        (
            key,
            words.figure(value),
            words.figure(reals.get(key)),
            words.figure(figures_[key].value) if key in figures_ else "",
            meaning_of(key),
        )
        for key, value in sorted(numbers.items(), key=lambda item: _place(item[0]))
        if meaning_of(key)
    ]
    columns = ("metric", "last snapshot", "reals", "published", "what it is")
    if not figures_:
        columns, rows = (*columns[:3], columns[4]), [(*row[:3], row[4]) for row in rows]
    yield Table("Metrics of the last snapshot, and of real images against other real images", columns, rows)
    sources = sorted({figures_[key].source for key, *_ in rows if key in figures_})
    yield Note(
        f"Published: {'; '.join(sources)}." if sources else published.why_none([key for key, *_ in rows], protocol)
    )
    if isinstance(numbers.get("inception"), str):
        yield Note(f"FID, inception score, KID, precision and recall: {numbers['inception']}.")
    if "images_used" in reals:
        used, whole = reals["images_used"], reals["images"]
        yield Note(f"Measured against {used:,} of the {whole:,} images of the data set; a smaller set is repeated.")
    if protocol:
        yield Table("Protocol of the evaluation", ("key", "value"), words.flat(dict(protocol)), folded=True)
    shaded = bands(train.folder)
    for path in sorted(evaluation.folder.glob("*.csv")):
        yield from _metric_charts(read_rows(path), path, name, reals, shaded)


def _metric_charts(
    rows: Sequence[Row], path: Path, name: str, reals: Mapping[str, Any], shaded: Sequence[Band]
) -> Iterator[Block]:
    """One chart for metrics of a kind whose numbers are comparable, such as the levels of SWD; else one for each."""
    columns = [column for column in (rows[0] if rows else ()) if column not in ("kimg", "resolution")]
    groups = [columns] if path.stem == "swd" else [[column] for column in columns]
    for group in groups:
        series = {column: read_points(path, "kimg", column) for column in group}
        series = {column: points for column, points in series.items() if points}
        if series:
            title = "SWD x 1,000" if path.stem == "swd" else next(iter(series))
            base = {column: float(reals[column]) for column in series if number(reals.get(column)) is not None}
            remark = "Dashed: real images against other real images." if base else ""
            chart = f"{name}-metric-{_slug(group[0] if path.stem != 'swd' else 'swd')}"
            yield _chart(chart, title, series, shaded, remark=remark, baselines=base, zero=path.stem == "swd")


def _place(metric: str) -> tuple[str, int]:
    """Levels of a metric from the finest to the coarsest, then their mean."""
    kind, _, level = metric.partition("_")
    return kind, -int(level) if level.isdecimal() else 0


def meaning_of(metric: str) -> str:
    """What a metric measures, with the counts of its name; empty for what is no metric."""
    for pattern, text in METRIC_WORDS:
        if found := re.match(pattern, metric):
            return text.format(*found.groups())
    return ""


def _more(folder: Path, name: str, results: Results, limits: ReportParams) -> Iterator[Block]:
    picture = pictures.of_file(
        folder / "neighbours.png", limits.sheet_pixels, "Sheet: generated images and their nearest real images"
    )
    if picture:
        yield Gallery("Nearest neighbours", [picture], "Generated images, each with the real images nearest to it.")
    rows = read_rows(folder / "neighbours.csv")
    if rows:
        shown = [tuple(row.values()) for row in rows[:200]]
        caption = "Nearest neighbours" + (f", the first 200 of {len(rows):,}" if len(rows) > 200 else "")
        yield Table(caption, tuple(rows[0]), shown, folded=True)
    videos = [path for path in sorted(folder.glob("*.mp4")) if path.is_file()]
    for path in videos:
        yield _video(path, results, limits)
    if not picture and not rows:
        yield Note(f"No nearest neighbours: celebahq neighbours {folder.as_posix()}.", missing=True)
    if not videos:
        make = f"celebahq video interpolation {folder.as_posix()}, celebahq video progress {folder.as_posix()}"
        yield Note(f"No video: {make}.", missing=True)


def _video(path: Path, results: Results, limits: ReportParams) -> Video:
    size, title = path.stat().st_size, VIDEOS.get(path.name, path.stem)
    if size <= limits.video_mib * 2**20:
        content = base64.b64encode(path.read_bytes()).decode()
        return Video(title, f"data:video/mp4;base64,{content}", True, f"{path.name}, {words.size(size)}")
    link = os.path.relpath(path, results.page.parent).replace(os.sep, "/")
    return Video(title, link, False, f"{words.size(size)}, above report.video_mib in params.yaml")


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
