"""Which photographs have a usable face, and where: photographs joined with annotations, and their crop rectangles."""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import manifest
from pipeline.errors import DropReason, RejectedInputError
from pipeline.faces import geometry, suspicious
from pipeline.faces.annotations import AnnotationFiles, PhotographAnnotations
from pipeline.faces.five_points import Face
from pipeline.faces.geometry import Points, Rectangle
from pipeline.manifest import Accounting, Aligned, Attributes, Drop, Landmarks, Photograph, Quad, Remarks
from pipeline.params import DETECT, AlignParams
from pipeline.suspicions import Suspicion

ANNOTATION_FILES = LANDMARKS, PARTITION, ATTRIBUTES = "landmarks.txt", "partition.txt", "attributes.txt"
"""The annotation files in the folder of a table of photographs; the last two may be absent."""

CELEBA_ALIGNED_LEFT, CELEBA_ALIGNED_UPPER, CELEBA_ALIGNED_SIDE = 25, 57, 128
"""The square that dataset_tool.py crops from CelebA's aligned photographs."""

KEPT = pc.field("drop_reason").is_null()

ORDER = [("index", "ascending"), ("face", "ascending")]

ALSO_OF_DROPPED = ["index", "file", "face", "drop_reason", "drop_detail"]
"""The columns of a table that dropped rows have too."""

CENTRE_INSTEAD = "align.rectangle: centre takes the largest square in the middle, of any size"


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotated(Photograph):
    """A face of a photograph with its annotations. `landmarks` is null where none are used.

    `normalised`: the landmarks are in units of width and height, not in pixels.
    """

    split: str | None
    attributes: Attributes | None
    landmarks: Landmarks | None
    normalised: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured(Photograph):
    """A face with the size of its photograph, its landmarks in pixels, and its rectangle (`place`).

    `unfit` and `unfit_detail`: the reason why it has none. They are no drop yet: what looks wrong in all faces together
    is found in all of them.
    """

    width: int
    height: int
    split: str | None
    attributes: Attributes | None
    landmarks: Landmarks | None
    remarks: Remarks = ()
    quad: Quad | None = None
    zoom: float | None = None
    unfit: str | None = None
    unfit_detail: str | None = None


@dataclass(frozen=True, slots=True)
class Joined:
    """Photographs joined with annotations.

    `faces` are tables of `Annotated` rows, kept and dropped, which follow each other; `without_photograph` are dropped
    rows of any indices between these.
    """

    faces: Iterator[pa.Table]
    without_photograph: Sequence[Drop]
    warnings: Sequence[str]
    suspicions: Sequence[Suspicion]


def join_annotations(
    table: Path, params: AlignParams, detected: Path | None = None, *, classes: bool = False
) -> Joined:
    """Join a table of photographs with the annotation files in its folder or, for landmarks, the table `detected`.

    `classes`: as in `AnnotationFiles`.

    Each face of each kept photograph of the table comes out once, each photograph without a face once, and so does each
    landmark row whose photograph is not in the table at all (kept or dropped). Such a row gets the index of its CelebA
    number where that is free, else one after all. Photographs that `detected` has dropped do not come out.

    Errors as `PhotographAnnotations`.
    """
    files = replace(annotation_files(table.parent), classes=classes)
    if detected is not None:
        files = replace(files, landmarks=DETECT)
    annotations = PhotographAnnotations(files, params, _photographs(table))
    orphans = [*_orphans(table, annotations)]
    return Joined(_faces(table, annotations, detected), orphans, annotations.warnings, annotations.suspicions)


def write_joined(path: Path, joined: Joined, only: Set[str] | None = None) -> Accounting:
    """Write all faces as a table of `Annotated` rows; of the files `only`, if given: others are NOT_PUBLISHED."""
    orphans = manifest.table_of(Annotated, joined.without_photograph)
    parts = {"faces": joined.faces, "orphans": iter([orphans])}
    for name, tables in parts.items():
        kept = tables if only is None else (keep_only(found, only) for found in tables)
        manifest.write_tables(path.with_name(f"{path.stem}-{name}.parquet"), Annotated, kept)
    paths = [path.with_name(f"{path.stem}-{name}.parquet") for name in parts]
    account = manifest.join_parts(path, Annotated, paths)
    for part in paths:
        part.unlink()
    return account


def _photographs(table: Path) -> list[str]:
    """The names of a table, those of kept photographs first."""
    named = manifest.read_columns(table, ["file", "drop_reason"])
    return pa.concat_tables([named.filter(KEPT), named.filter(~KEPT)])["file"].to_pylist()


