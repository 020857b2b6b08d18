"""The tables that stages exchange: typed rows in, parquet out, with a reason for every dropped input.

A table holds the rows that a stage kept (all columns filled) and those that it dropped (only `index`, `file`,
`drop_reason` and `drop_detail` filled). The next stage reads the kept rows, so at every stage input = kept + dropped.
Each row type extends that of the stage before.
"""

import tempfile
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline import atomic, columns, schema
from pipeline.errors import DropReason, RejectedInputError, TableError

ROWS_AT_ONCE = 4 * columns.ROWS_PER_GROUP
"""So many rows are objects at a time while a table is written, and are then a part of it on disk."""
ROWS_OF_A_BATCH = 512

Landmarks = Annotated[tuple[float, ...], pa.list_(pa.float32(), 10)]
"""x, y of left eye, right eye, nose, left and right mouth corner, in pixels of the photograph."""

Quad = Annotated[tuple[float, ...], pa.list_(pa.float32(), 8)]
"""x, y of the north-west, south-west, south-east and north-east corner, in pixels."""

Box = Annotated[tuple[float, ...], pa.list_(pa.float32(), 4)]
"""x, y of the upper left corner, width and height, in pixels."""

Attributes = Annotated[tuple[int, ...], pa.list_(pa.int8())]
"""The binary attributes of an image as published (CelebA: 40 values, each -1 or 1); 0 stands for unknown."""


Remarks = Annotated[tuple[str, ...], pa.list_(pa.string())]
"""Sentences about a photograph that is used although something is odd (`pipeline.faces.pixels.Remark`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """`size` bytes at `offset` of the file `container`, whose name is relative to the data folder."""

    container: str
    offset: int
    size: int
    md5: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """The columns of every row: the number of the input, from 0, and its name in the source."""

    index: int
    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Face(Input):
    """The columns that name a face: several faces of a photograph have the numbers 0, 1, ..."""

    face: int = 0

    @property
    def key(self) -> tuple[int, int]:
        """What no other row of a table has."""
        return self.index, self.face

    @property
    def label(self) -> str:
        """The key as a name of a file: `000012`, and `000012-1` for a further face."""
        return f"{self.index:06d}-{self.face}" if self.face else f"{self.index:06d}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Photograph(Face):
    """A row of `extract`: one photograph as published. `index` is CelebA's orig_idx; from `align` on a face of one."""

    photograph: Stored


@dataclass(frozen=True, slots=True, kw_only=True)
class Detected(Photograph):
    """A row of `detect`: a face, in the picture as `photographs.orientation` gives it.

    `box`: x and y of the upper left corner, width and height, in pixels. `score`: 0...1, of the detector.
    `orientation`: the Exif tag, 1 where there is none.
    """

    box: Box
    score: float
    landmarks: Landmarks
    orientation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Aligned(Photograph):
    """A row of `align`: the oriented rectangle of a face, and `zoom`, output pixels per pixel of the photograph.

    `remarks`: what is odd about the photograph; in `align` about its header, from `crop` on also about its pixels.
    """

    width: int
    height: int
    split: str | None
    attributes: Attributes | None
    landmarks: Landmarks | None
    quad: Quad
    zoom: float
    remarks: Remarks = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cropped(Aligned):
    """A row of `crop`: the face's region with a margin of `border` pixels, to which `quad` refers.

    It is cut from the photograph, which was shrunk by the integer `shrink` where it is large, at (`left`, `upper`).
    Its pixels are not stored (`pixels` is null) but cut out again where they are needed; `region_md5` is of these.
    """

    pixels: Stored | None
    region_md5: str
    left: int
    upper: int
    crop_width: int
    crop_height: int
    shrink: int
    border: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Denoised(Cropped):
    """A row of `denoise`: `pixels` is a PNG of the restored region, or null if `denoised` is false."""

    denoised: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored(Denoised):
    """A row of `superres`: the final image's quality score, 0...1; null if the published list selects the faces.

    `padded`: the image was padded. `enlarge`: the factor by which its region was enlarged. `sharpness`: the variance of
    the final image's Laplacian, to compare the score with; null where that is.
    """

    quality: float | None
    padded: bool
    enlarge: int
    sharpness: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Selected(Scored):
    """A row of `select`: `rank` 0 is the best face, or the first image of the published list."""

    rank: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharded(Selected):
    """A row of `shard`: image `position` of the data set is row `row` of the file `shard`.

    `image_md5` is of the (3, R, R) uint8 bytes of the full-resolution image.
    """

    position: int
    shard: str
    row: int
    image_md5: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """A dropped input."""

    index: int
    file: str
    face: int = 0
    reason: DropReason
    detail: str

    @classmethod
    def of(cls, row: Input, rejected: RejectedInputError) -> Self:
        """Drop `row` for the reason of `rejected`."""
        face = row.face if isinstance(row, Face) else 0
        return cls(index=row.index, file=row.file, face=face, reason=rejected.reason, detail=rejected.detail)


