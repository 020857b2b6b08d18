"""Metrics over a training run: as CSV for `dvc plots`, and as a PNG."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline import atomic

Row = dict[str, float]
"""Metrics by name, of one snapshot."""

KIMG = "kimg"
"""Thousands of real images shown."""


def write_csv(path: Path, rows: Sequence[Row], columns: Sequence[str]) -> None:
    """Write the named columns of `rows`, with a header."""
    with atomic.writing(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def draw(
    path: Path, rows: Sequence[Row], columns: Sequence[str], *, label: str, baselines: Mapping[str, float]
) -> None:
    """Draw `columns` over `kimg`; `baselines` are dashed lines by column, the values of real images."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for column in columns:
        (line,) = axes.plot([row[KIMG] for row in rows], [row[column] for row in rows], marker="o", label=column)
        if column in baselines:
            axes.axhline(baselines[column], color=line.get_color(), ls="--", linewidth=1)
    axes.set_xlabel("thousand real images shown (dashed: reals against other reals)")
    axes.set_ylabel(label)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    if columns:
        axes.legend()
    with atomic.writing(path) as partial:
        # without matplotlib's version
        figure.savefig(partial, format="png", metadata={"Software": None})
