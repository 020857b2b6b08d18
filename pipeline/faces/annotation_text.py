"""Annotation tables as text: CelebA's, fields separated by spaces, and those that spreadsheets and pandas write.

Separators are spaces, tabs, commas, semicolons or bars; the first line may be the number of rows, the next one (or the
first) a header. Comments before it (#) and Excel's line `sep=;` count for nothing. Names may hold spaces and
separators: the values are the last fields of a row, the rest is the name.
"""

import csv
import re
import sys
from array import array
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray

from pipeline.faces.annotation_table import (
    NAME_COLUMNS,
    Row,
    Rows,
    Table,
    has_image_suffix,
    is_name_column,
    plain,
    unquoted,
)

SEPARATORS = ";\t,|"
SAMPLE = 200
"""Rows that decide about separator, header and number of values."""

_OPEN_QUOTE = re.compile(r'^(?:[^"]*(?:"[^"]*")*[;,\t|])?"[^"]*$')
"""A line whose last cell begins with a quote and does not end."""

csv.field_size_limit(sys.maxsize)  # a line that is tried with another separator is one cell

CHARACTERS_AT_ONCE = 1 << 20

Line = tuple[int, str]
IsValue = Callable[[str], bool]


class Lines(Sequence[Line]):
    """Lines of a text by number, where they stand in it: as objects they take some times the memory of the text."""

    def __init__(self, text: str, spans_N3: NDArray[np.int64]) -> None:
        self._text, self._spans_N3 = text, spans_N3

    def __len__(self) -> int:
        return len(self._spans_N3)

    @overload
    def __getitem__(self, place: int) -> Line: ...
    @overload
    def __getitem__(self, place: slice) -> "Lines": ...
    def __getitem__(self, place: int | slice) -> "Line | Lines":
        if isinstance(place, slice):
            return Lines(self._text, self._spans_N3[place])
        number, start, stop = self._spans_N3[place].tolist()
        return number, "\n".join(self._text[start:stop].splitlines())


def read_text(text: str, counts: Collection[int], is_value: IsValue) -> Table:
    """Read a table.

    `counts` are the numbers of values that a row may have, empty for any; `is_value` tells whether a field is a value.
    Both decide where the name ends.
    """
    lines = _lines(text)
    declared = None
    comments = next((count for count, (_, line) in enumerate(lines) if not line.startswith("#")), 0)
    if comments and lines[comments][1].strip().isdecimal():
        lines = lines[comments:]
    if lines and lines[0][1].strip().isdecimal() and (len(lines) == 1 or not lines[1][1].strip().isdecimal()):
        declared, lines = int(lines[0][1]), lines[1:]
    if lines and re.fullmatch(r"sep=.", lines[0][1].strip()):
        lines = lines[1:]
    separator = _separator([line for _, line in lines[1 : SAMPLE + 1]] or [line for _, line in lines], is_value)
    while len(lines) > 1 and _is_comment(lines[0][1], lines[1][1], separator):
        lines = lines[1:]
    columns, lines = _header(lines, separator, is_value)
    if separator is None:
        rows = _spaced(lines, columns, counts, is_value)
        columns = columns[1:] if columns and is_name_column(columns[0]) else columns
    else:
        columns, rows = _separated(lines, columns, separator, counts, is_value)
    return Table(columns, rows, declared)


def _lines(text: str) -> Lines:
    """The lines that are not blank; a quoted cell may hold line breaks, and is then part of one line."""
    found, begun, stop = array("q"), array("q"), 0
    for number, line in enumerate(_pieces(text), 1):
        start, stop = stop, stop + len(line)
        span = (number, start, stop)
        if begun or _OPEN_QUOTE.search(line):
            ends = len(begun) > 0 and line.count('"') % 2 == 1
            begun.extend(span)
            if ends:
                found.extend((begun[0], begun[1], stop))
                del begun[:]
        elif not line.isspace():
            found.extend(span)
    for place in range(0, len(begun), 3):  # no quote closes these
        number, start, end = begun[place : place + 3]
        found.extend(() if text[start:end].isspace() else (number, start, end))
    return Lines(text, np.array(found).reshape(-1, 3))


