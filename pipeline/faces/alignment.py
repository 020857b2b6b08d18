"""Which photographs have a usable face, and where: annotations joined to photographs, rectangles judged."""

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

LANDMARKS, PARTITION, ATTRIBUTES = "landmarks.txt", "partition.txt", "attributes.txt"
"""The annotation files beside a table of photographs; the last two may be absent."""

CELEBA_ALIGNED_SIZE = (178, 218)
CELEBA_ALIGNED_LEFT, CELEBA_ALIGNED_UPPER, CELEBA_ALIGNED_SIDE = 25, 57, 128
"""Width and height of CelebA's aligned photographs, and the square in them that the paper's ablations use (SPEC §2)."""


Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class Located(Photograph):
    """A photograph with what the annotation files say of it. `landmarks` is null where the whole image is taken."""

    split: str | None
    attributes: Attributes | None
    landmarks: Landmarks | None


@dataclass(frozen=True, slots=True)
class Joined:
    """Photographs joined with annotations: those to go on with, those that cannot, and what else was odd."""

    located: list[Located] = field(default_factory=list[Located])
    dropped: list[Drop] = field(default_factory=list[Drop])
    warnings: list[str] = field(default_factory=list[str])


def join(table: Path, params: AlignParams) -> Joined:
    """Join a table of photographs with the annotation files beside it.

    Every photograph that the table keeps comes out once, and so does every landmark row of a photograph that the table
    does not know at all (kept or dropped). Such a row gets the index of its CelebA number where that is free, else
    one after all others.

    Raises
    ------
    SourceError
        The landmarks are wanted and absent, or an annotation file cannot be read.
    """
    photographs, rejected = manifest.read_kept(table, Photograph), manifest.read_dropped(table)
    joined = Joined()
    splits = _optional(table.with_name(PARTITION), read_partition, joined.warnings)
    attributes = _optional(table.with_name(ATTRIBUTES), read_attributes, joined.warnings)
    if params.rectangle != "landmarks":
        joined.located.extend(_located(photograph, splits, attributes, None) for photograph in photographs)
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
            joined.located.append(_located(photograph, splits, attributes, points))
        else:
            joined.dropped.append(_without_landmarks(photograph, landmarks))
    joined.dropped.extend(_without_photograph([*photographs, *rejected], landmarks))
    return joined


def keep_only(joined: Joined, files: Set[str]) -> Joined:
    """Drop what is not among `files` as NOT_PUBLISHED, whether it could have been used or not."""
    wanted = [photograph for photograph in joined.located if photograph.file in files]
    others = [row for row in (*joined.located, *joined.dropped) if row.file not in files]
    unwanted = [
        Drop(index=row.index, file=row.file, reason=DropReason.NOT_PUBLISHED, detail="align.photographs: published")
        for row in others
    ]
    return Joined(wanted, [drop for drop in joined.dropped if drop.file in files] + unwanted, joined.warnings)


def place(row: Located, width: int, height: int, params: AlignParams) -> Aligned:
    """The row of a photograph of `width` x `height` pixels with its rectangle.

    Raises
    ------
    RejectedInputError
        ABSURD_LANDMARKS, OUTSIDE_IMAGE or TOO_SMALL; for whole images NOT_SQUARE, TOO_SMALL or WRONG_SIDE; for
        CelebA's aligned photographs WRONG_SIZE, TOO_SMALL or WRONG_SIDE.
    """
    if params.rectangle == "celeba-128":
        rectangle = _aligned_celeba(width, height, params)
    elif row.landmarks is None:
        rectangle = _whole(width, height, params)
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


def _whole(width: int, height: int, params: AlignParams) -> Rectangle:
    if width != height:
        raise RejectedInputError(DropReason.NOT_SQUARE, f"{width} x {height} pixels")
    return _square(width, params.resolution)


def _aligned_celeba(width: int, height: int, params: AlignParams) -> Rectangle:
    if (width, height) != CELEBA_ALIGNED_SIZE:
        wanted = " x ".join(map(str, CELEBA_ALIGNED_SIZE))
        raise RejectedInputError(
            DropReason.WRONG_SIZE, f"{width} x {height} pixels, CelebA's aligned ones have {wanted}"
        )
    return _square(CELEBA_ALIGNED_SIDE, params.resolution).moved(CELEBA_ALIGNED_LEFT, CELEBA_ALIGNED_UPPER)


def _square(side: int, resolution: int) -> Rectangle:
    if side < resolution:
        raise RejectedInputError(DropReason.TOO_SMALL, f"{side} pixels a side, wanted are {resolution}")
    factor, rest = divmod(side, resolution)
    if rest or factor & (factor - 1):
        raise RejectedInputError(DropReason.WRONG_SIDE, f"{side} pixels a side for a resolution of {resolution}")
    return geometry.rectangle_of_square(side, resolution)


def _optional(path: Path, read: Callable[[Path], Annotations[Value]], warnings: list[str]) -> Mapping[str, Value]:
    """The values of an annotation file that may be absent; a faulty row is a warning, its photograph stays."""
    if not path.is_file():
        return {}
    annotations = read(path)
    warnings.extend([*annotations.warnings, *annotations.faults.values()])
    return annotations.values


def _located(
    photograph: Photograph,
    splits: Mapping[str, str],
    attributes: Mapping[str, tuple[int, ...]],
    landmarks: tuple[float, ...] | None,
) -> Located:
    return manifest.extend(
        photograph,
        Located,
        split=splits.get(photograph.file),
        attributes=attributes.get(photograph.file),
        landmarks=landmarks,
    )


def _without_landmarks(photograph: Photograph, landmarks: Annotations[tuple[float, ...]]) -> Drop:
    fault = landmarks.faults.get(photograph.file)
    reason = DropReason.NO_LANDMARKS if fault is None else DropReason.ABSURD_LANDMARKS
    detail = fault or f"{landmarks.path.name} has no row {photograph.file}"
    return Drop(index=photograph.index, file=photograph.file, reason=reason, detail=detail)


def _without_photograph(known: list[Photograph | Drop], landmarks: Annotations[tuple[float, ...]]) -> Iterator[Drop]:
    names, taken = {row.file for row in known}, {row.index for row in known}
    orphans = [name for name in (*landmarks.values, *landmarks.faults) if name not in names]
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
