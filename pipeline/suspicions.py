"""What looks wrong but can be used: counted, with examples, and reported before the long stages begin."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline import atomic
from pipeline.manifest import read_columns

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
    columns = read_columns(table, ["index", "file", "remarks", "drop_reason"])
    files: dict[str, dict[int, str]] = {}
    kept: set[int] = set()
    for row in columns.filter(columns["drop_reason"].is_null()).to_pylist():
        kept.add(row["index"])
        for remark in row["remarks"] or ():
            files.setdefault(remark, {})[row["index"]] = row["file"]
    known = {found.kind for found in remarks_of(besides)} if besides is not None else set[str]()
    return [
        Suspicion(remark, len(named), len(kept), [*named.values()][:EXAMPLES])
        for remark, named in sorted(files.items())
        if remark not in known
    ]


def read(folder: Path) -> list[Suspicion]:
    """The suspicions that `write` left in a folder; none without the file."""
    if not (folder / FILE).is_file():
        return []
    with (folder / FILE).open(newline="", encoding="utf-8") as file:
        rows = [*csv.DictReader(file)]
    return [Suspicion(row["kind"], int(row["count"]), int(row["of"]), row["examples"].split("; ")) for row in rows]