def _faces(table: Path, annotations: PhotographAnnotations, detected: Path | None) -> Iterator[pa.Table]:
    """The faces of the kept photographs of the table: usual ones by columns, others one by one."""
    detector = None if detected is None else _Detected(detected)
    wanted = manifest.schema_of(Annotated)
    for photographs in manifest.kept_groups(table, Photograph):
        found, rows, without = None, photographs, photographs.slice(0, 0)
        if detector is not None:
            found, rows, without = detector.faces_of(photographs)
        usual_N, columns = annotations.columns_of(rows["file"].to_pylist())
        usual = rows.filter(usual_N)
        values = {name: usual[name] for name in usual.schema.names} | columns
        values |= {"face": np.zeros(len(usual), np.int64), "normalised": np.full(len(usual), annotations.normalised)}
        faces, others = pa.table(values), pa.concat_tables([rows.filter(~usual_N), without])
        given = None
        if found is not None:
            faces, given = _with_found(faces, found), _by_index(found, others["index"])
        made = [face for row in manifest.rows_of(Photograph, others) for face in _faces_of(row, annotations, given)]
        tables = [manifest.with_columns(faces, wanted), manifest.table_of(Annotated, made)]
        yield pa.concat_tables(tables).sort_by(ORDER) if made else tables[0]


def _faces_of(
    photograph: Photograph, annotations: PhotographAnnotations, found: Mapping[int, Mapping[int, Face]] | None
) -> Iterator[Annotated | Drop]:
    """The faces of a photograph: of the annotations or, by its index, those that are `found`."""
    try:
        values = annotations.of(photograph.file)
        faces = dict(enumerate(values.faces)) if found is None else found.get(photograph.index)
        if faces is None:
            raise RejectedInputError(DropReason.NO_LANDMARKS, "the table of detect has no such photograph")
    except RejectedInputError as error:
        yield Drop.of(photograph, error)
        return
    for number, landmarks in faces.items():
        row = replace(photograph, face=number)
        if isinstance(landmarks, RejectedInputError):
            yield Drop.of(row, landmarks)
            continue
        added = {"split": values.split, "attributes": values.attributes, "landmarks": landmarks}
        yield manifest.extend(row, Annotated, **added, normalised=annotations.normalised)


def _orphans(table: Path, annotations: PhotographAnnotations) -> Iterator[Drop]:
    """The faces in the landmarks file whose photographs are not in the table."""
    orphans = annotations.without_photograph()
    taken = {*manifest.read_columns(table, ["index"])["index"].to_pylist()} if orphans else set[int]()
    for file, index in _free_indices(orphans, taken).items():
        for face, rejection in enumerate(orphans[file]):
            yield Drop(index=index, file=file, face=face, reason=rejection.reason, detail=rejection.detail)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found(manifest.Face):
    landmarks: Landmarks


class _Detected:
    """What the stage detect found, in the order of the photographs."""

    def __init__(self, table: Path) -> None:
        columns = manifest.read_columns(table, ["index", "drop_reason"])
        kept_N, dropped_N = (columns.filter(which)["index"].to_numpy() for which in (KEPT, ~KEPT))
        self._dropped_N = np.setdiff1d(dropped_N, kept_N)
        self._groups = manifest.kept_groups(table, _Found)
        self._left = manifest.table_of(_Found, []).drop_columns(["drop_reason", "drop_detail"])

    def faces_of(self, photographs: pa.Table) -> tuple[pa.Table, pa.Table, pa.Table]:
        """The faces of the next photographs, those that have some, and those that the table lacks.

        Those that it has dropped whole are in none of them.
        """
        index_N = photographs["index"].to_numpy()
        last = int(index_N.max(initial=-1))
        while not len(self._left) or self._left["index"][-1].as_py() <= last:
            more = next(self._groups, None)
            if more is None:
                break
            self._left = pa.concat_tables([self._left, more])
        count = int(np.searchsorted(self._left["index"].to_numpy(), last, side="right"))
        found, self._left = self._left.slice(0, count), self._left.slice(count)
        has_N = np.isin(index_N, found["index"].to_numpy())
        lacks_N = ~has_N & ~np.isin(index_N, self._dropped_N)
        return found, photographs.filter(has_N), photographs.filter(lacks_N)


