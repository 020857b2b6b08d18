"""Charts: what a reader sees when the pointer is on a value."""

import re
from xml.etree import ElementTree

import pytest

from pipeline.report.page import figures

SVG = "{http://www.w3.org/2000/svg}"


def spots(svg: str) -> list[tuple[str, float, float, float, float]]:
    """The text of each spot with its left, right, top and bottom edge, of 360 units across."""
    root = ElementTree.fromstring(svg.replace("<svg ", f'<svg xmlns="{SVG[1:-1]}" ', 1))
    found: list[tuple[str, float, float, float, float]] = []
    for path in root.iter(f"{SVG}path"):
        if path.get("class") == "spot":
            numbers = [float(value) for value in re.findall(r"[-\d.]+", path.get("d", ""))]
            xs, ys = numbers[::2], numbers[1::2]
            found.append((path.findtext(f"{SVG}title", ""), min(xs), max(xs), min(ys), max(ys)))
    return found


def test_the_pointer_shows_the_values_of_all_curves() -> None:
    series = {"G & D": [(1.0, 0.5), (2.0, 1234.0), (4.0, 2.0)], "reals": [(2.0, 3.0)]}
    svg = figures.lines("loss", series, x_label="kimg", y_label="loss")
    found = spots(svg)
    assert [text for text, *_ in found] == [
        "kimg: 1\nG & D: 0.5", "kimg: 2\nG & D: 1,234\nreals: 3", "kimg: 4\nG & D: 2",
    ]  # fmt: skip
    (_, first, second, *_), (_, third, fourth, *_), (_, fifth, sixth, *_) = found
    assert second == third and fourth == fifth, "they meet in the middle between the points"
    marks = [float(x) for x in re.findall(r'<use [^>]*x="([\d.]+)"[^>]*series1', svg)]  # then that of the legend
    assert first < marks[0] < second < marks[1] < fourth < marks[2] < sixth


def test_a_long_curve_has_few_spots_and_the_drawing_is_as_without(monkeypatch: pytest.MonkeyPatch) -> None:
    series = {"swd": [(float(x), x * 0.5) for x in range(5000)]}
    svg = figures.lines("swd", series, x_label="kimg", y_label="swd")
    assert figures.MOST_SPOTS / 2 < len(spots(svg)) <= figures.MOST_SPOTS + 1
    assert spots(svg)[-1][0] == "kimg: 4,999\nswd: 2499.5"
    monkeypatch.setattr(figures, "MOST_SPOTS", 1)
    few = figures.lines("swd", series, x_label="kimg", y_label="swd")
    drawn = r'<path (?!class="spot")[^>]*(?:clip-path)[^>]*>'
    assert re.findall(drawn, svg) == re.findall(drawn, few)
    assert not figures.lines("empty", {"swd": []}, x_label="kimg", y_label="swd").count("spot")


def test_the_pointer_shows_the_parts_of_a_bar() -> None:
    bars = spots(figures.stacked_bars("n", ["crop", "<b>"], {"kept": [5, 1234], "dropped": [1, 0]}, x_label="inputs"))
    assert [text for text, *_ in bars] == [
        "crop\nkept: 5 inputs\ndropped: 1 inputs",
        "<b>\nkept: 1,234 inputs\ndropped: 0 inputs",
    ]
    assert bars[0][3] < bars[1][3], "the first on top"
    bins = spots(figures.histogram("q", [0.31, 0.33], {"kept": [3, 4]}, cut=0.32, x_label="quality"))
    assert [text for text, *_ in bins] == ["quality: 0.3 to 0.32\nkept: 3", "quality: 0.32 to 0.34\nkept: 4"]
    assert bins[0][2] == bins[1][1]
