"""Dataclasses as rows of tables: the Arrow type of each field, and conversion in both directions."""

import types
import typing
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Annotated, Any, TypeVar

import pyarrow as pa

Row = TypeVar("Row")


def fields_of(row_type: type) -> list[pa.Field]:
    """The columns of a dataclass. `Annotated` fields name their Arrow type; dataclasses in it are structs."""
    return [pa.field(name, _arrow_type(hint)) for name, hint in _hints(row_type).items()]


def record_of(row: Any) -> dict[str, Any]:
    """The fields of a row as Arrow wants them; as `dataclasses.asdict`, but without copies."""
    values = ((name, getattr(row, name)) for name in _hints(type(row)))
    return {name: record_of(value) if is_dataclass(value) else value for name, value in values}


def row_of(row_type: type[Row], record: dict[str, Any]) -> Row:
    """The row whose fields Arrow gave as `record`, which may have more."""
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
