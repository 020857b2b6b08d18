"""Verifies a table of a stage, and the images in the containers next to it."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.container import is_in_place, read_stored
from pipeline.errors import DropReason, SourceError
from pipeline.manifest import Stored
from pipeline.trust.fault import Fault

STORED = {"container", "offset", "size", "md5"}
ROWS_AT_ONCE = 4096
REASONS = {reason.value for reason in DropReason}


def faults_of_table(path: Path) -> Iterator[Fault]:
    """Faults of the rows, and of images that the table finds in containers of its folder (or, for `extract`, in place).

    Errors of Arrow about the file as a whole are raised.
    """
    table = pq.read_table(path)
    if "drop_reason" not in table.column_names:
        return
    dropped = table.filter(table["drop_reason"].is_valid())
    for file, reason in _values(dropped, "file", "drop_reason"):
        if reason not in REASONS:
            yield Fault(path, f"unknown reason of a drop: {reason!r}", image=file)
    kept = table.filter(table["drop_reason"].is_null())
    keys = [name for name in ("index", "face") if name in table.column_names]
    if any(second <= first for first, second in pairwise(_values(kept, *keys))):
        yield Fault(path, f"rows are not ordered by {' and '.join(keys)}, or one is there twice")
    for name in kept.column_names:
        kind = kept.schema.field(name).type
        if pa.types.is_struct(kind) and {field.name for field in kind} == STORED:
            yield from _faults_of_stored(path, _values(kept, "file", name))


def _values(table: pa.Table, *names: str) -> Iterator[tuple[Any, ...]]:
    """The values of some columns, row by row; some thousand are objects at a time."""
    for batch in table.select(names).to_batches(max_chunksize=ROWS_AT_ONCE):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _faults_of_stored(path: Path, rows: Iterator[tuple[str, dict[str, Any] | None]]) -> Iterator[Fault]:
    folder = path.parent
    for file, value in rows:
        if value is None:
            continue
        stored = Stored(**value)
        here = path.stem == "extract" if is_in_place(stored) else Path(stored.container).parent.name == folder.name
        if here:
            try:
                read_stored(folder.parent, stored)
            except SourceError as error:
                yield Fault(folder.parent / stored.container, str(error).partition(": ")[2], image=file)