def _pieces(text: str) -> Iterator[str]:
    """The lines of a text, with their ends."""
    start = 0
    while start < len(text):
        stop = text.find("\n", start + CHARACTERS_AT_ONCE) + 1 or len(text)
        yield from text[start:stop].splitlines(keepends=True)
        start = stop


def _separator(sample: Sequence[str], is_value: IsValue) -> str | None:
    """The separator by which most rows start or end with a value, and none where only spaces do that."""
    for separator in SEPARATORS:
        cells = [_cells(line, separator) for line in sample]
        ends = [(_number(row[0]), _number(row[-1] or row[-2])) for row in cells if len(row) > 1]
        good = sum(any(map(is_value, pair)) for pair in ends)
        if good * 2 > len(sample):
            return separator
    return None


def _cells(line: str, separator: str | None) -> list[str]:
    if separator is None:
        return line.split()
    try:
        cells = next(csv.reader([line], delimiter=separator, skipinitialspace=True))
    except csv.Error:  # a line break outside of quotes, where one quote too many stands before
        cells = line.split(separator)
    return [cell.strip() for cell in cells]


def _number(cell: str) -> str:
    """A cell with a decimal point in place of a decimal comma, which is in quotes where commas separate."""
    return cell.replace(",", ".") if re.fullmatch(r"[-+]?\d*,\d+", cell) else cell


def _is_comment(line: str, following: str, separator: str | None) -> bool:
    """Whether a line that begins with # is no header: it names no photograph, and has other cells than the next."""
    if not line.startswith("#"):
        return False
    cells = _cells(line.lstrip("# "), separator)
    if any(map(has_image_suffix, cells)):
        return False
    return following.startswith("#") or abs(len(cells) - len(_cells(following, separator))) > 1


def _header(lines: Lines, separator: str | None, is_value: IsValue) -> tuple[tuple[str, ...], Lines]:
    """The columns that the first line names, if it does so, and the other lines."""
    if len(lines) < 2:
        return (), lines
    line = lines[0][1].lstrip("#")
    cells = _cells(line, separator)
    if len(cells) == 1:
        cells = line.split()
    cells = [cell.strip("\"' ") for cell in cells]
    numbered = is_name_column(cells[0]) and cells[1:] == [str(place) for place in range(len(cells) - 1)]
    if any(map(has_image_suffix, cells)):
        return (), lines
    if not numbered and any(_float(cell) is not None for cell in cells[len(cells) > 1 :]):
        return (), lines
    return tuple(cells), lines[1:]


def _spaced(lines: Sequence[Line], columns: Sequence[str], counts: Collection[int], is_value: IsValue) -> Rows:
    if columns:
        count = len(columns) - is_name_column(columns[0])
    else:
        found = Counter(len(_after_suffix(line) or _values(line.split(), is_value)) for _, line in lines[:SAMPLE])
        count = _commonest(found, counts)

    def row(numbered: Line) -> Row:
        number, line = numbered
        text = line.strip()
        last = text.rsplit(None, count)
        whole = len(last) == count + 1 and all(map(is_value, last[1:]))
        if whole and has_image_suffix(last[0]):
            return Row(unquoted(last[0]), last[1:], f"line {number}", text)
        fields = _after_suffix(text)
        if whole and (fields is None or not (len(fields) == count or all(map(is_value, fields)))):
            fields = last[1:]
        if fields is None:
            fields = text.split()[1:]
        name = text
        for field in reversed(fields):
            name = name[: name.rindex(field)].rstrip()
        return Row(unquoted(name), fields, f"line {number}", text)

    def cells(numbered: Line) -> list[str] | None:
        found = numbered[1].split()
        return [unquoted(found[0]), *found[1:]] if len(found) == count + 1 else None

    return Rows(lines, row, cells)