@dataclass(frozen=True, slots=True)
class Accounting:
    """The number of inputs of a stage, of those it kept, and of those it dropped by reason."""

    given: int
    kept: int
    dropped: dict[str, int]


Row = TypeVar("Row", bound=Input)


def schema_of(row_type: type[Input]) -> pa.Schema:
    """The parquet schema of a row type, with the two columns for dropped rows."""
    dropped = [pa.field(name, pa.string()) for name in (columns.DROPPED, "drop_detail")]
    return pa.schema([*schema.fields_of(row_type), *dropped])


def extend(row: Input, row_type: type[Row], /, **added: Any) -> Row:
    """A row of the next stage: the columns of `row` that it has, extended or replaced by `added`."""
    wanted = {field.name for field in fields(row_type)} & {field.name for field in fields(row)}
    return row_type(**{name: getattr(row, name) for name in wanted} | added)


def write_rows(path: Path, row_type: type[Row], outcomes: Iterable[Row | Drop]) -> Accounting:
    """Write kept and dropped rows, ordered by `index` and `face`, as a parquet file.

    Of many rows some are in memory at a time.
    """
    remaining = iter(outcomes)
    first = table_of(row_type, list(islice(remaining, ROWS_AT_ONCE)))
    if len(first) < ROWS_AT_ONCE:
        return write_tables(path, row_type, [first])
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f"{path.stem}-", suffix=atomic.PARTIAL_SUFFIX) as scratch:
        parts: list[Path] = []
        while len(first):
            parts.append(Path(scratch, f"{len(parts)}.parquet"))
            columns.write(parts[-1], first.schema, [first])
            first = table_of(row_type, list(islice(remaining, ROWS_AT_ONCE)))
        return join_parts(path, row_type, parts)


def write_tables(path: Path, row_type: type[Input], tables: Iterable[pa.Table]) -> Accounting:
    """Write tables of the schema of `row_type`, whose rows follow each other in the order of `index` and `face`."""
    columns.write(path, schema_of(row_type), tables)
    return account(path)


def with_columns(table: pa.Table, wanted: pa.Schema) -> pa.Table:
    """The columns of a schema; those that `table` has not are null."""
    found = {
        field.name: table[field.name] if field.name in table.schema.names else pa.nulls(len(table), field.type)
        for field in wanted
    }
    return pa.table(found, schema=wanted)


def dropped_rows(row_type: type[Input], rows: pa.Table, reason: DropReason, details: Sequence[str]) -> pa.Table:
    """Rows of any columns as dropped rows of the table of `row_type`; `details` has one for each."""
    kept = rows.select([name for name in ("index", "file", "face") if name in rows.schema.names])
    reasons = pa.repeat(pa.scalar(reason.value, pa.string()), len(rows))
    kept = kept.append_column(columns.DROPPED, reasons).append_column("drop_detail", pa.array(details, pa.string()))
    return with_columns(kept, schema_of(row_type))


def join_parts(
    path: Path, row_type: type[Input], parts: Sequence[Path], adapt: columns.Adapt | None = None
) -> Accounting:
    """Join tables of one row type, each ordered by `index` and `face`, in that order; see `columns.merge`."""
    columns.merge(path, schema_of(row_type), parts, adapt)
    return account(path)


def kept_groups(path: Path, row_type: type[Input], start: int = 0, stop: int | None = None) -> Iterator[pa.Table]:
    """The columns of `row_type` of the kept rows `start`...`stop`, some thousand at a time; errors as `read_kept`."""
    names = [field.name for field in fields(row_type)]
    return columns.kept_groups(_open(path, names), names, start, stop)


def all_groups(path: Path) -> Iterator[pa.Table]:
    """All rows, kept and dropped, some thousand at a time; errors as `read_kept`."""
    file = _open(path, [])
    return (file.read(group, file.names) for group in file.groups)


def iterate_kept(path: Path, row_type: type[Row], start: int = 0, stop: int | None = None) -> Iterator[Row]:
    """The kept rows `start`...`stop`, of which some thousand are in memory at a time; errors as `read_kept`."""
    for table in kept_groups(path, row_type, start, stop):
        yield from rows_of(row_type, table)


def read_kept(path: Path, row_type: type[Row], start: int = 0, stop: int | None = None) -> list[Row]:
    """Read the kept rows `start`...`stop`; `TableError` if the file is absent or lacks a column of `row_type`.

    A row takes some kilobytes: of a whole table use `iterate_kept` or `kept_columns`.
    """
    return list(iterate_kept(path, row_type, start, stop))


