"""Annotation files as people have them: landmarks, split and attributes of each photograph.

CelebA's text, tables with commas, semicolons or tabs (Kaggle's, a spreadsheet's, pandas'), JSON, JSON lines, parquet,
and for landmarks iBUG's .pts files. A header may order the columns in any way. The format is found in the file, not in
its name. A row that cannot be read is an error of that photograph alone.
"""

import codecs
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.errors import SourceError
from pipeline.faces import annotation_records as records
from pipeline.faces import five_points
from pipeline.faces.annotation_columns import ByName, Names, Plain, numbers_in, read_plain
from pipeline.faces.annotation_records import Record
from pipeline.faces.annotation_table import IGNORED_COLUMNS, NAME_COLUMNS, Row, Table, has_image_suffix, plain
from pipeline.faces.annotation_text import read_text
from pipeline.faces.five_points import Face, Layout

LANDMARK_COLUMNS = five_points.COLUMNS
SPLITS = {
    **{"0": "train", "1": "validation", "2": "test"},
    **{"train": "train", "training": "train", "val": "validation", "valid": "validation", "validation": "validation"},
    "test": "test",
}
SIGNS = {
    **{"1": 1, "-1": -1, "1.0": 1, "-1.0": -1, "+1": 1},
    **{"true": 1, "false": -1, "yes": 1, "no": -1},
}
ZEROS = frozenset({"0", "0.0"})
"""Stand for no where a file has no -1."""

_SPLIT_NAMES = sorted({*SPLITS.values()})
_SPLIT_NUMBERS = {word: _SPLIT_NAMES.index(split) for word, split in SPLITS.items()}
_SIGN_NUMBERS = SIGNS | dict.fromkeys(ZEROS, 0)

MISSING = frozenset({"", "na", "n/a", "nan", "null"})
"""Stand for no value; in lower case."""

MAX_CLASSES = 1000
"""More classes than this in one column are taken for names of something else."""

NORMALISED_LIMIT = 1.5
"""Coordinates up to this, of whole photographs, may be in units of their width and height."""

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Annotations(Generic[Value]):
    """One annotation file.

    `values` are by photograph; `errors` by photograph, with the row that cannot be read.
    `columns` are the names in the header, empty without one. `warnings` cost no photograph. `normalised`: landmarks are
    in units of the photograph's width and height.
    """

    path: Path
    values: ByName[Value]
    errors: dict[str, str]
    columns: tuple[str, ...]
    warnings: tuple[str, ...]
    normalised: bool = False


def read_landmarks(path: Path, names: Names | None = None) -> Annotations[tuple[Face, ...]]:
    """The faces of each photograph: x and y of left eye, right eye, nose, left and right mouth corner.

    `path` is a file, or a folder of .pts files. `pipeline.faces.five_points` says how five of more points are chosen.
    Equal rows count once. `names`, those of the photographs, spares memory where several files are read.

    `SourceError`: the file is absent or no text, holds no readable row, or has other columns.
    """
    expected = f"{' or '.join(map(str, five_points.COUNTS))} numbers ({' '.join(LANDMARK_COLUMNS)}, or more points)"
    source = _load(path, five_points.COUNTS, _is_number)
    columns, declared, count, plain = (), None, 0, Plain.none_of(())
    if isinstance(source, Table):
        columns, declared, count = source.columns, source.declared, len(source.rows)
        layout = _layout(path, columns)
        plain = _plain_faces(source, layout, names)
        rows = _faces_of_rows(plain.odd, columns, layout)
    else:
        rows = ((name, five_points.faces_in(value), where, "") for name, value, where in source)
    values: dict[str, tuple[Face, ...]] = {}
    errors: dict[str, str] = {}
    equal: list[str] = []
    for name, faces, where, text in rows:
        for face in faces:
            if face is None:
                what = f"{text[:120]!r} is" if text else f"what it says of {name} is"
                errors.setdefault(name, f"{path.name}, {where}: {what} not a file name and {expected}")
            elif face in values.get(name, ()):
                equal.append(name)
            else:
                values[name] = (*values.get(name, ()), face)
    found = ByName(plain.names, plain.numbers_NK, lambda face: (tuple(face),), values)
    _require(path, found, errors, f"a file name and {expected}")
    warnings = _count_warning(path, declared, count)
    if equal:
        warnings.append(f"{path.name}: {len(equal)} rows are there twice ({', '.join(equal[:3])}); each is used once")
    return Annotations(path, found, errors, columns, tuple(warnings), _is_normalised(found))


