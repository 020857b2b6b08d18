"""The five points of a face (eyes, nose, mouth corners, in the viewer's order) from the points that detectors give.

A left eye is the one at the viewer's left. Detectors number points or name them in columns.

5 points: in our order. 68: iBUG and dlib, from the jaw on (Sagonas et al. 2013); an eye is the mean of its six points.
468 and 478: mediapipe's face mesh; an eye is its iris (478) or the mean of its contour (468). mediapipe calls left what
is the subject's left, so its right eye comes first here.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from pipeline.faces.annotation_table import plain

COLUMNS = tuple(
    f"{point}_{axis}" for point in ("lefteye", "righteye", "nose", "leftmouth", "rightmouth") for axis in "xy"
)

_MESH_RIGHT_EYE = (33, 7, 163, 144, 145, 153, 154, 155, 133, 246, 161, 160, 159, 158, 157, 173)
_MESH_LEFT_EYE = (263, 249, 390, 373, 374, 380, 381, 382, 362, 466, 388, 387, 386, 385, 384, 398)
_MESH = ((1,), (61,), (291,))

POINTS: Mapping[int, Sequence[Sequence[int]]] = {
    5: ((0,), (1,), (2,), (3,), (4,)),
    68: (range(36, 42), range(42, 48), (30,), (48,), (54,)),
    468: (_MESH_RIGHT_EYE, _MESH_LEFT_EYE, *_MESH),
    478: ((468,), (473,), *_MESH),
}
"""By the number of points of a detector: whose mean is each of our five."""

COUNTS = tuple(points * axes for points in POINTS for axes in (2, 3) if (points, axes) != (5, 3))
"""How many numbers a face may have without a header: x and y, or x, y and z, of each point."""

Layout = tuple[tuple[int, ...], ...]
"""The places of the values whose means are x of the first point, y of it, x of the second, ..."""

Face = tuple[float, ...]

_WORDS = (("center", ""), ("centre", ""), ("corner", ""), ("tip", ""), ("pupil", "eye"))
_SIDES = {"left": 0, "l": 0, "right": 1, "r": 1}
_NESTED = ("landmarks", "landmark", "points", "keypoints", "facelandmarks", "faces", "detections", "value", "kps")


def layout_of_count(count: int) -> Layout | None:
    """The layout of `count` numbers; None where no detector gives as many."""
    if count not in COUNTS:
        return None
    points = next(points for points in POINTS if count in (2 * points, 3 * points) and count in COUNTS)
    axes = count // points
    return tuple(tuple(place * axes + axis for place in group) for group in POINTS[points] for axis in (0, 1))


@cache
def layout_of_columns(columns: tuple[str, ...]) -> Layout | None:
    """The layout of named columns, in any order: of our names and their variants, or of numbered points."""
    named = [(key, place) for place, column in enumerate(columns) if (key := _named(column)) is not None]
    if len(named) == len(dict(named)) == 10:
        return tuple((dict(named)[point, axis],) for point in range(5) for axis in (0, 1))
    styles: dict[str, dict[tuple[int, int], int]] = {}  # lm1_x, x1 of a box and X_1 of another camera are not mixed
    for place, column in enumerate(columns):
        if (key := _numbered(column)) is not None:
            styles.setdefault(_style(column), {}).setdefault(key, place)
    for numbered in styles.values():
        count, first = len(numbered) // 2, min(point for point, _ in numbered)
        if count in POINTS and set(numbered) == {(first + point, axis) for point in range(count) for axis in (0, 1)}:
            return tuple(
                tuple(numbered[first + point, axis] for point in group) for group in POINTS[count] for axis in (0, 1)
            )
    if columns == tuple(str(place) for place in range(len(columns))):
        return layout_of_count(len(columns))
    return None


def pick(layout: Layout, values: Sequence[Any]) -> Face | None:
    """The ten numbers of a face; None where one of them is no number."""
    try:
        return tuple([_mean(values, group) for group in layout])
    except (TypeError, ValueError, IndexError):
        return None


def _mean(values: Sequence[Any], group: Sequence[int]) -> float:
    if len(group) == 1:
        return float(values[group[0]]) + 0.0  # -0 is 0, as in a sum
    return math.fsum(float(values[place]) for place in group) / len(group)


def faces_in(value: Any) -> list[Face | None]:
    """The faces in a value of JSON or parquet: lists of numbers or points, named points, or lists of all these.

    None stands for a face that cannot be read.
    """
    if isinstance(value, Mapping):
        return _faces_in_mapping({str(key): inner for key, inner in value.items()})
    if not isinstance(value, Sequence) or isinstance(value, str):
        return [None]
    if all(_is_number(item) for item in value):
        layout = layout_of_count(len(value))
        return [None if layout is None else pick(layout, value)]
    points = [_point(item) for item in value]
    if all(point is not None for point in points):
        return [_of_points([point for point in points if point is not None])]
    return [face for item in value for face in faces_in(item)]


def _faces_in_mapping(value: Mapping[str, Any]) -> list[Face | None]:
    flat = {column: number for key, inner in value.items() for column, number in _flattened(key, inner)}
    layout = layout_of_columns(tuple(flat))
    if layout is not None:
        return [pick(layout, list(flat.values()))]
    for key, inner in value.items():
        if plain(key) in _NESTED and inner is not None:
            return faces_in(inner)
    inner = [item for item in value.values() if isinstance(item, Mapping)]
    return [face for item in inner for face in faces_in(item)] if inner else [None]


def _flattened(key: str, value: Any) -> Iterable[tuple[str, Any]]:
    point = _point(value)
    return [(key, value)] if point is None else [(f"{key}_x", point[0]), (f"{key}_y", point[1])]


def _point(value: Any) -> tuple[Any, Any] | None:
    if isinstance(value, Mapping):
        inner = {str(key).lower(): item for key, item in value.items()}
        return (inner["x"], inner["y"]) if {"x", "y"} <= inner.keys() else None
    if isinstance(value, Sequence) and len(value) in (2, 3) and all(_is_number(item) for item in value):
        return value[0], value[1]
    return None


def _of_points(points: Sequence[tuple[Any, Any]]) -> Face | None:
    layout = layout_of_count(2 * len(points))
    return None if layout is None else pick(layout, [number for point in points for number in point])


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _named(column: str) -> tuple[int, int] | None:
    """The point (0...4) and the axis that a header names: `lefteye_x`, `Right_Eye_Y`, `x_nose`, `mouth_left_x`."""
    name = plain(column)
    for word, replacement in _WORDS:
        name = name.replace(word, replacement)
    if name[-1:] in ("x", "y"):
        name, axis = name[:-1], "xy".index(name[-1])
    elif name[:1] in ("x", "y"):
        name, axis = name[1:], "xy".index(name[0])
    else:
        return None
    for word, first in (("eye", 0), ("nose", 2), ("mouth", 3), ("lip", 3)):
        if word in name:
            side = name.replace(word, "", 1)
            if word == "nose":
                return (2, axis) if not side else None
            return (first + _SIDES[side], axis) if side in _SIDES else None
    return None


def _style(column: str) -> str:
    """A header without its number and axis: alike in columns of the same points."""
    return re.sub(r"\d+", "0", re.sub(r"Y(?![A-Za-z])", "X", re.sub(r"y(?![A-Za-z])", "x", column.strip())))


def _numbered(column: str) -> tuple[int, int] | None:
    """The number and the axis that a header names: `x_36`, `36_x`, `x36`, `landmark_36_y`, `p36x`."""
    name = re.sub(r"^(landmark|landmarks|point|pt|lm|p)_?(?=[0-9xy])", "", column.strip().lower())
    match = re.fullmatch(r"([xy])[_ ]?(\d+)|(\d+)[_ ]?([xy])", name)
    if match is None:
        return None
    axis, number = (match[1], match[2]) if match[1] else (match[4], match[3])
    return int(number), "xy".index(axis)