def _with_found(photographs: pa.Table, found: pa.Table) -> pa.Table:
    """A row for each face that is found in the photographs."""
    index_N = photographs["index"].to_numpy()
    found = found.filter(np.isin(found["index"].to_numpy(), index_N))
    rows = photographs.take(pa.array(np.searchsorted(index_N, found["index"].to_numpy())))
    values = {name: rows[name] for name in rows.schema.names}
    return pa.table(values | {name: found[name] for name in ("face", "landmarks")})


def _by_index(found: pa.Table, index: pa.ChunkedArray) -> dict[int, dict[int, Face]]:
    """The landmarks of the faces of some photographs, by the index of these and the number of the face."""
    faces: dict[int, dict[int, Face]] = {}
    for row in manifest.rows_of(_Found, found.filter(pc.field("index").isin(index))):
        faces.setdefault(row.index, {})[row.face] = row.landmarks
    return faces


def annotation_files(folder: Path) -> AnnotationFiles:
    """The annotation files that the stage extract published in `folder`."""
    landmarks, partition, attributes = (
        path if (path := folder / name).is_file() else None for name in ANNOTATION_FILES
    )
    return AnnotationFiles(landmarks, partition, attributes)


def keep_only(faces: pa.Table, files: Set[str]) -> pa.Table:
    """Drop what is not among `files` as NOT_PUBLISHED, usable or not."""
    named = pc.field("file").isin(pa.array([*files], pa.string()))
    kept, others = faces.filter(named), faces.filter(~named)
    why = ["align.photographs: published"] * len(others)
    dropped = manifest.dropped_rows(Annotated, others, DropReason.NOT_PUBLISHED, why)
    return pa.concat_tables([kept, dropped]).sort_by(ORDER)


def measure(row: Annotated, width: int, height: int, remarks: Remarks = ()) -> Measured:
    """The row of a photograph of `width` x `height` pixels, with landmarks in pixels."""
    landmarks = row.landmarks
    if landmarks is not None and row.normalised:
        landmarks = tuple(value * (width, height)[place % 2] for place, value in enumerate(landmarks))
    return manifest.extend(row, Measured, landmarks=landmarks, width=width, height=height, remarks=remarks)


def suspicions_of(measured: Path) -> list[Suspicion]:
    """What the landmarks of a table of `Measured` rows show together with the sizes of their photographs."""
    rows = manifest.kept_columns(measured, ["file", "landmarks", "width", "height"])
    rows = rows.filter(rows["landmarks"].is_valid())
    points_N52 = np.concatenate(
        [np.empty(0), *(chunk.flatten().to_numpy().astype(np.float64) for chunk in rows["landmarks"].chunks)]
    ).reshape(-1, 5, 2)
    sizes_N2 = np.stack([rows[name].to_numpy() for name in ("width", "height")], axis=1).astype(np.float64)
    files = rows["file"].to_pylist()
    del rows
    return suspicious.with_sizes(files, points_N52, sizes_N2)


def place(row: Measured, params: AlignParams) -> Measured:
    """The row with the rectangle of the face, or with the reason why it has none."""
    try:
        aligned = align_photograph(row, params)
    except RejectedInputError as rejected:
        return replace(row, unfit=rejected.reason.value, unfit_detail=rejected.detail)
    return replace(row, quad=aligned.quad, zoom=aligned.zoom)


def aligned_rows(rows: pa.Table) -> pa.Table:
    """Rows of a table of `Measured` rows as those of a table of `Aligned` rows."""
    schema = manifest.schema_of(Aligned)
    found = {name: rows[name] for name in schema.names}
    for name, why in (("drop_reason", "unfit"), ("drop_detail", "unfit_detail")):
        found[name] = pc.call_function("coalesce", [rows[name], rows[why]])
    # a place that is null takes a null of any type
    kept = pa.array(np.arange(len(rows)), mask=found["drop_reason"].is_valid().to_numpy())
    found |= {name: found[name].take(kept) for name in schema.names if name not in ALSO_OF_DROPPED}
    return pa.table(found, schema=schema)


def without_measure(annotated: Path) -> Iterator[pa.Table]:
    """The dropped rows of a table of `Annotated` rows as those of a table of `Aligned`, some thousand at a time."""
    for rows in manifest.all_groups(annotated):
        dropped = rows.filter(rows["drop_reason"].is_valid()).select(ALSO_OF_DROPPED)
        yield manifest.with_columns(dropped, manifest.schema_of(Aligned))


