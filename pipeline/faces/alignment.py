"""Which photographs have a usable face, and where: photographs joined with annotations, and their crop rectangles."""

from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TypeVar

import numpy as np

from pipeline import manifest
from pipeline.errors import DropReason, RejectedInputError, SourceError
from pipeline.faces import geometry
from pipeline.faces.geometry import Points, Rectangle
from pipeline.faces.landmarks import Annotations, read_attributes, read_landmarks, read_partition
from pipeline.manifest import Aligned, Attributes, Drop, Landmarks, Photograph
from pipeline.params import AlignParams

ANNOTATION_FILES = LANDMARKS, PARTITION, ATTRIBUTES = "landmarks.txt", "partition.txt", "attributes.txt"
"""The annotation files in the folder of a table of photographs; the last two may be absent."""

CELEBA_ALIGNED_SIZE = (178, 218)
CELEBA_ALIGNED_LEFT, CELEBA_ALIGNED_UPPER, CELEBA_ALIGNED_SIDE = 25, 57, 128
"""Width and height of CelebA's aligned photographs, and the square that dataset_tool.py crops from them."""


Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotated(Photograph):
    """A photograph with its annotations. `landmarks` is null where the whole image is used."""

    split: str | None
    attributes: Attributes | None
    landmarks: Landmarks | None


@dataclass(frozen=True, slots=True)
class Joined:
    """Photographs joined with annotations: the usable ones, the dropped ones, and warnings."""

    annotated: list[Annotated] = field(default_factory=list[Annotated])
    dropped: list[Drop] = field(default_factory=list[Drop])
    warnings: list[str] = field(default_factory=list[str])


def join_annotations(table: Path, params: AlignParams) -> Joined:
    """Join a table of photographs with the annotation files in its folder.

    Each kept photograph of the table comes out once, and so does each landmark row whose photograph is not in the table
    at all (kept or dropped). Such a row gets the index of its CelebA number where that is free, else one after all.

    `SourceError`: the landmarks are needed and absent, or an annotation file cannot be read.
    """
    photographs, rejected = manifest.read_kept(table, Photograph), manifest.read_dropped(table)
    joined = Joined()
    splits = _optional(table.with_name(PARTITION), read_partition, joined.warnings)
    attributes = _optional(table.with_name(ATTRIBUTES), read_attributes, joined.warnings)

    def annotated(photograph: Photograph, points: tuple[float, ...] | None) -> Annotated:
        file = photograph.file
        return manifest.extend(
            photograph, Annotated, split=splits.get(file), attributes=attributes.get(file), landmarks=points
        )

    if params.rectangle != "landmarks":
        joined.annotated.extend(annotated(photograph, None) for photograph in photographs)
        return joined
    if not table.with_name(LANDMARKS).is_file():
        raise SourceError(
            f"{table.with_name(LANDMARKS)}: the source has no landmarks. Name a landmarks file in download.source, or "
            f"set align.rectangle to whole for images that are square already."
        )
    landmarks = read_landmarks(table.with_name(LANDMARKS))
    joined.warnings.extend(landmarks.warnings)
    for photograph in photographs:
        if (points := landmarks.values.get(photograph.file)) is not None:
            joined.annotated.append(annotated(photograph, points))
        else:
            joined.dropped.append(_without_landmarks(photograph, landmarks))
    joined.dropped.extend(_without_photograph([*photographs, *rejected], landmarks))
    return joined


def keep_only(joined: Joined, files: Set[str]) -> Joined:
    """Drop what is not among `files` as NOT_PUBLISHED, usable or not."""
    kept = [row for row in joined.annotated if row.file in files]
    dropped = [drop for drop in joined.dropped if drop.file in files]
    unpublished = [
        Drop(index=row.index, file=row.file, reason=DropReason.NOT_PUBLISHED, detail="align.photographs: published")
        for row in (*joined.annotated, *joined.dropped)
        if row.file not in files
    ]
    return Joined(kept, dropped + unpublished, joined.warnings)


