"""What looks wrong but can be used: counted, with examples, and reported before the long stages begin."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline import atomic

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