def align_photograph(row: Measured, params: AlignParams) -> Aligned:
    """The row of a face with its rectangle.

    `RejectedInputError`: ABSURD_LANDMARKS, MIRRORED, OUTSIDE_IMAGE or TOO_SMALL; for squares in the middle TOO_SMALL;
    for whole images NOT_SQUARE, TOO_SMALL or WRONG_SIDE; for CelebA's aligned photographs WRONG_SIZE, TOO_SMALL or
    WRONG_SIDE.
    """
    width, height = row.width, row.height
    if params.rectangle == "celeba-128":
        if (width, height) != suspicious.CELEBA_ALIGNED_SIZE:
            size = " x ".join(map(str, suspicious.CELEBA_ALIGNED_SIZE))
            raise RejectedInputError(
                DropReason.WRONG_SIZE, f"{width} x {height} pixels, CelebA's aligned ones have {size}"
            )
        square = _square(CELEBA_ALIGNED_SIDE, params.resolution)
        rectangle = square.moved(CELEBA_ALIGNED_LEFT, CELEBA_ALIGNED_UPPER)
    elif params.rectangle == "centre":
        rectangle = _centre(width, height, params)
    elif row.landmarks is None:
        if width != height:
            raise RejectedInputError(DropReason.NOT_SQUARE, f"{width} x {height} pixels; {CENTRE_INSTEAD}")
        rectangle = _square(width, params.resolution)
    else:
        rectangle = _face(np.array(row.landmarks, np.float32).reshape(5, 2), width, height, params)
    return manifest.extend(row, Aligned, quad=rectangle.flat, zoom=rectangle.zoom)


def _face(landmarks_52: Points, width: int, height: int, params: AlignParams) -> Rectangle:
    points_52 = landmarks_52.astype(np.float64)
    outside_52 = np.maximum(np.maximum(-points_52, points_52 - (width, height)), 0)
    limit = params.max_landmark_distance * max(width, height)
    if not (outside_52 <= limit).all():  # NaN fails here too
        raise RejectedInputError(
            DropReason.ABSURD_LANDMARKS,
            f"a landmark lies more than {limit:g} pixels outside {width} x {height}: {landmarks_52.tolist()}",
        )
    suspicious.check_order(tuple(landmarks_52.ravel().tolist()), params)
    rectangle = geometry.rectangle_of_landmarks(landmarks_52, params.resolution)
    inside_5 = ((points_52 >= 0) & (points_52 < (width, height))).all(axis=1)
    if not inside_5.any() or not rectangle.meets(width, height):
        raise RejectedInputError(
            DropReason.OUTSIDE_IMAGE, f"landmarks {landmarks_52.tolist()} in a photograph of {width} x {height} pixels"
        )
    side = rectangle.side(params.resolution)
    if side < params.min_side_pixels:
        raise RejectedInputError(
            DropReason.TOO_SMALL,
            f"the face's square has {side:.1f} pixels, at least {params.min_side_pixels} are wanted",
        )
    return rectangle


def _centre(width: int, height: int, params: AlignParams) -> Rectangle:
    """The largest square in the middle; of an odd margin the smaller half is left or above."""
    side = min(width, height)
    if side < (params.min_side_pixels if params.enlarge else max(params.resolution, params.min_side_pixels)):
        remedy = "" if params.enlarge else "; align.enlarge: true enlarges it"
        raise RejectedInputError(
            DropReason.TOO_SMALL, f"{width} x {height} pixels, the resolution is {params.resolution}{remedy}"
        )
    square = geometry.rectangle_of_square(side, params.resolution)
    return square.moved((width - side) // 2, (height - side) // 2)


def _square(side: int, resolution: int) -> Rectangle:
    if side < resolution:
        raise RejectedInputError(DropReason.TOO_SMALL, f"{side} pixels a side, the resolution is {resolution}")
    factor, rest = divmod(side, resolution)
    if rest or factor & (factor - 1):
        raise RejectedInputError(
            DropReason.WRONG_SIDE, f"{side} pixels a side for a resolution of {resolution}; {CENTRE_INSTEAD}"
        )
    return geometry.rectangle_of_square(side, resolution)


def _free_indices(files: Iterable[str], taken: Set[int]) -> dict[str, int]:
    """The index of each file: that of its CelebA number where it is not `taken`, else one after all."""
    names = list(files)
    numbered = {name: index for name in names if (index := _celeba_index(name)) is not None and index not in taken}
    after = max((*taken, *numbered.values()), default=-1) + 1
    unnumbered = sorted(set(names) - set(numbered))
    return numbered | {name: after + place for place, name in enumerate(unnumbered)}


def _celeba_index(file: str) -> int | None:
    stem = PurePosixPath(file).stem
    return int(stem) - 1 if len(stem) == 6 and stem.isdecimal() and int(stem) > 0 else None