def align_photograph(row: Annotated, width: int, height: int, params: AlignParams) -> Aligned:
    """The row of a photograph of `width` x `height` pixels with its rectangle.

    `RejectedInputError`: ABSURD_LANDMARKS, OUTSIDE_IMAGE or TOO_SMALL; for whole images NOT_SQUARE, TOO_SMALL or
    WRONG_SIDE; for CelebA's aligned photographs WRONG_SIZE, TOO_SMALL or WRONG_SIDE.
    """
    if params.rectangle == "celeba-128":
        if (width, height) != CELEBA_ALIGNED_SIZE:
            size = " x ".join(map(str, CELEBA_ALIGNED_SIZE))
            raise RejectedInputError(
                DropReason.WRONG_SIZE, f"{width} x {height} pixels, CelebA's aligned ones have {size}"
            )
        square = _square(CELEBA_ALIGNED_SIDE, params.resolution)
        rectangle = square.moved(CELEBA_ALIGNED_LEFT, CELEBA_ALIGNED_UPPER)
    elif row.landmarks is None:
        if width != height:
            raise RejectedInputError(DropReason.NOT_SQUARE, f"{width} x {height} pixels")
        rectangle = _square(width, params.resolution)
    else:
        rectangle = _face(np.array(row.landmarks, np.float32).reshape(5, 2), width, height, params)
    return manifest.extend(row, Aligned, width=width, height=height, quad=rectangle.flat, zoom=rectangle.zoom)


def _face(landmarks_52: Points, width: int, height: int, params: AlignParams) -> Rectangle:
    points_52 = landmarks_52.astype(np.float64)
    outside_52 = np.maximum(np.maximum(-points_52, points_52 - (width, height)), 0)
    limit = params.max_landmark_distance * max(width, height)
    if not (outside_52 <= limit).all():  # NaN fails here too
        raise RejectedInputError(
            DropReason.ABSURD_LANDMARKS,
            f"a landmark lies more than {limit:g} pixels outside {width} x {height}: {landmarks_52.tolist()}",
        )
    rectangle = geometry.rectangle_of_landmarks(landmarks_52, params.resolution)
    inside_5 = ((points_52 >= 0) & (points_52 < (width, height))).all(axis=1)
    if not inside_5.any() or not rectangle.meets(width, height):
        raise RejectedInputError(
            DropReason.OUTSIDE_IMAGE, f"landmarks {landmarks_52.tolist()} in a photograph of {width} x {height} pixels"
        )
    side = rectangle.side(params.resolution)
    if side < params.min_side_pixels:
        raise RejectedInputError(
            DropReason.TOO_SMALL,
            f"the face's square has {side:.1f} pixels, at least {params.min_side_pixels} are wanted",
        )
    return rectangle


def _square(side: int, resolution: int) -> Rectangle:
    if side < resolution:
        raise RejectedInputError(DropReason.TOO_SMALL, f"{side} pixels a side, the resolution is {resolution}")
    factor, rest = divmod(side, resolution)
    if rest or factor & (factor - 1):
        raise RejectedInputError(DropReason.WRONG_SIDE, f"{side} pixels a side for a resolution of {resolution}")
    return geometry.rectangle_of_square(side, resolution)


def _optional(path: Path, read: Callable[[Path], Annotations[Value]], warnings: list[str]) -> Mapping[str, Value]:
    """The values of an annotation file that may be absent; a row with an error is a warning, its photograph stays."""
    if not path.is_file():
        return {}
    annotations = read(path)
    warnings.extend([*annotations.warnings, *annotations.errors.values()])
    return annotations.values


def _without_landmarks(photograph: Photograph, landmarks: Annotations[tuple[float, ...]]) -> Drop:
    error = landmarks.errors.get(photograph.file)
    reason = DropReason.NO_LANDMARKS if error is None else DropReason.ABSURD_LANDMARKS
    detail = error or f"{landmarks.path.name} has no row {photograph.file}"
    return Drop.of(photograph, RejectedInputError(reason, detail))


def _without_photograph(known: list[Photograph | Drop], landmarks: Annotations[tuple[float, ...]]) -> Iterator[Drop]:
    names, taken = {row.file for row in known}, {row.index for row in known}
    orphans = [name for name in (*landmarks.values, *landmarks.errors) if name not in names]
    numbered = {name: index for name in orphans if (index := _celeba_index(name)) is not None and index not in taken}
    after = max((*taken, *numbered.values()), default=-1) + 1
    unnumbered = sorted(set(orphans) - set(numbered))
    numbered |= {name: after + place for place, name in enumerate(unnumbered)}
    for name, index in numbered.items():
        detail = f"{landmarks.path.name} has a row {name}, the source has no such file"
        yield Drop(index=index, file=name, reason=DropReason.NO_PHOTOGRAPH, detail=detail)


def _celeba_index(file: str) -> int | None:
    stem = PurePosixPath(file).stem
    return int(stem) - 1 if len(stem) == 6 and stem.isdecimal() and int(stem) > 0 else None