def read_kept_at(path: Path, row_type: type[Row], places: Sequence[int]) -> list[Row]:
    """Read the kept rows at `places` (0 is the first by index), in that order; errors as `read_kept`."""
    names = [field.name for field in fields(row_type)]
    found = columns.take_kept(_open(path, names), names, places)
    return [] if found is None else list(rows_of(row_type, found))


def kept_columns(path: Path, names: Sequence[str]) -> pa.Table:
    """Some columns of all kept rows; errors as `read_kept`."""
    table = read_columns(path, [*names, columns.DROPPED])
    return table.filter(table[columns.DROPPED].is_null()).drop_columns(columns.DROPPED)


def places_of(path: Path, keys: Collection[tuple[int, int]]) -> list[int]:
    """The places among the kept rows of those with the `index` and `face` of `keys`, in the order of the table."""
    found = kept_columns(path, columns.KEYS)
    likely_N = np.isin(found["index"].to_numpy(), [index for index, _ in keys])
    index_N, face_N = (found[name].to_numpy() for name in columns.KEYS)
    return [place for place in np.flatnonzero(likely_N).tolist() if (index_N[place], face_N[place]) in keys]


def read_columns(path: Path, names: Sequence[str]) -> pa.Table:
    """Some columns of all rows, kept and dropped; errors as `read_kept`."""
    _open(path, names)
    return pq.read_table(path, columns=list(names))


def iterate_dropped(path: Path, files: Collection[str] | None = None) -> Iterator[Drop]:
    """The dropped rows of a table, or those of some `files`; some thousand are in memory at a time."""
    names = ["index", "file", columns.DROPPED, "drop_detail"]
    table = _open(path, names)
    names += ["face"] if "face" in table.names else []
    for group in table.groups:
        found = table.read_dropped(group, names)
        if found is None:
            continue
        if files is not None:
            found = found.filter(pc.field("file").isin(pa.array([*files], pa.string())))
        for record in found.to_pylist():
            yield Drop(reason=DropReason(record.pop("drop_reason")), detail=record.pop("drop_detail"), **record)


def read_dropped(path: Path) -> list[Drop]:
    """Read the dropped rows of a table."""
    return list(iterate_dropped(path))


def account(path: Path) -> Accounting:
    """Count the rows of a table."""
    file = _open(path, [columns.DROPPED])
    reasons: Counter[str] = Counter()
    for group in file.groups:
        found = file.read_dropped(group, [columns.DROPPED])
        if found is not None:
            reasons.update(_counts(found))
    return Accounting(file.rows, file.kept, dict(sorted(reasons.items())))


def account_inputs(path: Path) -> Accounting:
    """Count the inputs of a table that may have several kept rows of one `index`."""
    inputs = read_columns(path, ["index", columns.DROPPED]).group_by("index").aggregate([(columns.DROPPED, "max")])
    reasons = _counts(inputs.select([f"{columns.DROPPED}_max"]).drop_null())
    return Accounting(len(inputs), len(inputs) - sum(reasons.values()), dict(sorted(reasons.items())))


def _counts(dropped: pa.Table) -> dict[str, int]:
    counts = dropped.column(0).value_counts()
    return dict(zip(counts.field("values").to_pylist(), counts.field("counts").to_pylist(), strict=True))


def _open(path: Path, names: Sequence[str]) -> columns.TableFile:
    """A table that has columns of these names."""
    if not path.is_file():
        raise TableError(f"{path}: no such table. The stage of that name makes it: dvc repro {path.stem}.")
    file = columns.TableFile(path)
    missing = set(names) - set(file.names)
    if missing:
        raise TableError(
            f"{path}: column {', '.join(sorted(missing))} is missing; the table was written by another version or "
            f"stage. Make it again: dvc repro {path.stem}."
        )
    return file


def table_of(row_type: type[Input], outcomes: Sequence[Any]) -> pa.Table:
    """Rows, kept and dropped, as a table of the schema of `row_type`, ordered by `index` and `face`."""
    records = sorted(map(_record, outcomes), key=lambda record: (record["index"], record.get("face", 0)))
    return pa.Table.from_pylist(records, schema=schema_of(row_type))


def rows_of(row_type: type[Row], table: pa.Table) -> Iterator[Row]:
    """The rows of a table of kept ones; some at a time, since a row as a mapping takes several times its own memory."""
    for batch in table.to_batches(max_chunksize=ROWS_OF_A_BATCH):
        yield from (schema.row_of(row_type, record) for record in batch.to_pylist())


def _record(row: Any) -> dict[str, Any]:
    """The columns of a row, kept or dropped."""
    if isinstance(row, Drop):
        return {
            "index": row.index,
            "file": row.file,
            "face": row.face,
            columns.DROPPED: row.reason.value,
            "drop_detail": row.detail,
        }
    return schema.record_of(row)
