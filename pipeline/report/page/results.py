"""What the stages left on disk, as far as it is there: reports, records, rates, curves."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pipeline import disk
from pipeline.provenance import RECORD, read_json

FACES = (
    "download", "extract", "detect", "align", "crop", "fit_denoise", "denoise", "fit_superres", "superres", "select",
    "shard",
)  # fmt: skip
"""The stages of the faces, in their order."""

Row = Mapping[str, str]


@dataclass(frozen=True)
class Stage:
    """The results of one stage: `lsun@bedroom` for an item of several.

    Attributes
    ----------
    folder
        What it published.
    report
        `reports/<stage>.json`: counts, and the seconds it took; empty if there is none.
    rate
        Items, workers, and memory in bytes, of its last whole run on this machine; empty elsewhere.
    """

    name: str
    folder: Path
    report: Mapping[str, Any]
    rate: Mapping[str, Any]

    @cached_property
    def record(self) -> Mapping[str, Any]:
        """`record.json` of its folder: params, inputs, recipe, code, libraries; empty if there is none."""
        return read_json(self.folder / RECORD)

    @cached_property
    def numbers(self) -> Mapping[str, Any]:
        """The numbers of the report, or of the record where there is no report."""
        return self.report or self.record.get("report", {})

    @cached_property
    def bytes(self) -> int:
        """Size of the folder on disk."""
        return disk.size_of(self.folder)

    @property
    def exists(self) -> bool:
        """Whether it left anything."""
        return bool(self.report) or self.folder.is_dir()


class Results:
    """All that lies below a root, which holds `data/`, `runs/`, `evaluations/` and `reports/`.

    Parameters
    ----------
    root
        The folder.
    runs, categories
        The runs and LSUN categories to look at, in this order; by default all that are there.
    page
        Where the page will lie; links to files lead from there.
    """

    def __init__(
        self,
        root: Path,
        *,
        runs: Sequence[str] | None = None,
        categories: Sequence[str] | None = None,
        page: Path | None = None,
    ) -> None:
        self.root = root
        self.data = root / "data"
        self.page = page or root / "reports" / "report.html"
        self.runs = list(runs) if runs is not None else _names(root / "runs", root / "reports" / "train")
        found = categories if categories is not None else _names(self.data / "lsun", root / "reports" / "lsun")
        self.categories = list(found)

    def stage(self, name: str) -> Stage:
        """The stage `name`, whether or not it has run."""
        stage, _, item = name.partition("@")
        folders = {"train": self.root / "runs" / item, "evaluate": self.root / "evaluations" / item}
        path = name.replace("@", "/")
        return Stage(
            name,
            folders.get(stage, self.data / path),
            read_json(self.root / "reports" / f"{path}.json"),
            read_json(self.data / ".rates" / f"{path}.json"),
        )

    def stages(self) -> list[Stage]:
        """Those that left anything, in the order of the graph."""
        names = [*FACES, *(f"lsun@{name}" for name in self.categories)]
        names += [f"{stage}@{run}" for run in self.runs for stage in ("train", "evaluate")]
        return [stage for stage in map(self.stage, names) if stage.exists]


def read_rows(path: Path) -> list[Row]:
    """The rows of a CSV file, or of a TSV file by its name; none if there is no file."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ","))


def read_points(path: Path, x: str, y: str, scale: float = 1.0) -> list[tuple[float, float]]:
    """Two columns of a CSV or TSV file; rows in which either is no number are left out. x is divided by `scale`."""
    return list(_numbers(read_rows(path), x, y, scale))


def number(value: Any) -> float | None:
    """A cell as a number, if it is a finite one."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if abs(found) < float("inf") else None


def _numbers(rows: Sequence[Row], x: str, y: str, scale: float) -> Iterator[tuple[float, float]]:
    for row in rows:
        at, value = number(row.get(x)), number(row.get(y))
        if at is not None and value is not None:
            yield at / scale, value


def _names(folder: Path, reports: Path) -> list[str]:
    """The names of the results in `folder`, or of reports alone where the results are not there."""
    found = {path.name for path in folder.glob("*/") if path.is_dir() and not path.name.endswith(".retired")}
    return sorted(found | {path.stem for path in reports.glob("*.json")})
