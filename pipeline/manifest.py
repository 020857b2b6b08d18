"""The tables that stages exchange: typed rows in, parquet out, with a reason for every dropped input.

A table holds the rows that a stage kept (all columns filled) and those that it dropped (only `index`, `file`,
`drop_reason` and `drop_detail` filled). The next stage reads the kept rows, so at every stage input = kept + dropped.
Each row type extends that of the stage before.
"""

import types
import typing
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import atomic
from pipeline.errors import DropReason, RejectedInputError, TableError

# tables are small, and Arrow's default allocator keeps 20 MiB more after a join of 100,000 rows
pa.set_memory_pool(pa.system_memory_pool())

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
    columns = [pa.field(name, _arrow_type(hint)) for name, hint in _hints(row_type).items()]
    return pa.schema([*columns, pa.field("drop_reason", pa.string()), pa.field("drop_detail", pa.string())])


def extend(row: Input, row_type: type[Row], /, **added: Any) -> Row:
    """A row of the next stage: the columns of `row` that it has, extended or replaced by `added`."""
    wanted = {field.name for field in fields(row_type)} & {field.name for field in fields(row)}
    return row_type(**{name: getattr(row, name) for name in wanted} | added)


def write_rows(path: Path, row_type: type[Row], outcomes: Iterable[Row | Drop]) -> Accounting:
    """Write kept and dropped rows, ordered by `index` and `face`, as a parquet file."""
    records = sorted(
        (_record(outcome) for outcome in outcomes), key=lambda record: (record["index"], record.get("face", 0))
    )
    return _write(path, pa.Table.from_pylist(records, schema=schema_of(row_type)))


def join_parts(path: Path, row_type: type[Row], parts: Sequence[Path]) -> Accounting:
    """Concatenate tables of one row type, ordered by `index` and `face`."""
    schema = schema_of(row_type)
    table = pa.concat_tables([pq.read_table(part, schema=schema) for part in parts]) if parts else schema.empty_table()
    keys = [name for name in ("index", "face") if name in schema.names]
    return _write(path, table.sort_by([(name, "ascending") for name in keys]))


def read_kept(path: Path, row_type: type[Row], start: int = 0, stop: int | None = None) -> list[Row]:
    """Read the kept rows `start`...`stop`; `TableError` if the file is absent or lacks a column of `row_type`."""
    return [_row(row_type, record) for record in _kept(path, row_type)[start:stop].to_pylist()]


def read_kept_at(path: Path, row_type: type[Row], places: Sequence[int]) -> list[Row]:
    """Read the kept rows at `places` (0 is the first by index), in that order; errors as `read_kept`."""
    return [_row(row_type, record) for record in _kept(path, row_type).take(pa.array(places, pa.int64())).to_pylist()]


def read_columns(path: Path, columns: Sequence[str]) -> pa.Table:
    """Some columns of all rows, kept and dropped; errors as `read_kept`."""
    return _read(path, list(columns))


def read_dropped(path: Path) -> list[Drop]:
    """Read the dropped rows of a table."""
    columns = ["index", "file", "drop_reason", "drop_detail"]
    if path.is_file() and "face" in pq.read_schema(path).names:
        columns.append("face")
    table = _read(path, columns)
    records = table.filter(table["drop_reason"].is_valid()).to_pylist()
    return [Drop(reason=DropReason(r.pop("drop_reason")), detail=r.pop("drop_detail"), **r) for r in records]


def account(path: Path) -> Accounting:
    """Count the rows of a table."""
    return _account(_read(path, ["drop_reason"]))


def account_inputs(path: Path) -> Accounting:
    """Count the inputs of a table that may have several kept rows of one `index`."""
    inputs = _read(path, ["index", "drop_reason"]).group_by("index").aggregate([("drop_reason", "max")])
    return _account(inputs.select(["drop_reason_max"]).rename_columns(["drop_reason"]))


def _kept(path: Path, row_type: type[Input]) -> pa.Table:
    table = _read(path, [*(field.name for field in fields(row_type)), "drop_reason"])
    return table.filter(table["drop_reason"].is_null()).drop_columns("drop_reason")


def _account(table: pa.Table) -> Accounting:
    reasons = Counter(reason for reason in table["drop_reason"].to_pylist() if reason is not None)
    return Accounting(table.num_rows, table.num_rows - reasons.total(), dict(sorted(reasons.items())))


def _write(path: Path, table: pa.Table) -> Accounting:
    with atomic.writing(path) as partial:
        pq.write_table(table, partial, compression="zstd")
    return _account(table)


def _read(path: Path, columns: list[str]) -> pa.Table:
    if not path.is_file():
        raise TableError(f"{path}: no such table. The stage of that name makes it: dvc repro {path.stem}.")
    missing = set(columns) - set(pq.read_schema(path).names)
    if missing:
        raise TableError(
            f"{path}: column {', '.join(sorted(missing))} is missing; the table was written by another version or "
            f"stage. Make it again: dvc repro {path.stem}."
        )
    return pq.read_table(path, columns=columns)


def _record(row: Any) -> dict[str, Any]:
    """The columns of a row, kept or dropped; as `dataclasses.asdict`, but without copies."""
    if isinstance(row, Drop):
        return {
            "index": row.index,
            "file": row.file,
            "face": row.face,
            "drop_reason": row.reason.value,
            "drop_detail": row.detail,
        }
    values = ((name, getattr(row, name)) for name in _hints(type(row)))
    return {name: _record(value) if is_dataclass(value) else value for name, value in values}


def _row(row_type: type[Row], record: dict[str, Any]) -> Row:
    values: dict[str, Any] = {}
    for name, hint in _hints(row_type).items():
        value = record[name]
        if isinstance(value, dict):
            value = _without_none(hint)(**value)
        values[name] = tuple(value) if isinstance(value, list) else value
    return row_type(**values)


@cache
def _hints(row_type: type) -> dict[str, Any]:
    hints = typing.get_type_hints(row_type, include_extras=True)
    return {field.name: hints[field.name] for field in fields(row_type)}


_SCALARS: dict[Any, pa.DataType] = {int: pa.int64(), float: pa.float64(), str: pa.string(), bool: pa.bool_()}


def _without_none(hint: Any) -> Any:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        (hint,) = [option for option in typing.get_args(hint) if option is not type(None)]
    return hint


def _arrow_type(hint: Any) -> pa.DataType:
    hint = _without_none(hint)
    if typing.get_origin(hint) is Annotated:
        return typing.get_args(hint)[1]
    if is_dataclass(hint):
        return pa.struct({name: _arrow_type(inner) for name, inner in _hints(typing.cast(type, hint)).items()})
    return _SCALARS[hint]