def _after_suffix(line: str) -> list[str] | None:
    """The fields after the last one that ends as a photograph's name; None where none does."""
    fields = line.split()
    ends = [place for place, field in enumerate(fields) if has_image_suffix(field)]
    return fields[ends[-1] + 1 :] if ends else None


def _values(cells: Sequence[str], is_value: IsValue) -> Sequence[str]:
    """The values at the end of a row, without its first cell."""
    start = len(cells)
    while start > 1 and is_value(cells[start - 1]):
        start -= 1
    return cells[start:]


def _commonest(found: Counter[int], counts: Collection[int]) -> int:
    """The number of values of most rows; of the allowed ones the largest that fits, where only names are longer."""
    usual = found.most_common(1)[0][0] if found else 0
    fitting = [count for count in counts if count <= usual]
    return max(fitting, default=usual) if usual not in counts else usual


def _separated(
    lines: Sequence[Line], columns: tuple[str, ...], separator: str, counts: Collection[int], is_value: IsValue
) -> tuple[tuple[str, ...], Rows]:
    def numbers(line: str) -> list[str]:
        return [_number(cell) for cell in _cells(line, separator)]

    sample = [numbers(line) for _, line in lines[:SAMPLE]]
    width = Counter(map(len, sample)).most_common(1)[0][0] if sample else 0
    named = len(columns) == width and columns[-1:] != ("",)
    ended = not named and all(len(row) > 1 and not row[-1] for row in sample)  # a separator at the end of each row
    if ended:
        sample, width = [row[:-1] for row in sample], width - 1
        columns = columns[:-1] if columns[-1:] == ("",) else columns
    if columns and len(columns) == width - 1:
        columns = ("", *columns)  # pandas and R name no column of names
    if columns:
        place, count = _name_place(columns, sample), len(columns)
    else:
        usual = _commonest(Counter(len(_values(row, is_value)) for row in sample), counts)
        place = max(width - usual - 1, 0) if _counts_up(sample) else 0
        count = place + 1 + usual

    def row(numbered: Line) -> Row:
        number, line = numbered
        found = numbers(line)
        found = found[:-1] if ended else found
        found += [""] * (place + 1 - len(found))
        ends = [end for end, cell in enumerate(found) if has_image_suffix(cell) and end >= place]
        extra = max(len(found) - count, 0) if columns or not ends else ends[-1] - place
        name = separator.join(found[place : place + extra + 1])
        fields = found[:place] + found[place + extra + 1 :] if columns else found[place + extra + 1 :]
        return Row(unquoted(name), fields, f"line {number}", line.strip())

    def cells(numbered: Line) -> list[str] | None:
        line = numbered[1]
        if '"' in line or (separator != "," and "," in line):
            return None
        found = [cell.strip() for cell in line.split(separator)]
        found = found[:-1] if ended else found
        if len(found) != count or not (columns or has_image_suffix(found[place])):
            return None
        return [unquoted(found[place]), *(found[:place] if columns else ()), *found[place + 1 :]]

    return tuple(columns[:place] + columns[place + 1 :]), Rows(lines, row, cells)


def _name_place(columns: Sequence[str], sample: Sequence[Sequence[str]]) -> int:
    """The column of names: by its header, else the first that holds something else than numbers."""
    texts = [
        any(len(row) > place and row[place] and _float(row[place]) is None for row in sample)
        for place in range(len(columns))
    ]
    named = [place for place, column in enumerate(columns) if column and is_name_column(column)]
    known = sorted(named, key=lambda place: NAME_COLUMNS.index(plain(columns[place])))
    return next((place for place in (*known, *range(len(columns))) if texts[place]), known[0] if known else 0)


def _counts_up(sample: Sequence[Sequence[str]]) -> bool:
    """Whether the first cells count from 0 or 1, as an index that pandas wrote."""
    first = [row[0] for row in sample]
    return len(first) > 0 and any(first == [str(place + start) for place in range(len(first))] for start in (0, 1))


def _float(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
