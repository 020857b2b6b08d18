"""CelebA's annotation files: landmarks, split and attributes of each photograph.

All three are text, fields separated by spaces. Landmarks and attributes start with the number of rows and a line of
column names; either line may be missing, and the number may be wrong. A row that cannot be read is an error of that
photograph alone.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

from pipeline.errors import SourceError

LANDMARK_COLUMNS = tuple(
    f"{point}_{axis}" for point in ("lefteye", "righteye", "nose", "leftmouth", "rightmouth") for axis in "xy"
)
SPLITS = {"0": "train", "1": "validation", "2": "test"}

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Annotations(Generic[Value]):
    """One annotation file.

    `values` are by photograph, in the order of the file; `errors` by photograph, with the line that cannot be read.
    `columns` are the names in the header, empty without one. `warnings` cost no photograph.
    """

    path: Path
    values: dict[str, Value]
    errors: dict[str, str]
    columns: tuple[str, ...]
    warnings: tuple[str, ...]


def read_landmarks(path: Path) -> Annotations[tuple[float, ...]]:
    """Ten numbers per photograph: x and y of left eye, right eye, nose, left and right mouth corner, in pixels.

    `SourceError`: the file is absent or no text, holds no readable row, or has other columns or another order of them.
    """
    annotations = _read(path, _numbers, f"ten numbers ({' '.join(LANDMARK_COLUMNS)})")
    if annotations.columns not in ((), LANDMARK_COLUMNS):
        raise SourceError(
            f"{path}: the header has the columns {' '.join(annotations.columns)}, expected are "
            f"{' '.join(LANDMARK_COLUMNS)} in this order. Reorder the columns of the file."
        )
    return annotations


def read_partition(path: Path) -> Annotations[str]:
    """The split of each photograph: train, validation or test (0, 1, 2 in the file); errors as `read_landmarks`."""
    return _read(path, _split, "0, 1 or 2 (train, validation, test)")


def read_attributes(path: Path) -> Annotations[tuple[int, ...]]:
    """The yes/no attributes of each photograph, 1 or -1; `columns` has their names; errors as `read_landmarks`.

    All rows have the same number of attributes: that of the header or, without one, of most rows. Others are errors.
    """
    found = _read(path, _signs, "as many fields as there are columns, each 1 or -1")
    usual = Counter(map(len, found.values.values())).most_common(1)[0][0]
    odd = {
        name: f"{path.name}: the row of {name} has {len(value)} attributes, others have {usual}"
        for name, value in found.values.items()
        if len(value) != usual
    }
    values = {name: value for name, value in found.values.items() if name not in odd}
    return replace(found, values=values, errors=found.errors | odd)


def _numbers(fields: Sequence[str], columns: Sequence[str]) -> tuple[float, ...] | None:
    return _floats(fields) if len(fields) == len(LANDMARK_COLUMNS) else None


def _split(fields: Sequence[str], columns: Sequence[str]) -> str | None:
    return SPLITS.get(fields[0]) if len(fields) == 1 else None


def _signs(fields: Sequence[str], columns: Sequence[str]) -> tuple[int, ...] | None:
    if not fields or not {"1", "-1"}.issuperset(fields) or (columns and len(fields) != len(columns)):
        return None
    return tuple(1 if field == "1" else -1 for field in fields)


def _read(
    path: Path, parse: Callable[[Sequence[str], Sequence[str]], Value | None], expected: str
) -> Annotations[Value]:
    lines = _lines(path)
    declared, columns, start = _head(lines)
    values: dict[str, Value] = {}
    errors: dict[str, str] = {}
    for number, line in enumerate(itertools.islice(lines, start, None), start + 1):
        if not (fields := line.split()):
            continue
        name, value = fields[0], parse(fields[1:], columns)
        if name in values or name in errors:
            values.pop(name, None)
            errors[name] = f"{path.name}, line {number}: another row for {name}; keep one of them"
        elif value is None:
            errors[name] = f"{path.name}, line {number}: {line.strip()[:120]!r} is not a file name and {expected}"
        else:
            values[name] = value
    if not values:
        first = next(iter(errors.values()), "the file has no rows")
        raise SourceError(
            f"{path}: no row of a photograph could be read; a row is a file name and {expected}, separated by spaces "
            f"(not by commas). The first: {first}."
        )
    warnings: list[str] = []
    if declared not in (None, len(values) + len(errors)):
        warnings.append(f"{path.name}: line 1 says {declared} rows, found are {len(values) + len(errors)}")
    return Annotations(path, values, errors, columns, tuple(warnings))


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError as error:
        raise SourceError(f"{path}: no such annotation file.") from error
    except UnicodeDecodeError as error:
        raise SourceError(f"{path}: no text file ({error}). Give the unpacked annotation file.") from error


def _head(lines: Sequence[str]) -> tuple[int | None, tuple[str, ...], int]:
    """The declared number of rows, the column names, and how many lines these take."""
    counted = bool(lines) and lines[0].strip().isdecimal()
    declared = int(lines[0]) if counted else None
    names = lines[counted].split() if len(lines) > counted else []
    if len(names) < 2 or any(_floats([name]) for name in names[1:]):
        return declared, (), int(counted)
    return declared, tuple(names), counted + 1


def _floats(fields: Sequence[str]) -> tuple[float, ...] | None:
    try:
        return tuple(map(float, fields))
    except ValueError:
        return None