def read_partition(path: Path, names: Names | None = None) -> Annotations[str]:
    """The split of each photograph: train, validation or test (0, 1, 2 in the file); errors as `read_landmarks`."""
    table = _table(path, (1,), lambda field: field.lower() in SPLITS)
    places = _value_places(table)
    plain = read_plain(table.rows, numbers_in(_SPLIT_NUMBERS), len(table.columns), places, names)
    if plain.names and plain.numbers_NK.shape[1] != 1:
        plain = Plain.none_of(table.rows)
    return _read(
        path,
        table,
        plain,
        value_of=lambda number: _SPLIT_NAMES[number[0]],
        parse=lambda fields: SPLITS.get(fields[0].lower()) if len(fields) == 1 else None,
        expected="0, 1 or 2 (train, validation, test)",
        places=places,
    )


def split_names(numbers_NK: NDArray[Any], places_M: NDArray[np.int64]) -> pa.Array:
    """The splits in the rows `places_M` of what `read_partition` read; null for -1."""
    known_M = places_M >= 0
    numbers_M = np.zeros(len(places_M), np.int64)
    numbers_M[known_M] = numbers_NK[places_M[known_M]].ravel()
    return pa.array(_SPLIT_NAMES).take(pa.array(numbers_M, mask=~known_M))


def read_attributes(path: Path, names: Names | None = None) -> Annotations[tuple[int, ...]]:
    """The labels of each photograph, 1 or -1; `columns` has their names; errors as `read_landmarks`.

    Yes and no are 1 and -1, 1 and 0 (where the file has no -1), true and false. A single column of other values, such
    as names, is a class of each photograph: one label for each class, in sorted order.

    All rows have the same number of labels: that of the header or, without one, of most rows. Others are errors.
    """
    table = _table(path, (), lambda field: bool(field) and not any(map(has_image_suffix, field.split())))
    places = _value_places(table)
    plain = read_plain(table.rows, numbers_in(_SIGN_NUMBERS), len(table.columns), places, names)
    return _attributes(path, table, places, plain)


def _attributes(path: Path, table: Table, places: Sequence[int] | None, plain: Plain) -> Annotations[tuple[int, ...]]:
    columns = tuple(table.columns[place] for place in places) if places is not None else ()
    found_fields, lengths, alone = set[str](), Counter[int](), set[str]()
    if plain.names:
        found_fields.update(str(number) for number in np.unique(plain.numbers_NK))
        lengths[plain.numbers_NK.shape[1]] = len(plain.names)
    for row in plain.odd:
        kept = row.fields if places is None else [row.fields[p] for p in places if p < len(row.fields)]
        found_fields.update(kept)
        lengths[len(kept)] += 1
        alone.update(kept if len(kept) == 1 else ())
    single = len(places) == 1 if places is not None else set(lengths) <= {1}
    fields = {field.lower() for field in found_fields}
    has_minus = any(SIGNS.get(field) == -1 for field in fields)
    are_classes = single and not fields <= {*SIGNS, *ZEROS, *MISSING}
    if plain.names and (are_classes or (has_minus and not plain.numbers_NK.all())):
        return _attributes(path, table, places, Plain.none_of(table.rows))  # 0 and 1 are names, or 0 is an error
    classes = _classes(alone) if are_classes else []
    if classes:
        hot = {name: tuple(1 if other == name else -1 for other in classes) for name in classes}
        found = _read(
            path,
            table,
            plain,
            value_of=tuple,
            parse=lambda row: hot.get(row[0]) if len(row) == 1 else None,
            expected="a class",
            places=places,
        )
        return _renamed(found, tuple(classes))
    signs = SIGNS if has_minus else SIGNS | dict.fromkeys(ZEROS, -1)
    plain.numbers_NK[plain.numbers_NK == 0] = -1
    usual = len(columns) or (lengths.most_common(1)[0][0] if lengths else 0)

    sign_of = {field: signs[field.lower()] for field in found_fields if field.lower() in signs}

    def parse(row: Sequence[str]) -> tuple[int, ...] | None:
        values = tuple(map(sign_of.get, row))
        return cast(tuple[int, ...], values) if values and None not in values else None

    found = _read(
        path,
        table,
        plain,
        value_of=tuple,
        parse=parse,
        expected="as many fields as there are columns, each 1 or -1",
        places=places,
    )
    odd = {
        name: f"{path.name}: the row of {name} has {len(value)} attributes, others have {usual}"
        for name, value in found.values.others.items()
        if len(value) != usual
    }
    values = found.values.without(odd)
    _require(path, values, odd, "a file name and as many attributes as there are columns")
    return Annotations(path, values, found.errors | odd, columns, found.warnings)


