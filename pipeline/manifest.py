"""The per-image tables that pass between stages: typed rows in, parquet out, every drop with its reason.

A table holds what a stage kept (all columns filled) and what it rejected (`index`, `file`,
`drop_reason` and `drop_detail` filled, the rest null). The next stage reads the kept rows, so
in = kept + dropped holds at every stage. Each row type extends the one before: a table's columns
tell how far its rows have come.
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
from pipeline.errors import DropReason, RejectedInputError, TableError, TooManyDroppedError

# tables are small, and the allocator that Arrow prefers keeps 20 MiB more after joining one of 100,000 rows
pa.set_memory_pool(pa.system_memory_pool())

Landmarks = Annotated[tuple[float, ...], pa.list_(pa.float32(), 10)]
"""Left eye, right eye, nose, left and right mouth corner: x, y each, in pixels of the photograph, float32."""

Quad = Annotated[tuple[float, ...], pa.list_(pa.float32(), 8)]
"""North-west, south-west, south-east, north-east corner: x, y each, in pixels, float32."""

Attributes = Annotated[tuple[int, ...], pa.list_(pa.int8())]
"""The yes/no attributes of an image as published (CelebA: 40 values, each -1 or 1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """Where some bytes lie: `size` bytes at `offset` of the file `container`, named relative to the data folder."""

    container: str
    offset: int
    size: int
    md5: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """What every row has: which input it is, counted from 0, and the name that its source gives it."""

    index: int
    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Photograph(Input):
    """A row of `extract`: one photograph as published. `index` counts from 0 (CelebA's orig_idx)."""

    photograph: Stored


@dataclass(frozen=True, slots=True, kw_only=True)
class Aligned(Photograph):
    """A row of `align`: the oriented rectangle of one face, in pixels of the photograph.

    `zoom` is output pixels per pixel of the photograph (DESIGN and SPEC §1 call it so).
    """

    width: int
    height: int
    split: str | None
    attributes: Attributes | None
    landmarks: Landmarks | None
    quad: Quad
    zoom: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Cropped(Aligned):
    """A row of `crop`: the face's region with its border. `quad` and `zoom` now refer to `pixels`.

    `pixels` holds a lossless PNG of `crop_width` x `crop_height` RGB pixels. `shrink` is the integer
    factor by which a large photograph was reduced first, `border` the margin in pixels around the rectangle.
    """

    pixels: Stored
    crop_width: int
    crop_height: int
    shrink: int
    border: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Denoised(Cropped):
    """A row of `denoise`: `pixels` now names the restored region (or still the crop, where nothing is restored)."""

    denoised: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored(Denoised):
    """A row of `superres`: the final image's quality figure (0...1, higher is better) and how it is made.

    The figure is null where the published list, not quality, decides which faces are taken.
    """

    quality: float | None
    padded: bool
    enlarge: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Selected(Scored):
    """A row of `select`: `rank` 0 is the best of all scored faces, or the first image of the published list."""

    rank: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharded(Selected):
    """A row of `shard`: image `position` of the data set is row `row` of the file `shard`.

    `image_md5` is over the (3, R, R) uint8 bytes of the full-resolution image.
    """

    position: int
    shard: str
    row: int
    image_md5: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """One rejected input."""

    index: int
    file: str
    reason: DropReason
    detail: str

    @classmethod
    def of(cls, row: Input, rejected: RejectedInputError) -> Self:
        """The drop of a row that was rejected."""
        return cls(index=row.index, file=row.file, reason=rejected.reason, detail=rejected.detail)


@dataclass(frozen=True, slots=True)
class Accounting:
    """How many inputs a stage was given, kept, and dropped by reason."""

    given: int
    kept: int
    dropped: dict[str, int]

    def check(self, stage: str, max_dropped: float) -> None:
        """Raise `TooManyDroppedError` where the dropped fraction exceeds `max_dropped` (0...1), or nothing is kept.

        Photographs that nobody asked for (NOT_PUBLISHED) count neither as given nor as dropped.
        """
        given = self.given - self.dropped.get(DropReason.NOT_PUBLISHED, 0)
        count = given - self.kept
        if self.kept and count <= max_dropped * given:
            return
        reasons = ", ".join(f"{reason}: {n}" for reason, n in sorted(self.dropped.items())) or "no input at all"
        raise TooManyDroppedError(
            f"{stage}: {count} of {given} inputs dropped ({reasons}), allowed are {max_dropped:.1%} and at "
            f"least one must remain. Look at the rows with a drop_reason in the stage's table; if they are "
            f"expected, raise {stage}.max_dropped in params.yaml."
        )


Row = TypeVar("Row", bound=Input)


def schema_of(row_type: type[Input]) -> pa.Schema:
    """The parquet schema of a row type, with the two columns that a dropped row fills."""
    columns = [pa.field(name, _arrow_type(hint)) for name, hint in _hints(row_type).items()]
    return pa.schema([*columns, pa.field("drop_reason", pa.string()), pa.field("drop_detail", pa.string())])


def extend(row: Input, row_type: type[Row], /, **added: Any) -> Row:
    """A row of the next stage: the columns of `row`, with `added` ones new or in their place."""
    return row_type(**{field.name: getattr(row, field.name) for field in fields(row)} | added)


def write_rows(path: Path, row_type: type[Row], outcomes: Iterable[Row | Drop]) -> Accounting:
    """Write kept and dropped rows, ordered by `index`, as one parquet file; return the account of it."""
    records = sorted((_record(outcome) for outcome in outcomes), key=lambda record: record["index"])
    table = pa.Table.from_pylist(records, schema=schema_of(row_type))
    _write(path, table)
    return _account(table)


def join_parts(path: Path, row_type: type[Row], parts: Sequence[Path]) -> Accounting:
    """Write the rows of several tables of one row type as one, ordered by `index`."""
    schema = schema_of(row_type)
    table = pa.concat_tables([pq.read_table(part, schema=schema) for part in parts]) if parts else schema.empty_table()
    table = table.sort_by("index")
    _write(path, table)
    return _account(table)


def read_kept(path: Path, row_type: type[Row], start: int = 0, stop: int | None = None) -> list[Row]:
    """The kept rows `start`...`stop` of a table, as `row_type` (the table may hold more columns).

    Raises
    ------
    TableError
        The file is absent or lacks a column.
    """
    table = _kept(path, row_type)
    stop = table.num_rows if stop is None else stop
    return [_row(row_type, record) for record in table.slice(start, max(stop - start, 0)).to_pylist()]


def read_kept_at(path: Path, row_type: type[Row], places: Sequence[int]) -> list[Row]:
    """The kept rows at `places` (0 is the first by index), in that order; errors as `read_kept`."""
    return [_row(row_type, record) for record in _kept(path, row_type).take(pa.array(places, pa.int64())).to_pylist()]


def read_dropped(path: Path) -> list[Drop]:
    """The rejected rows of a table."""
    table = _read(path, ["index", "file", "drop_reason", "drop_detail"])
    return [
        Drop(index=r["index"], file=r["file"], reason=DropReason(r["drop_reason"]), detail=r["drop_detail"])
        for r in table.to_pylist()
        if r["drop_reason"] is not None
    ]


def account(path: Path) -> Accounting:
    """The account of a table on disk."""
    return _account(_read(path, ["drop_reason"]))


def _kept(path: Path, row_type: type[Input]) -> pa.Table:
    table = _read(path, [*(field.name for field in fields(row_type)), "drop_reason"])
    return table.filter(table["drop_reason"].is_null()).drop_columns("drop_reason")


def _account(table: pa.Table) -> Accounting:
    reasons = Counter(reason for reason in table["drop_reason"].to_pylist() if reason is not None)
    return Accounting(table.num_rows, table.num_rows - reasons.total(), dict(sorted(reasons.items())))


def _write(path: Path, table: pa.Table) -> None:
    with atomic.writing(path) as partial:
        pq.write_table(table, partial, compression="zstd")


def _read(path: Path, columns: list[str]) -> pa.Table:
    if not path.is_file():
        raise TableError(f"{path}: no such table. It is made by the stage of its folder's name: dvc repro {path.stem}.")
    missing = set(columns) - set(pq.read_schema(path).names)
    if missing:
        raise TableError(
            f"{path}: column {', '.join(sorted(missing))} is missing; the table was written by another version or "
            f"stage. Run dvc repro {path.stem} again."
        )
    return pq.read_table(path, columns=columns)


def _record(outcome: Input | Drop) -> dict[str, Any]:
    if isinstance(outcome, Drop):
        return {
            "index": outcome.index,
            "file": outcome.file,
            "drop_reason": outcome.reason.value,
            "drop_detail": outcome.detail,
        }
    return _plain(outcome)


def _plain(row: Any) -> dict[str, Any]:
    """As `dataclasses.asdict`, but nothing is copied: rows and what they hold never change."""
    values = ((name, getattr(row, name)) for name in _hints(type(row)))
    return {name: _plain(value) if is_dataclass(value) else value for name, value in values}


def _row(row_type: type[Row], record: dict[str, Any]) -> Row:
    values: dict[str, Any] = {}
    for name, hint in _hints(row_type).items():
        value = record[name]
        if value is not None and is_dataclass(hint):
            value = typing.cast(Any, hint)(**value)
        values[name] = tuple(value) if isinstance(value, list) else value
    return row_type(**values)


@cache
def _hints(row_type: type) -> dict[str, Any]:
    hints = typing.get_type_hints(row_type, include_extras=True)
    return {field.name: hints[field.name] for field in fields(row_type)}


_SCALARS: dict[Any, pa.DataType] = {int: pa.int64(), float: pa.float64(), str: pa.string(), bool: pa.bool_()}


def _arrow_type(hint: Any) -> pa.DataType:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        (hint,) = [option for option in typing.get_args(hint) if option is not type(None)]
    if typing.get_origin(hint) is Annotated:
        return typing.get_args(hint)[1]
    if is_dataclass(hint):
        return pa.struct(
            [pa.field(name, _arrow_type(inner)) for name, inner in _hints(typing.cast(type, hint)).items()]
        )
    return _SCALARS[hint]
