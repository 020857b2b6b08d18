"""A table of annotations, whatever file it came from: rows by the name of a photograph."""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypeVar

IMAGE_SUFFIXES = tuple(
    f".{suffix}"
    for suffix in (
        *("jpg", "jpeg", "jpe", "jfif", "jp2", "j2k", "jxl", "png", "webp", "bmp", "dib", "gif", "tif", "tiff"),
        *("ppm", "pgm", "pbm", "pnm", "heic", "heif", "hif", "avif", "tga"),
    )
)
"""Of the names of photographs, in lower case."""

NAME_COLUMNS = (
    *("file", "filename", "imageid", "imagename", "imagefile", "imagepath", "filepath", "image", "img", "imgname"),
    *("photo", "photograph", "path", "name", "imgpath", "imgid", "id", "indexlevel0"),
)
"""Headers of the column of names, of lower-case letters and digits; of several the first in this order counts."""

IGNORED_COLUMNS = frozenset({"", "index", "unnamed0", "face", "faceid", "facenumber", "score", "confidence", "box"})
"""Headers, in the same form, of columns that are no labels."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row: the name, the values in the order of the table's columns, where it stands, and what is written there."""

    name: str
    fields: Sequence[Any]
    where: str
    text: str


Source = TypeVar("Source")

ROWS_OF_A_BLOCK = 256


class Block(NamedTuple):
    """Some rows: the cells of the plain ones, the name first; the others; and what makes all of them."""

    plain: list[list[str]]
    others: list[Row]
    rows: Callable[[], Iterator[Row]]


class Rows(Collection[Row]):
    """Rows that are made of their sources whenever they are read: those of a large file need ten times its memory.

    `cells_of` gives name and fields of a plain source as `row_of` does if all fields are values, and equally many for
    each; None of another source.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        row_of: Callable[[Source], Row],
        cells_of: Callable[[Source], list[str] | None],
    ) -> None:
        self._made = lambda: map(row_of, sources)
        self._count = len(sources)
        self._blocks = lambda: _blocks(sources, row_of, cells_of)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Row]:
        return self._made()

    def __contains__(self, row: object) -> bool:
        return any(row == other for other in self)

    def blocks(self) -> Iterator[Block]:
        """All rows, some at a time."""
        return self._blocks()


def _blocks(
    sources: Sequence[Source], row_of: Callable[[Source], Row], cells_of: Callable[[Source], list[str] | None]
) -> Iterator[Block]:
    for start in range(0, len(sources), ROWS_OF_A_BLOCK):
        some = [*sources[start : start + ROWS_OF_A_BLOCK]]
        cells = [cells_of(source) for source in some]
        others = [row_of(source) for source, found in zip(some, cells, strict=True) if found is None]
        yield Block([found for found in cells if found is not None], others, partial(map, row_of, some))


@dataclass(frozen=True, slots=True)
class Table:
    """Rows in the order of the file, the columns of their values (none without a header), and the count in its head."""

    columns: tuple[str, ...]
    rows: Collection[Row]
    declared: int | None


def plain(column: str) -> str:
    """A header in lower case, letters and digits alone."""
    return re.sub(r"[^a-z0-9]", "", column.lower())


def is_name_column(column: str) -> bool:
    """Whether a header is that of the names of photographs; the empty one of an index is."""
    return not column or plain(column) in NAME_COLUMNS


def has_image_suffix(name: str) -> bool:
    """Whether a field ends as the name of a photograph does."""
    return name.rstrip("\"'").lower().endswith(IMAGE_SUFFIXES)


def unquoted(name: str) -> str:
    """A name without the quotes around it."""
    quoted = len(name) > 1 and name[0] == name[-1] and name[0] in "\"'"
    return name[1:-1] if quoted else name
