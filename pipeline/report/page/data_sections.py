"""The sections about the data: funnel, dropped, suspicions, quality, before and after, sheets, data sets."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow.parquet as pq
from PIL import Image

from pipeline import suspicions
from pipeline.params import ReportParams
from pipeline.report.page import dropped, figures, pictures, words
from pipeline.report.page.blocks import (
    Block,
    Chart,
    Comparison,
    Gallery,
    Note,
    Section,
    Table,
    Tiles,
)
from pipeline.report.page.results import Results, Stage, number, read_points, read_rows

TILE = 256
"""Pixels of a tile of superres/before_after.png: region, restored region, final image, its detail."""


def data_sections(results: Results, limits: ReportParams) -> Iterator[Section]:
    """The sections on the faces and on each LSUN category; those that have nothing to show say so."""
    faces = [stage for stage in results.stages() if "@" not in stage.name]
    if len([stage for stage in faces if stage.name not in ("download", "detect")]) == 0:
        yield Section("data", "Data", [Note("No stage of the faces has run: dvc repro shard.", missing=True)])
    else:
        yield Section("data", "Data: what was kept", list(_funnel(faces)))
        yield Section("dropped", "Dropped, with examples", list(_dropped(results, faces, limits)), level=3)
        yield Section("suspicions", "Suspicions", list(_suspicions(faces)), level=3)
        yield Section("quality", "Quality", list(_quality(results, limits)), level=3)
        yield Section("restoration", "Before and after", list(_restoration(results, limits)), level=3)
        yield Section("faces", "The data set", list(_data_set(results.stage("shard"), limits)), level=3)
        ledger = results.data / "shard" / "ledger.parquet"
        if ledger.is_file():
            yield Section("exact", "CelebA-HQ as published", list(_ledger(ledger)), level=3)
    for name in results.categories:
        stage = results.stage(f"lsun@{name}")
        blocks = [_accounts([stage]), *_dropped(results, [stage], limits), *_data_set(stage, limits)]
        yield Section(f"lsun-{name}", f"LSUN: {name}", blocks)


def build_sections(stage: Stage, limits: ReportParams) -> Iterator[Section]:
    """The sections on a data set that `celebahq build` wrote, or that was copied, to the folder of `stage`."""
    folder = stage.folder
    blocks: list[Block] = []
    lost = read_rows(folder / "dropped.csv")
    if lost:
        reasons = Counter((row.get("stage", ""), row.get("reason", "")) for row in lost)
        rows = [(stage_name, reason, count) for (stage_name, reason), count in sorted(reasons.items())]
        blocks.append(Table("Dropped", ("stage", "reason", "files"), rows))
    blocks += _suspicions([stage])
    blocks += _data_set(stage, limits)
    for name, alt in (
        ("detected.png", "detected faces with box and landmarks"),
        ("faces.png", "faces of the data set"),
    ):
        picture = pictures.of_file(folder / name, limits.sheet_pixels, f"Contact sheet: {alt}")
        if picture:
            blocks.append(Gallery(alt.capitalize(), [picture], half=True))
    yield Section("data", f"Data set {folder.resolve().name}", blocks)


def _funnel(stages: Sequence[Stage]) -> Iterator[Block]:
    counted = {stage.name: found for stage in stages if (found := _counted(stage))}
    if counted:
        kept, lost = [found[1] for found in counted.values()], [sum(found[2].values()) for found in counted.values()]
        svg = figures.stacked_bars("funnel", list(counted), {"kept": kept, "dropped": lost}, x_label="inputs")
        yield Chart("funnel", "What each stage kept", svg, "Each stage reads what the one above it kept.")
    yield _accounts(stages)


def _accounts(stages: Sequence[Stage]) -> Block:
    rows = [
        (
            stage.name,
            given,
            kept,
            sum(lost.values()),
            "; ".join(f"{count:,} {reason}" for reason, count in lost.items()),
        )
        for stage in stages
        if (found := _counted(stage))
        for given, kept, lost in [found]
    ]
    if not rows:
        return Note("No stage has counted its inputs.", missing=True)
    return Table("In, kept, and dropped by reason", ("stage", "in", "kept", "dropped", "reasons"), rows, half=True)


def _counted(stage: Stage) -> tuple[int, int, dict[str, int]] | None:
    """The counts of a stage that has inputs: detect has none where landmarks were given."""
    found = dropped.counts(stage)
    return found if found and found[0] else None


def _dropped(results: Results, stages: Sequence[Stage], limits: ReportParams) -> Iterator[Block]:
    found = list(dropped.blocks(results.data, stages, shown=limits.dropped_shown, pixels=limits.thumbnail_pixels))
    yield from found or [Note("Nothing was dropped, or the tables are not here.")]


def _suspicions(stages: Sequence[Stage]) -> Iterator[Block]:
    rows = [
        (stage.name, found.kind, found.count, found.of, ", ".join(found.examples))
        for stage in stages
        for found in suspicions.read(stage.folder)
    ]
    if rows:
        columns = ("stage", "what looks wrong", "images", "of", "examples")
        yield Table("What looks wrong, but can be used", columns, rows)
    else:
        yield Note("Nothing looked wrong.")


def _quality(results: Results, limits: ReportParams) -> Iterator[Block]:
    rows = read_rows(results.data / "select" / "quality_histogram.csv")
    if rows:
        middles = [float(row["quality"]) for row in rows]
        parts = {name: [int(row[name]) for row in rows] for name in ("kept", "dropped")}
        cut = _cut(results.data / "select" / "select.parquet") if any(parts["dropped"]) else None
        svg = figures.histogram("quality-histogram", middles, parts, cut=cut, x_label="quality, 0 to 1")
        table = Table("Images by quality", ("quality", "kept", "dropped"), [tuple(row.values()) for row in rows], True)
        note = "The quality figure is explained in docs/quality.md."
        if cut is not None:
            note = f"The cut is the quality of the worst image that was kept, {cut:.4f}. {note}"
        yield Chart("quality-histogram", "Quality of the scored images", svg, note, table)
    else:
        yield Note("No image was scored: the published list or the order of the source selects them.", missing=True)
    yield from _agreement(results.stage("select"))
    best = pictures.of_file(
        results.data / "superres" / "best_and_worst.png",
        limits.sheet_pixels,
        "Sheet: the best eight images with a detail of each, then the worst eight",
    )
    if best:
        note = "Above the best eight with a detail each, below the worst."
        yield Gallery("The best and the worst", [best], note, half=True)


def _agreement(stage: Stage) -> Iterator[Block]:
    """How well the figure, and plainer ones, agree with the published list, where that was compared."""
    found = dict(stage.numbers.get("agreement", {}))
    if found:
        listed = found.pop("listed")
        rows = [(name.replace("_", " "), f"{of['auc']:.3f}", f"{of['overlap']:.1%}") for name, of in found.items()]
        caption = f"Agreement with the published list, of which {listed:,} images were scored"
        yield Table(caption, ("figure", "AUC", "in the best as many"), rows)


def _cut(table: Path) -> float | None:
    """The lowest quality of a kept row; None where none has one, or rows were not kept by it."""
    if not table.is_file() or "quality" not in pq.read_schema(table).names:
        return None
    rows = pq.read_table(table, columns=["quality", "drop_reason"])
    kept = rows.filter(rows["drop_reason"].is_null())["quality"].drop_null().to_pylist()
    return min(kept, default=None)


def _restoration(results: Results, limits: ReportParams) -> Iterator[Block]:
    path = results.data / "superres" / "before_after.png"
    faces = pictures.columns(path, TILE, limits.faces_compared)
    if faces:
        pairs = [
            (
                pictures.encode(Image.fromarray(tiles[0]), TILE, f"Face {number}: the photograph, turned upright"),
                pictures.encode(Image.fromarray(tiles[2]), TILE, f"Face {number}: the final image"),
            )
            for number, tiles in enumerate(faces, 1)
        ]
        yield Comparison(
            "restored",
            "Photograph and final image",
            ("photograph", "final image"),
            pairs,
            "The region of the photograph at the size of the preview, and the final image after denoising, "
            "super-resolution, padding and the oriented crop.",
        )
    else:
        yield Note("No faces to compare: superres.previews in params.yaml is 0, or superres has not run.", missing=True)
    fits = [
        (results.stage("fit_denoise"), "JPEG artefact removal"),
        (results.stage("fit_superres"), "super-resolution"),
    ]
    for draw in (_fit_curve, _fit_patches):
        for stage, what in fits:
            yield from draw(stage, what, limits)


def _fit_curve(stage: Stage, what: str, _: ReportParams) -> Iterator[Block]:
    points = read_points(stage.folder / "history.csv", "step", "psnr")
    if points:
        base = read_points(stage.folder / "history.csv", "step", "psnr_before")
        series = {"network": points, "without": base} if base else {"network": points}
        svg = figures.lines(f"{stage.name}-psnr", series, x_label="step", y_label="PSNR, dB")
        gain = number(stage.numbers.get("psnr_gain"))
        note = f"On held-out photographs{'' if gain is None else f'; gain {gain:.2f} dB'}."
        yield Chart(f"{stage.name}-psnr", f"Training of the network for {what}", svg, note)


def _fit_patches(stage: Stage, what: str, limits: ReportParams) -> Iterator[Block]:
    sheet = pictures.of_file(
        stage.folder / "before_after.png", limits.sheet_pixels, f"Sheet: patches before and after {what}"
    )
    if sheet:
        yield Gallery(f"Patches before and after {what}", [sheet], half=True)


def _data_set(stage: Stage, limits: ReportParams) -> Iterator[Block]:
    numbers = stage.numbers
    if "images" in numbers:
        params = stage.record.get("params", {})
        shards = numbers.get("shards")
        codec = params.get("shard", {}).get("codec") or params.get("lsun.codec", "")
        resolution = params.get("align.resolution") or params.get("lsun.resolution", "")
        tiles = [
            ("images", f"{numbers['images']:,}", ""),
            ("resolution", f"{resolution}²" if resolution else "", "and every power of two below"),
            ("shards", words.figure(shards), str(codec)),
            ("size", words.size(number(numbers.get("bytes"))), ""),
        ]
        yield Tiles([tile for tile in tiles if tile[1]])
    elif not stage.folder.is_dir():
        yield Note(f"No data set: dvc repro {stage.name}.", missing=True)
    sheets = (("samples.png", "the first images of the data set"), ("pyramid.png", "one image at all resolutions"))
    for name, alt in sheets:
        picture = pictures.of_file(stage.folder / name, limits.sheet_pixels, f"Contact sheet: {alt}")
        if picture:
            yield Gallery(alt.capitalize(), [picture], half=True)
    if stage.name == "shard":
        for name, alt in (("superres", "faces spread over all that were scored"), ("detect", "detected faces")):
            path = stage.folder.parent / name / "faces.png"
            picture = pictures.of_file(path, limits.sheet_pixels, f"Contact sheet: {alt}")
            if picture:
                yield Gallery(alt.capitalize(), [picture], half=True)


def _ledger(path: Path) -> Iterator[Block]:
    verdicts = Counter(pq.read_table(path, columns=["verdict"])["verdict"].to_pylist())
    rows = [(verdict, count, f"{count / verdicts.total():.2%}") for verdict, count in verdicts.most_common()]
    yield Table("Images of the published list by verdict", ("verdict", "images", "share"), rows)
    yield Note("An image matches if it has the published MD5. data/shard/ledger.parquet has a row for each.")
