"""What a page is made of: sections of blocks. The template has a macro for each kind of block (`kind`)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

Cell = str | int | float | None


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture in the page: a data URI, its size in pixels, what it shows (`alt`). `pixelated`: enlarged pixels."""

    uri: str
    width: int
    height: int
    alt: str
    caption: str = ""
    pixelated: bool = False


@dataclass(frozen=True, slots=True)
class Note:
    """A paragraph. `missing`: it says what is not there, and how to make it."""

    kind: ClassVar = "note"
    text: str
    missing: bool = False


@dataclass(frozen=True, slots=True)
class Tiles:
    """Headline figures: label, value, and a remark."""

    kind: ClassVar = "tiles"
    tiles: Sequence[tuple[str, str, str]]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under `columns`; `folded`: closed until it is opened. `half`: two next to each other on a wide screen."""

    kind: ClassVar = "table"
    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    folded: bool = False
    half: bool = False


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing (SVG text) that was drawn under `name`, with its numbers as a table that can be opened."""

    kind: ClassVar = "chart"
    name: str
    title: str
    svg: str
    description: str = ""
    table: Table | None = None


@dataclass(frozen=True, slots=True)
class Gallery:
    """Pictures side by side. `small`: thumbnails; `half`: two galleries next to each other on a wide screen."""

    kind: ClassVar = "gallery"
    title: str
    pictures: Sequence[Picture]
    description: str = ""
    small: bool = False
    half: bool = False


@dataclass(frozen=True, slots=True)
class Comparison:
    """Pairs of pictures of one size, over each other with a slider between them."""

    kind: ClassVar = "comparison"
    name: str
    title: str
    labels: tuple[str, str]
    pairs: Sequence[tuple[Picture, Picture]]
    description: str = ""


@dataclass(frozen=True, slots=True)
class Slides:
    """Pictures in order, one shown at a time by a slider; next to frame i is number `partners[i]` of `others`."""

    kind: ClassVar = "slides"
    name: str
    title: str
    frames: Sequence[Picture]
    others: Sequence[Picture] = ()
    partners: Sequence[int] = ()
    description: str = ""


@dataclass(frozen=True, slots=True)
class Video:
    """A video: inside the page (`uri` is a data URI) or a file next to it."""

    kind: ClassVar = "video"
    title: str
    uri: str
    embedded: bool
    description: str = ""


Block = Note | Tiles | Table | Chart | Gallery | Comparison | Slides | Video


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page with a heading; `name` is its place in links. `level`: 2, or 3 within the last 2."""

    name: str
    title: str
    blocks: list[Block] = field(default_factory=list[Block])
    level: int = 2
