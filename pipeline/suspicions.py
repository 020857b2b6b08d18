"""What looks wrong but can be used: counted, with examples, and reported before the long stages begin."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.compute as pc

from pipeline import atomic
from pipeline.manifest import kept_columns

FILE = "suspicions.csv"
EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Suspicion:
    """`count` of `of` inputs look wrong in one way; `kind` is a sentence about it, `examples` are names of files.

    A `harmless` one is reported but never refused: it is used rightly, or dropped and counted there.
    """

    kind: str
    count: int
    of: int
    examples: Sequence[str]
    harmless: bool = False

    def __str__(self) -> str:
        more = ", ..." if self.count > len(self.examples[:EXAMPLES]) else ""
        return f"{self.kind}: {self.count} of {self.of} ({', '.join(self.examples[:EXAMPLES])}{more})"


def write(folder: Path, suspicions: Sequence[Suspicion]) -> None:
    """Write the suspicions of a stage as `suspicions.csv` in its folder."""
    text = io.StringIO(newline="")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["kind", "count", "of", "examples"])
    rows.writerows([found.kind, found.count, found.of, "; ".join(found.examples[:EXAMPLES])] for found in suspicions)
    atomic.write_bytes(folder / FILE, text.getvalue().encode())


def remarks_of(table: Path, besides: Path | None = None) -> list[Suspicion]:
    """The remarks in a table of `Aligned` rows, each with the photographs that it is about, in the order of the words.

    A photograph counts once, whatever the number of its faces. Remarks that are also in the table `besides` are left
    out: they have been reported.
    """
    columns = kept_columns(table, ["index", "file", "remarks"])
    kept = len(columns["index"].unique())
    remarks = columns["remarks"].combine_chunks()
    each = columns.select(["index", "file"]).take(remarks.value_parent_indices())
    each = each.append_column("remark", remarks.flatten())
    known = {found.kind for found in remarks_of(besides)} if besides is not None else set[str]()
    found: list[Suspicion] = []
    for remark in sorted({*each["remark"].unique().to_pylist()} - known):
        photographs = each.filter(pc.field("remark") == remark).group_by("index", use_threads=False)
        files = photographs.aggregate([("file", "first")])["file_first"]
        found.append(Suspicion(remark, len(files), kept, files[:EXAMPLES].to_pylist()))
    return found


def read(folder: Path) -> list[Suspicion]:
    """The suspicions that `write` left in a folder; none without the file."""
    if not (folder / FILE).is_file():
        return []
    with (folder / FILE).open(newline="", encoding="utf-8") as file:
        rows = [*csv.DictReader(file)]
    return [Suspicion(row["kind"], int(row["count"]), int(row["of"]), row["examples"].split("; ")) for row in rows]
