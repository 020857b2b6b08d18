"""Stage superres: the final image of every face, which is scored and shown but not stored.

With the method `delta` nothing is scored, and only the faces of the sheets are rendered.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pyarrow as pa

from pipeline import manifest
from pipeline.cluster import map_rows, outcomes
from pipeline.errors import RejectedInputError
from pipeline.faces import geometry
from pipeline.faces.artefacts import BlockGrid
from pipeline.faces.decode import decoding_mib
from pipeline.faces.final_image import FinalRenderer, read_region, rendering_mib
from pipeline.faces.geometry import Rectangle
from pipeline.faces.quality import best_first, quality, sharpness
from pipeline.faces.render import render
from pipeline.manifest import Cropped, Denoised, Drop, Face, Scored, extend
from pipeline.params import Params
from pipeline.published.exact.render import select_renderer
from pipeline.report import sheets
from pipeline.report.sheets import Picture
from pipeline.restoration.needs import libraries
from stages import DATA, main, read_params, stage_run, table

NETWORK = DATA / "fit_superres"
FACES, FACES_PER_ROW, FACE_PIXELS = 96, 12, 128
"""Of faces.png: how many faces, spread over all, are shown."""
EXTREMES = 8
PREVIEW_PIXELS = 256
ROOM = 100_000_000  # bytes, of the strips and sheets
TABLE, AGAIN = "superres.parquet", "again"
Chunk = Callable[..., Iterable[Scored | Drop]]
Key = tuple[int, int]
LEFT_EYE = (0.375, 0.47)  # where a frontal face has it in the final image: a good place to see sharpness


def superres() -> None:
    """Write `data/superres/`: the table of scores, and sheets of faces."""
    params = read_params()
    keys = {"superres": params.superres.deciding(), "align.resolution": params.align.resolution}
    inputs = [table("crop"), table("denoise"), NETWORK / "network.json"]
    with stage_run("superres", params=keys, inputs=inputs, room=ROOM, libraries=libraries(NETWORK)) as run:
        chunk = partial(superres_chunk, params=params, data=DATA.absolute())
        overview = frozenset(_spread(FACES))
        account = map_rows(
            params.cluster,
            partial(chunk, overview=overview, shown=_shown(params.superres.previews)),
            table=table("denoise"),
            row_in=Denoised,
            row_out=Scored,
            rows_per_chunk=params.superres.faces_per_chunk,
            out=run.table,
            memory_mib=rendering_mib(params.superres, params.align.resolution, NETWORK)
            + decoding_mib(params.photographs, params.align.max_megapixels),
            finished=run.drop_limit(params.superres.max_dropped, table("denoise")).add,
            slow=params.superres.method == "network",
        )
        run.count(account, params.superres.max_dropped)
        run.report["enlarged"] = _enlarged(run.table, "network" if params.superres.method == "network" else "lanczos")
        _write_sheets(run.work, params, overview, chunk)


def superres_chunk(
    rows: Sequence[Denoised],
    stem: Path,
    *,
    params: Params,
    data: Path,
    overview: Set[Key],
    shown: Mapping[Key, Cropped],
) -> Iterator[Scored | Drop]:
    """Scores of some faces; also writes strips of those in `overview`, and of the `shown` ones before and after."""
    section, resolution, network = params.superres, params.align.resolution, data / NETWORK.name
    region_renderer = select_renderer(section.renderer)
    renderer = FinalRenderer(
        section, params.photographs, region_renderer, resolution=resolution, network=network, data=data
    )
    faces: list[list[Picture]] = []
    restored: list[list[Picture]] = []
    scored = section.method != "delta"
    finals = renderer.render_all([row for row in rows if scored or row.key in shown])

    def score(row: Denoised) -> Scored:
        if not scored and row.key not in shown:
            return _without_image(row, resolution)
        final = next(finals)
        if isinstance(final, RejectedInputError):
            raise final
        if scored and row.key in overview:
            faces.append(_overview_and_detail(final.image_HWC, _strip_pixels(resolution)))
        if row.key in shown:
            before = [_upright(data, version, params) for version in (shown[row.key], row)]
            restored.append(before + _overview_and_detail(final.image_HWC, PREVIEW_PIXELS))
        scores = _scores(row, final.image_HWC) if scored else (None, None)
        return extend(row, Scored, quality=scores[0], sharpness=scores[1], padded=final.padded, enlarge=final.enlarge)

    yield from outcomes(rows, score)
    sheets.write_strip(stem.with_name(f"{stem.name}.faces.png"), faces)
    sheets.write_strip(stem.with_name(f"{stem.name}.restored.png"), restored)


def _scores(row: Denoised, final_HWC: Picture) -> tuple[float, float]:
    """Quality and sharpness of a final image."""
    grid = BlockGrid.in_final_image(Rectangle.from_row(row.quad, row.zoom), row.shrink)
    return quality(final_HWC, grid), sharpness(final_HWC)


def _without_image(row: Denoised, resolution: int) -> Scored:
    """The row of a face that is not scored: how `shard` will make its image follows from its size."""
    rectangle = Rectangle.from_row(row.quad, row.zoom)
    factor = geometry.enlarge_factor(rectangle.zoom)
    width, height = row.crop_width * factor, row.crop_height * factor
    padding = geometry.padding(rectangle.enlarged(factor), width, height, row.border, resolution)
    return extend(row, Scored, quality=None, padded=padding is not None, enlarge=factor)


def _enlarged(path: Path, means: str) -> dict[str, int]:
    """How many faces were enlarged by `means`, by factor, and how many were only reduced."""
    factors = Counter(manifest.kept_columns(path, ["enlarge"])["enlarge"].to_pylist())
    return {"no" if factor == 1 else f"{means} x{factor}": factors[factor] for factor in sorted(factors)}


def _spread(count: int) -> list[Key]:
    """`count` of all faces, evenly spread."""
    places = sheets.spread(manifest.account(table("denoise")).kept, count)
    return [row.key for row in manifest.read_kept_at(table("denoise"), Face, places)]


def _shown(count: int) -> dict[Key, Cropped]:
    """The rows of crop of `count` of all faces."""
    places = manifest.places_of(table("crop"), {*_spread(count)})
    return {row.key: row for row in manifest.read_kept_at(table("crop"), Cropped, places)}


def _overview_and_detail(final_HWC: Picture, side: int) -> list[Picture]:
    return [sheets.resized(final_HWC, side), sheets.detail(final_HWC, side, *LEFT_EYE)]


def _upright(data: Path, row: Cropped, params: Params) -> Picture:
    """A region in the frame of the final image, at preview size and not enlarged first."""
    region = read_region(data, row, params.photographs)
    if row.landmarks is None:
        return sheets.resized(region.image_HWC, PREVIEW_PIXELS)
    rectangle = Rectangle(region.rectangle.quad_42, region.rectangle.zoom * PREVIEW_PIXELS / params.align.resolution)
    return render(replace(region, rectangle=rectangle), PREVIEW_PIXELS).image_HWC


def _strip_pixels(resolution: int) -> int:
    """Side of a face in the strips. Images below FACE_PIXELS are enlarged in the sheets only, to keep strips small."""
    return min(FACE_PIXELS, resolution)


def _write_sheets(work: Path, params: Params, overview: Set[Key], chunk: Chunk) -> None:
    """Write the sheets, then remove the strips. The best and the worst faces that have no strip are rendered again."""
    last, side = work / "best_and_worst.png", _strip_pixels(params.align.resolution)
    if not last.exists():
        restored = _columns(work, "superres-*.restored.png", PREVIEW_PIXELS)
        sheets.write_sheet(work / "before_after.png", restored, EXTREMES)
        shown = _scored_among(work / TABLE, overview)
        columns = dict(zip(shown, _columns(work, "superres-*.faces.png", side), strict=True))
        faces = [sheets.repeated(column[:side], FACE_PIXELS // side) for column in columns.values()]
        sheets.write_sheet(work / "faces.png", faces, FACES_PER_ROW)
        extremes = _extremes(work / TABLE)
        columns |= _render_again(work, params, sorted(set(extremes) - columns.keys()), chunk)
        faces = [sheets.repeated(columns[key], FACE_PIXELS // side) for key in extremes]
        sheets.write_sheet(last, faces, EXTREMES)
    for pattern in ("superres-*.png", f"{AGAIN}*"):
        for path in work.glob(pattern):
            path.unlink()


def _render_again(work: Path, params: Params, keys: Sequence[Key], chunk: Chunk) -> dict[Key, Picture]:
    """The columns of the faces `keys`, which are sorted."""
    if not keys:
        return {}
    places = manifest.places_of(table("denoise"), {*keys})
    again = work / f"{AGAIN}.rows.parquet"
    manifest.write_rows(again, Denoised, manifest.read_kept_at(table("denoise"), Denoised, places))
    map_rows(
        params.cluster,
        partial(chunk, overview={*keys}, shown={}),
        table=again,
        row_in=Denoised,
        row_out=Scored,
        rows_per_chunk=params.superres.faces_per_chunk,
        out=work / f"{AGAIN}.parquet",
    )
    columns = _columns(work, f"{AGAIN}-*.faces.png", _strip_pixels(params.align.resolution))
    return dict(zip(keys, columns, strict=True))


def _scored_among(scores: Path, keys: Set[Key]) -> list[Key]:
    """Those of `keys` that the table `scores` keeps with a score, in its order."""
    rows = manifest.read_kept_at(scores, _Quality, manifest.places_of(scores, keys))
    return [row.key for row in rows if row.quality is not None]


def _extremes(scores: Path) -> list[Key]:
    """The faces with the best scores, from the best on, and those with the worst, to the worst."""
    scored = manifest.kept_columns(scores, ["index", "face", "quality"]).drop_null()
    order = best_first(scored["quality"].to_pylist())
    ends = [*order[:EXTREMES], *order[max(len(order) - EXTREMES, 0) :]]
    rows = scored.take(pa.array(ends, pa.int64()))  # with deltas none is scored
    return list(zip(rows["index"].to_pylist(), rows["face"].to_pylist(), strict=True))


def _columns(work: Path, pattern: str, side: int) -> list[Picture]:
    strips = sorted(work.glob(pattern), key=lambda path: (len(path.name), path.name))  # of a million rows too
    return [column for path in strips for column in sheets.read_columns(path, side)]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Quality(Face):
    quality: float | None


if __name__ == "__main__":
    main(superres)
