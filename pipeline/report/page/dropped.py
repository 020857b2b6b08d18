"""What the stages dropped: counts by reason, and examples with thumbnails."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.manifest import Stored
from pipeline.report.page import pictures
from pipeline.report.page.blocks import Block, Gallery, Picture, Table
from pipeline.report.page.pictures import Box
from pipeline.report.page.results import Stage

Record = Mapping[str, Any]


def counts(stage: Stage) -> tuple[int, int, dict[str, int]] | None:
    """Given, kept, and dropped by reason; by the report, or by the table where there is none."""
    numbers = stage.numbers
    if "given" in numbers:
        return int(numbers["given"]), int(numbers["kept"]), dict(numbers.get("dropped", {}))
    table = stage.folder / f"{stage.name.partition('@')[0]}.parquet"
    if not table.is_file() or "drop_reason" not in pq.read_schema(table).names:
        return None
    reasons = Counter(pq.read_table(table, columns=["drop_reason"])["drop_reason"].to_pylist())
    kept = reasons.pop(None, 0)
    return kept + reasons.total(), kept, dict(sorted(reasons.items()))


def blocks(data: Path, stages: Sequence[Stage], *, shown: int, pixels: int) -> Iterator[Block]:
    """For each stage and reason: some of the dropped ones, `shown` at most, spread evenly over them."""
    photographs, crops = (
        _Photographs(data / "extract" / "extract.parquet"),
        _Photographs(data / "crop" / "crop.parquet"),
    )
    for stage in stages:
        table = stage.folder / f"{stage.name.partition('@')[0]}.parquet"
        if not table.is_file():
            continue
        for reason, (count, examples) in _examples(table, shown).items():
            own = photographs if "@" not in stage.name else None  # records of LSUN are not kept
            found = [_picture(data, own, crops, example, pixels) for example in examples]
            title = f"{stage.name}: {reason} ({count:,})"
            if any(picture.uri for picture in found):
                more = f"{len(found)} of {count:,}" if len(found) < count else "all"
                yield Gallery(title, found, f"{more}, in the order of the table", small=True, half=len(found) <= 3)
            else:
                rows = [(example["file"], example["drop_detail"]) for example in examples]
                yield Table(title, ("file", "what was found"), rows, folded=True)


def _examples(table: Path, shown: int) -> dict[str, tuple[int, list[Record]]]:
    """By reason, the most frequent first: how many, and some of them."""
    names = set(pq.read_schema(table).names)
    if not {"drop_reason", "file"} <= names:
        return {}
    columns = [name for name in ("index", "face", "file", "drop_reason", "drop_detail") if name in names]
    rows = pq.read_table(table, columns=columns, filters=~pc.field("drop_reason").is_null())
    found: dict[str, tuple[int, list[Record]]] = {}
    for reason, count in Counter(rows["drop_reason"].to_pylist()).most_common():
        of_it = rows.filter(pc.field("drop_reason") == reason)
        places = pictures.spread(range(count), shown)
        found[reason] = count, of_it.take(pa.array(places, pa.int64())).to_pylist()
    return found


class _Photographs:
    """Looks up rows of a table by the number of the photograph, a few at a time."""

    def __init__(self, table: Path) -> None:
        self._table = table

    def find(self, index: int, columns: Sequence[str]) -> Record | None:
        """The first row of the photograph `index` that was kept; None if there is none."""
        if not self._table.is_file() or not {*columns} <= set(pq.read_schema(self._table).names):
            return None
        rows = pq.read_table(
            self._table,
            columns=list(columns),
            filters=(pc.field("index") == index) & pc.field("drop_reason").is_null(),
        )
        return rows.slice(0, 1).to_pylist()[0] if rows.num_rows else None


def _picture(
    data: Path, photographs: _Photographs | None, crops: _Photographs, example: Record, pixels: int
) -> Picture:
    """The thumbnail of a dropped input, or a placeholder with the reason it has no picture."""
    name, detail = str(example["file"]), str(example["drop_detail"])
    row = photographs and photographs.find(example["index"], ["photograph"])
    picture = None
    if row is not None and row["photograph"] is not None:
        place = crops.find(example["index"], ["left", "upper", "crop_width", "crop_height", "shrink"])
        stored = Stored(**row["photograph"])
        picture = pictures.thumbnail(data, stored, pixels, f"{name}: {detail}", _box(place))
    caption = f"{name}: {detail}" if len(detail) < 90 else f"{name}: {detail[:86]} ..."
    return Picture(
        picture.uri if picture else "",
        picture.width if picture else pixels,
        picture.height if picture else pixels,
        f"{name}: {detail}" if picture else f"no picture of {name}",
        caption,
    )


def _box(place: Record | None) -> Box | None:
    """The region of a face in its photograph; None where it was not cut out."""
    if place is None or any(value is None for value in place.values()):
        return None
    left, upper, width, height = (
        int(place[name]) * int(place["shrink"]) for name in ("left", "upper", "crop_width", "crop_height")
    )
    return left, upper, left + width, upper + height