def _renamed(found: Annotations[Value], columns: tuple[str, ...]) -> Annotations[Value]:
    return Annotations(found.path, found.values, found.errors, columns, found.warnings)


def _classes(fields: Collection[str]) -> list[str]:
    """The classes of a single column, sorted (numbers by value); none where it has fractions: measurements."""
    names = sorted((name for name in fields if name.lower() not in MISSING), key=_class_order)
    fractions = any(_is_number(name) and not float(name).is_integer() for name in names)
    return names if len(names) <= MAX_CLASSES and not fractions else []


def _class_order(name: str) -> tuple[bool, int, str]:
    return (False, int(name), "") if name.isdecimal() else (True, 0, name)


def _layout(path: Path, columns: tuple[str, ...]) -> Layout | None:
    """Which values of a row make the points; None where there is no header."""
    if not columns:
        return None
    layout = five_points.layout_of_columns(columns)
    if layout is None:
        raise SourceError(
            f"{path}: the header has the columns {' '.join(columns)}, expected are "
            f"{' '.join(LANDMARK_COLUMNS)} in any order, or x_0 y_0 ... of 68, 468 or 478 points. Rename them."
        )
    return layout


def _plain_faces(table: Table, layout: Layout | None, names: Names | None) -> Plain:
    """The faces of rows of five points."""
    own = layout or five_points.layout_of_count(10) or ()
    if any(len(group) > 1 for group in own):
        return Plain.none_of(table.rows)
    return read_plain(
        table.rows,
        lambda fields: np.array([*map(float, fields)]) + 0.0,  # -0 is 0
        len(table.columns) or 10,
        [place for (place,) in own],
        names,
    )


def _faces_of_rows(
    rows: Iterable[Row], columns: Sequence[str], layout: Layout | None
) -> Iterator[tuple[str, list[Face | None], str, str]]:
    for row in rows:
        own = layout or five_points.layout_of_count(len(row.fields))
        whole = own is not None and (not columns or len(row.fields) == len(columns))
        yield row.name, [five_points.pick(own, row.fields) if own and whole else None], row.where, row.text


def _is_normalised(values: ByName[tuple[Face, ...]]) -> bool:
    """Whether coordinates are fractions of the photograph's size: nearly all lie in 0...1, and not all are whole."""
    numbers_N10 = values.numbers_NK.reshape(-1, 10)
    most_N, least_N = numbers_N10.max(axis=1), numbers_N10.min(axis=1)
    plain_N: NDArray[np.bool_] = most_N > least_N  # not of NaN
    small_N10 = numbers_N10[plain_N & (np.maximum(most_N, -least_N) <= NORMALISED_LIMIT)]
    others = [face for found in values.others.values() for face in found if max(face) > min(face)]
    small = [face for face in others if max(map(abs, face)) <= NORMALISED_LIMIT]
    fractions = bool((small_N10 % 1 != 0).any()) or any(not float(v).is_integer() for face in small for v in face)
    return len(small_N10) + len(small) > 0.9 * (int(plain_N.sum()) + len(others)) and fractions


def _value_places(table: Table) -> list[int] | None:
    """Which columns hold values: not an index, a second name, nor what a detector adds; None without a header."""
    if not table.columns:
        return None
    places = [place for place, column in enumerate(table.columns) if plain(column) not in IGNORED_COLUMNS]
    others = [place for place in places if plain(table.columns[place]) not in NAME_COLUMNS]
    return others or places  # of a person's name or id alone, a class


