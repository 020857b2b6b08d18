"""Annotation tables as records: JSON, JSON lines, parquet, and iBUG's files of points (.pts), one per photograph."""

import io
import json
import math
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.faces.annotation_table import NAME_COLUMNS, Row, Table, has_image_suffix, plain

PTS = ".pts"
SYSTEM_FOLDERS = frozenset({"__MACOSX", "@eaDir"})
PARQUET_START, TAR_MARK = b"PAR1", b"ustar"

Record = tuple[str, Any, str]
"""The name of a photograph, what is said of it (a mapping, a list or a value), and where."""


def read_pts_files(files: Iterable[tuple[str, bytes]]) -> list[Record]:
    """The points of files of iBUG's format by the name of the file, without its suffix.

    Their coordinates count from 1; those of the records from 0.
    """
    return [(name.removesuffix(PTS), _points(content), name) for name, content in files if name.endswith(PTS)]


def pts_files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Names and bytes of all files of points below a folder, in sorted order; hidden ones are left out."""
    for path in sorted(folder.rglob(f"*{PTS}")):
        name = path.relative_to(folder)
        if path.is_file() and not any(part.startswith(".") or part in SYSTEM_FOLDERS for part in name.parts):
            yield name.as_posix(), path.read_bytes()


def pts_members(content: bytes) -> Iterator[tuple[str, bytes]]:
    """The same of a plain tar."""
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        for member in archive:
            file = archive.extractfile(member)
            if file is not None:
                yield member.name, file.read()


def is_pts(text: str) -> bool:
    """Whether a text is a file of points."""
    return text.lstrip().startswith("version:") and "n_points" in text


def read_parquet(content: bytes) -> list[Record]:
    """The rows of a parquet file; dropped rows of a table of this project are left out. `ValueError`: it is none."""
    try:
        rows = pq.read_table(pa.BufferReader(content)).to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise ValueError(str(error)) from error
    kept = [(place, row) for place, row in enumerate(rows) if row.get("drop_reason") is None]
    return [record for place, row in kept for record in _named(row, f"row {place}")]


def read_json(text: str) -> list[Record] | None:
    """The records of a JSON file or of JSON lines; None where the text is neither.

    Forms: a list of records, a mapping from names to values, pandas' forms (records, columns, index, split), and
    StyleGAN's {"labels": [[name, label], ...]}.
    """
    if text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        return list(_records(json.loads(text), "JSON"))
    except json.JSONDecodeError:
        pass
    records: list[Record] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            records += _records(json.loads(line), f"line {number}")
        except json.JSONDecodeError:
            if not records:
                return None
            records.append((line.strip()[:40], None, f"line {number}"))
    return records


def table_of(records: Sequence[Record]) -> Table:
    """The records as a table whose columns are those of the first mapping; lists are rows without a header."""
    first = next((value for _, value, _ in records if isinstance(value, Mapping)), None)
    columns = () if first is None else tuple(map(str, first))
    rows: list[Row] = []
    for name, value, where in records:
        if isinstance(value, Mapping):
            fields: Sequence[Any] = [value.get(column) for column in columns]
        else:
            fields = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
        rows.append(Row(name, [_text(field) for field in fields], where, repr(value)))
    return Table(columns, rows, None)


def _text(value: Any) -> str:
    """A value as a text table has it."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "" if value is None else str(value)


def _points(content: bytes) -> list[list[float]] | None:
    body = content.decode("latin-1").partition("{")[2].partition("}")[0]
    try:
        return [[float(x) - 1, float(y) - 1] for x, y in (line.split() for line in body.splitlines() if line.strip())]
    except ValueError:
        return None


def _records(value: Any, where: str) -> Iterator[Record]:
    if isinstance(value, list):
        for place, item in enumerate(value):
            at = f"{where}, entry {place}"
            if isinstance(item, dict):
                yield from _named(item, at)
            elif isinstance(item, list) and len(item) >= 2 and isinstance(item[0], str):
                yield item[0], item[1] if len(item) == 2 else item[1:], at
            else:
                yield f"entry {place}", None, at
    elif isinstance(value, dict):
        yield from _of_mapping(value, where)


def _of_mapping(value: dict[str, Any], where: str) -> Iterator[Record]:
    if {"columns", "data"} <= value.keys():  # pandas, split
        names = value.get("index", range(len(value["data"])))
        for name, row in zip(names, value["data"], strict=False):
            yield from _named({"": name} | dict(zip(value["columns"], row, strict=False)), where)
        return
    if _name_of(value) is not None:
        yield from _named(value, where)
        return
    lists = [inner for inner in value.values() if isinstance(inner, list) and inner]
    if len(lists) == 1 and _has_name(lists[0][0]):
        yield from _records(lists[0], where)
        return
    column_of_names = next((key for key in value if plain(key) in NAME_COLUMNS and isinstance(value[key], dict)), None)
    if column_of_names is not None:  # pandas, columns
        for place in value[column_of_names]:
            yield from _named({column: inner.get(place) for column, inner in value.items()}, where)
        return
    inner = next(iter(value.values()), None)
    if isinstance(inner, dict) and all(map(has_image_suffix, inner)) and not any(map(has_image_suffix, value)):
        value = {name: {column: values.get(name) for column, values in value.items()} for name in inner}  # the same
    for name, inner in value.items():
        yield name, inner, where


def _has_name(item: Any) -> bool:
    if isinstance(item, list):
        return len(item) > 1 and isinstance(item[0], str)
    return isinstance(item, dict) and _name_of(item) is not None


def _named(record: dict[str, Any], where: str) -> Iterator[Record]:
    """The record without its name; nothing of a record without any value."""
    key = _name_of(record)
    if key is None:
        yield f"a record without a name ({', '.join(map(str, record))[:60]})", None, where
        return
    rest = {column: _plain_number(value) for column, value in record.items() if column != key}
    if any(value is not None for value in rest.values()):
        yield str(record[key]), rest, where


def _name_of(record: Mapping[str, Any]) -> str | None:
    """The key of the name: a usual one, else the only text."""
    usual = {plain(key): key for key, value in record.items() if isinstance(value, str)}
    known = next((usual[name] for name in NAME_COLUMNS if name in usual), None)
    if known is not None:
        return known
    return next((key for key, value in record.items() if isinstance(value, str) and plain(key) in ("", "index")), None)


def _plain_number(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value
