"""A metric over a training run: as CSV for `dvc plots`, and as a picture."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pipeline import atomic

Row = dict[str, float]
"""Figures by name, at one moment of a run."""

X = "kimg"
"""The clock: thousands of real images shown."""


def write_csv(path: Path, rows: Sequence[Row], columns: Sequence[str]) -> None:
    """Write `rows` in order, the named columns only, as CSV with a header."""
    with atomic.writing(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def draw(path: Path, rows: Sequence[Row], columns: Sequence[str], *, label: str, floors: Mapping[str, float]) -> None:
    """Draw `columns` over thousands of images shown, as PNG.

    Parameters
    ----------
    rows
        Each holds `kimg` and the columns.
    label
        Of the vertical axis.
    floors
        By column, the value that real images reach; drawn dashed in the column's colour.
    """
    figure = Figure(figsize=(8, 5), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for column in columns:
        (line,) = axes.plot([row[X] for row in rows], [row[column] for row in rows], marker="o", label=column)
        if column in floors:
            axes.axhline(floors[column], color=line.get_color(), linestyle="--", linewidth=1)
    axes.set_xlabel("thousand real images shown (dashed: reals against other reals)")
    axes.set_ylabel(label)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    if columns:
        axes.legend()
    with atomic.writing(path) as partial:
        # matplotlib would write its own version into the file
        figure.savefig(partial, format="png", metadata={"Software": None})