def _read(
    path: Path,
    table: Table,
    plain: Plain,
    *,
    value_of: Callable[[list[int]], Value],
    parse: Callable[[Sequence[str]], Value | None],
    expected: str,
    places: Sequence[int] | None,
) -> Annotations[Value]:
    values: dict[str, Value] = {}
    errors: dict[str, str] = {}
    for row in plain.odd:
        name, value = row.name, _parsed(row, table, parse, places)
        if value is not None and (value == values.get(name) or (name not in values and name not in errors)):
            values[name] = value
        elif name in values or name in errors:
            values.pop(name, None)
            errors[name] = f"{path.name}, {row.where}: another row for {name}; keep one of them"
        else:
            errors[name] = f"{path.name}, {row.where}: {row.text[:120]!r} is not a file name and {expected}"
    found = ByName(plain.names, plain.numbers_NK, value_of, values)
    _require(path, found, errors, f"a file name and {expected}")
    warnings = _count_warning(path, table.declared, len(table.rows))
    return Annotations(path, found, errors, table.columns, tuple(warnings))


def _parsed(
    row: Row, table: Table, parse: Callable[[Sequence[str]], Value | None], places: Sequence[int] | None
) -> Value | None:
    if places is None:
        return parse(row.fields)
    if len(row.fields) != len(table.columns):
        return None
    return parse([row.fields[place] for place in places])


def _count_warning(path: Path, declared: int | None, found: int) -> list[str]:
    return [] if declared in (None, found) else [f"{path.name}: line 1 says {declared} rows, found are {found}"]


def _require(path: Path, values: Mapping[str, object], errors: Mapping[str, str], expected: str) -> None:
    if not values:
        first = next(iter(errors.values()), "the file has no rows")
        raise SourceError(f"{path}: no row of a photograph could be read; a row is {expected}. The first: {first}.")


def _table(path: Path, counts: Collection[int], is_value: Callable[[str], bool]) -> Table:
    source = _load(path, counts, is_value)
    return source if isinstance(source, Table) else records.table_of(source)


def _load(path: Path, counts: Collection[int], is_value: Callable[[str], bool]) -> Table | list[Record]:
    """The table in a file or, where it has names of points or values, the records."""
    if path.is_dir():
        return _some_pts(path, records.pts_files(path))
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise SourceError(f"{path}: no such annotation file.") from error
    if content.startswith(records.PARQUET_START):
        try:
            return records.read_parquet(content)
        except ValueError as error:
            raise SourceError(f"{path}: a damaged parquet file ({error}). Write it again.") from error
    if content[257:262] == records.TAR_MARK:
        return _some_pts(path, records.pts_members(content))
    text = _decoded(path, content)
    if records.is_pts(text):
        return records.read_pts_files([(path.with_suffix(records.PTS).name, content)])
    del content  # is as large as the text
    found = records.read_json(text)
    return read_text(text, counts, lru_cache(1 << 14)(is_value)) if found is None else found


def _some_pts(path: Path, files: Iterator[tuple[str, bytes]]) -> list[Record]:
    found = records.read_pts_files(files)
    if not found:
        raise SourceError(f"{path}: holds no .pts file. Name a file of landmarks, or a folder of .pts files.")
    return found


def _decoded(path: Path, content: bytes) -> str:
    """The text of a file: UTF-8 or UTF-16, with or without a mark; else the code page of Western Windows."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encodings: Iterable[str] = ("utf-16",)
    elif content[1:2] == b"\0" and content[3:4] == b"\0":
        encodings = ("utf-16-le",)
    elif content[:1] == b"\0" and content[2:3] == b"\0":
        encodings = ("utf-16-be",)
    else:
        encodings = ("utf-8-sig", "cp1252")
    fault: UnicodeDecodeError | None = None
    for encoding in encodings:
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError as error:
            fault = error
            continue
        if any(character < " " and character not in "\t\n\r\f\v" for character in text[:4096]):
            break
        return text
    why = fault or "it holds control characters"
    raise SourceError(f"{path}: no text file ({why}). Give the unpacked annotation file.")


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True
