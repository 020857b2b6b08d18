"""Charts as SVG, drawn by matplotlib: text stays text, and colours are the page's, light or dark.

Equal values give equal bytes. Needs no script, so a chart can be read, printed and searched as it is. The browser shows
the values at the pointer: the titles of spots that cover the drawing.
"""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf
from typing import Any, TypeVar

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, ScalarFormatter

from pipeline.report.page.words import anchor

INK, FAINT, BAND = "#010101", "#020202", "#030303"
SERIES = ("#0a0001", "#0a0002", "#0a0003", "#0a0004", "#0a0005", "#0a0006", "#0a0007", "#0a0008")
"""Placeholders, which become the page's variables: no drawing uses them otherwise."""

VARIABLES = {INK: "ink", FAINT: "faint", BAND: "band", **{hue: f"series{n}" for n, hue in enumerate(SERIES, 1)}}
WIDTH, HEIGHT = 5.0, 2.9  # inches of 72 units: letters are readable on a phone and not huge on a large screen
MOST_POINTS = 600
MOST_SPOTS = 120
SPOT = "spot: "
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": FAINT,
    "grid.alpha": 0.4,
    "grid.linewidth": 0.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "lines.linewidth": 1.3,
    "path.simplify": True,
}

Points = Sequence[tuple[float, float]]
Spot = tuple[float, float, str]
"""A stretch of an axis, from and to, and the text that is shown where the pointer is on it."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Band:
    """A stretch of a run at one resolution, in thousands of images; `fading`: new layers fade in."""

    start: float
    stop: float
    resolution: int
    fading: Sequence[tuple[float, float]] = ()


def lines(
    name: str,
    series: Mapping[str, Points],
    *,
    x_label: str,
    y_label: str,
    bands: Sequence[Band] = (),
    baselines: Mapping[str, float] | None = None,
    zero: bool = False,
    steps: bool = False,
) -> str:
    """Curves by name, or `steps`. Few points are marked; `baselines` are dashed, in the colour of the curve."""
    with mpl.rc_context(STYLE):
        figure, axes = _figure()
        baselines = baselines or {}
        for number, (label, points) in enumerate(series.items()):
            shown = thinned(points, MOST_POINTS)
            colour = SERIES[number % len(SERIES)]
            marker = "o" if len(shown) <= 40 else ""
            xs, ys = [x for x, _ in shown], [y for _, y in shown]
            style = "steps-pre" if steps else "default"
            axes.plot(xs, ys, color=colour, marker=marker, markersize=2.6, label=label, zorder=3, drawstyle=style)
            if label in baselines:
                axes.axhline(baselines[label], color=colour, linestyle="--", linewidth=1)
        if zero:
            axes.set_ylim(bottom=0)
        _draw_bands(axes, bands)
        _finish(axes, x_label, y_label)
        _add_spots(axes, _spots(series, x_label))
        if len(series) > 1:
            figure.legend(loc="outside lower center", ncols=min(len(series), 4), fontsize=8)
        return _svg(figure, name)


def stacked_bars(name: str, labels: Sequence[str], parts: Mapping[str, Sequence[float]], *, x_label: str) -> str:
    """Horizontal bars, the first label on top; each is divided into `parts`."""
    with mpl.rc_context(STYLE):
        figure, axes = _figure(max(1.3, 0.25 * len(labels) + 0.9))
        starts = [0.0] * len(labels)
        for number, (label, values) in enumerate(parts.items()):
            axes.barh(range(len(labels)), values, left=starts, color=SERIES[number], label=label, height=0.7, zorder=2)
            starts = [start + value for start, value in zip(starts, values, strict=True)]
        axes.set_yticks(range(len(labels)), labels)
        axes.invert_yaxis()
        _finish(axes, x_label, "")
        axes.grid(axis="y", visible=False)
        texts = [
            "\n".join([label, *(f"{part}: {_tick(values[row])} {x_label}" for part, values in parts.items())])
            for row, label in enumerate(labels)
        ]
        _add_spots(axes, [(row - 0.5, row + 0.5, text) for row, text in enumerate(texts)], horizontal=True)
        if len(parts) > 1:
            figure.legend(loc="outside lower center", ncols=len(parts), fontsize=8)
        return _svg(figure, name)


def histogram(
    name: str, middles: Sequence[float], parts: Mapping[str, Sequence[int]], *, cut: float | None, x_label: str
) -> str:
    """Counts of adjacent bins of one width, in `parts` on top of each other; `cut` is a vertical line."""
    with mpl.rc_context(STYLE):
        figure, axes = _figure()
        width = middles[1] - middles[0] if len(middles) > 1 else 0.02
        floors = [0] * len(middles)
        for number, (label, counts) in enumerate(parts.items()):
            axes.bar(middles, counts, width * 0.92, bottom=floors, color=SERIES[number], label=label, zorder=2)
            floors = [floor + count for floor, count in zip(floors, counts, strict=True)]
        if cut is not None:
            axes.axvline(cut, color=INK, linestyle="--", linewidth=1.2, label=f"cut at {cut:.3f}", zorder=4)
        _finish(axes, x_label, "images")
        edges = [(middle - width / 2, middle + width / 2) for middle in middles]
        texts = [
            "\n".join(
                [
                    f"{x_label.partition(',')[0]}: {low:.4g} to {high:.4g}",
                    *(f"{part}: {counts[n]:,}" for part, counts in parts.items()),
                ]
            )
            for n, (low, high) in enumerate(edges)
        ]
        _add_spots(axes, [(*edge, text) for edge, text in zip(edges, texts, strict=True)])
        figure.legend(loc="outside lower center", ncols=3, fontsize=8)
        return _svg(figure, name)


def thinned(points: Sequence[T], most: int) -> list[T]:
    """At most about `most` of the points, evenly, with the last one."""
    step = -(-len(points) // most)
    return [*points[:: max(step, 1)], *([points[-1]] if points and (len(points) - 1) % max(step, 1) else [])]


def merged(series: Mapping[str, Points], most: int) -> list[tuple[float, dict[str, float]]]:
    """The values of the series by name at each x, in order; at most about `most`, evenly, with the last one."""
    values: dict[float, dict[str, float]] = {}
    for label, points in series.items():
        for x, y in points:
            values.setdefault(x, {})[label] = y
    return thinned(sorted(values.items(), key=lambda item: item[0]), most)


def _figure(height: float = HEIGHT) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    FigureCanvasSVG(figure)
    return figure, figure.add_subplot()


def _finish(axes: Axes, x_label: str, y_label: str) -> None:
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.grid(visible=True)
    axes.set_axisbelow(True)
    for axis in (axes.xaxis, axes.yaxis):
        if isinstance(axis.get_major_formatter(), ScalarFormatter):  # not names
            axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
            axis.set_major_formatter(FuncFormatter(_tick))


def _tick(value: float, _: int | None = None) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.6g}"


def _spots(series: Mapping[str, Points], x_label: str) -> list[Spot]:
    """The values of curves: a spot reaches halfway to the next one."""
    found = merged(series, MOST_SPOTS)
    edges = [-inf, *((x + after) / 2 for (x, _), (after, _) in pairwise(found)), inf]
    texts = [
        "\n".join([f"{x_label}: {_tick(x)}", *(f"{label}: {_tick(y)}" for label, y in values.items())])
        for x, values in found
    ]
    return [(start, stop, text) for (start, stop), text in zip(pairwise(edges), texts, strict=False)]


def _add_spots(axes: Axes, spots: Sequence[Spot], *, horizontal: bool = False) -> None:
    """Cover the drawing with unseen areas that hold texts (`_svg`); its limits stay."""
    limits = axes.axis()
    low, high = sorted(limits[2:] if horizontal else limits[:2])
    for start, stop, text in spots:
        span = axes.axhspan if horizontal else axes.axvspan
        span(max(start, low), min(stop, high), alpha=0, zorder=9, gid=f"{SPOT}{text}")
    axes.axis(limits)


def _draw_bands(axes: Axes, bands: Sequence[Band]) -> None:
    """Shade every second resolution, name each, and mark where layers fade in on the lower edge."""
    if not bands:
        return
    whole = bands[-1].stop - bands[0].start
    for number, band in enumerate(bands):
        if number % 2 == 0:
            axes.axvspan(band.start, band.stop, color=BAND, linewidth=0, zorder=0)
        for start, stop in band.fading:
            axes.axvspan(start, stop, ymax=0.025, color=FAINT, linewidth=0, zorder=1)
        if band.stop - band.start >= 0.05 * whole:
            middle = (band.start + band.stop) / 2
            label = f"{band.resolution}²"
            axes.text(middle, 1.01, label, transform=axes.get_xaxis_transform(), ha="center", va="bottom", fontsize=8)
    axes.set_xlim(bands[0].start, bands[-1].stop)


def _svg(figure: Figure, name: str) -> str:
    """The drawing as an element of a page: its ids begin with `name`, its colours are variables."""
    name = anchor(name)
    with mpl.rc_context({"svg.hashsalt": name}):
        stream = io.StringIO()
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = stream.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    spot = rf'<g id="{SPOT}([^"]*)">\s*<path d="([^"]*)"[^>]*/>\s*</g>'
    svg = re.sub(spot, r'<path class="spot" d="\2"><title>\1</title></path>', svg)
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', svg)
    svg = re.sub(r'(url\(|href=")#', rf"\g<1>#{name}-", svg)
    svg = re.sub(r"font: ?([\d.]+px)[^;\"]*", r"font-size: \1; font-family: inherit", svg)
    for colour, variable in VARIABLES.items():
        svg = svg.replace(colour, f"var(--{variable})")
    view = re.search(r'viewBox="[^"]+"', svg)
    head = f'<svg xmlns:xlink="http://www.w3.org/1999/xlink" {view[0] if view else ""} class="drawing" role="img"'
    svg = re.sub(r"<svg[^>]*>", f'{head} aria-labelledby="{name}-title">', svg, count=1)
    return re.sub(r"\n\s*", "\n", svg).strip()
