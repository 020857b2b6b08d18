"""Stage superres: every face to its final image, which is scored and shown but not stored.

Where deltas will be added (method `delta`) nothing is scored, and only the faces shown are made.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from pipeline import manifest
from pipeline.cluster import connect, map_rows, outcomes
from pipeline.faces import geometry
from pipeline.faces.final_image import FinalRenderer, lanczos_factor, read_region
from pipeline.faces.geometry import Rectangle
from pipeline.faces.quality import best_first, quality
from pipeline.faces.render import render
from pipeline.manifest import Cropped, Denoised, Drop, Scored, extend
from pipeline.params import SuperresParams
from pipeline.report import sheets
from pipeline.report.sheets import Picture
from stages import DATA, main, read_params, stage_run, table

NETWORK = DATA / "fit_superres"
FACES, FACES_PER_ROW, FACE_PIXELS = 96, 12, 128
EXTREMES = 8
PREVIEW_PIXELS = 256
LEFT_EYE = (0.375, 0.47)  # where the recipe's square puts it in a frontal face: a place where sharpness shows


def superres() -> None:
    """Write `data/superres/`: the table of scores, and sheets of faces."""
    params = read_params()
    keys = {"superres": params.superres, "align.resolution": params.align.resolution}
    inputs = [table("crop"), table("denoise"), NETWORK / "network.json"]
    with stage_run("superres", params=keys, inputs=inputs, out=DATA / "superres") as run:
        with connect(params.cluster) as client:
            chunk = partial(
                superres_chunk,
                params=params.superres,
                resolution=params.align.resolution,
                data=DATA.resolve(),
                previewed=_as_cropped(params.superres.previews),
            )
            account = map_rows(
                client,
                chunk,
                stage="superres",
                table=table("denoise"),
                row_in=Denoised,
                row_out=Scored,
                rows_per_chunk=params.superres.faces_per_chunk,
                work=run.work,
            )
        run.count(account, params.superres.max_dropped)
        _write_sheets(run.work, _strip_pixels(params.align.resolution))


def superres_chunk(
    rows: Sequence[Denoised],
    stem: Path,
    *,
    params: SuperresParams,
    resolution: int,
    data: Path,
    previewed: Mapping[int, Cropped],
) -> Iterator[Scored | Drop]:
    """Scores of some faces. Beside the table, strips: of each face, and of the `previewed` ones before and after."""
    finisher = FinalRenderer(params, resolution=resolution, network=data / NETWORK.name, data=data)
    faces: list[list[Picture]] = []
    restored: list[list[Picture]] = []
    scored = params.method != "delta"

    def score(row: Denoised) -> Scored:
        if not scored and row.index not in previewed:
            return _foreseen(row, resolution)
        finished = finisher.finish(row)
        final_HWC = finished.image_HWC
        if scored:
            faces.append(_overview_and_detail(final_HWC, _strip_pixels(resolution)))
        if row.index in previewed:
            before = [_upright(data, version, resolution) for version in (previewed[row.index], row)]
            restored.append(before + _overview_and_detail(final_HWC, PREVIEW_PIXELS))
        figure = quality(final_HWC) if scored else None
        return extend(row, Scored, quality=figure, padded=finished.padded, enlarge=finished.enlarge)

    yield from outcomes(rows, score)
    sheets.write_strip(stem.with_name(f"{stem.name}.faces.png"), faces)
    sheets.write_strip(stem.with_name(f"{stem.name}.restored.png"), restored)


def _foreseen(row: Denoised, resolution: int) -> Scored:
    """The row as it will be finished, known without making the image."""
    rectangle = Rectangle.from_row(row.quad, row.zoom)
    factor = lanczos_factor(rectangle)
    width, height = row.crop_width * factor, row.crop_height * factor
    padding = geometry.padding(rectangle.enlarged(factor), width, height, row.border, resolution)
    return extend(row, Scored, quality=None, padded=padding is not None, enlarge=factor)


def _as_cropped(count: int) -> dict[int, Cropped]:
    """`count` faces that came through denoise, as they were cut: by index."""
    kept = {row.index for row in manifest.read_kept(table("denoise"), Denoised)}
    rows = [row for row in manifest.read_kept(table("crop"), Cropped) if row.index in kept]
    return {rows[position].index: rows[position] for position in sheets.spread(len(rows), count)}


def _overview_and_detail(final_HWC: Picture, side: int) -> list[Picture]:
    return [sheets.reduced(final_HWC, side), sheets.detail(final_HWC, side, *LEFT_EYE)]


def _upright(data: Path, row: Cropped, resolution: int) -> Picture:
    """A region as it is, not enlarged, in the final image's frame."""
    region = read_region(data, row)
    if row.landmarks is None:
        return sheets.reduced(region.image_HWC, PREVIEW_PIXELS)
    smaller = Rectangle(region.rectangle.quad_42, region.rectangle.zoom * PREVIEW_PIXELS / resolution)
    return render(region.image_HWC, smaller, border=region.border, resolution=PREVIEW_PIXELS).image_HWC


def _strip_pixels(resolution: int) -> int:
    """Side of a face in the strips: small images are enlarged for the sheets only, or a million would take hours."""
    return min(FACE_PIXELS, resolution)


def _write_sheets(work: Path, strip_pixels: int) -> None:
    last = work / "best_and_worst.png"
    strips = sorted(work.glob("superres-*.faces.png"))
    restored = sorted(work.glob("superres-*.restored.png"))
    if not last.exists():
        columns = [column for path in restored for column in sheets.read_columns(path, PREVIEW_PIXELS)]
        sheets.write_sheet(work / "before_after.png", columns, EXTREMES)
        figures = [
            row.quality for row in manifest.read_kept(work / "superres.parquet", Scored) if row.quality is not None
        ]
        factor = FACE_PIXELS // strip_pixels
        shown = sheets.pick_columns(strips, strip_pixels, sheets.spread(len(figures), FACES))
        overviews = [sheets.repeated(column[:strip_pixels], factor) for column in shown]
        sheets.write_sheet(work / "faces.png", overviews, FACES_PER_ROW)
        order = best_first(figures)
        extremes = [*order[:EXTREMES], *order[-EXTREMES:]]
        columns = sheets.pick_columns(strips, strip_pixels, extremes)
        sheets.write_sheet(last, [sheets.repeated(column, factor) for column in columns], EXTREMES)
    for path in (*strips, *restored):
        path.unlink()


if __name__ == "__main__":
    main(superres)
