"""Which photographs have a usable face, and where: photographs joined with annotations, and their crop rectangles."""

from collections.abc import Iterable, Set
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from pipeline import manifest
from pipeline.errors import DropReason, RejectedInputError
from pipeline.faces import geometry
from pipeline.faces.annotations import AnnotationFiles, PhotographAnnotations
from pipeline.faces.geometry import Points, Rectangle
from pipeline.manifest import Aligned, Attributes, Drop, Input, Landmarks, Photograph
from pipeline.params import AlignParams

ANNOTATION_FILES = LANDMARKS, PARTITION, ATTRIBUTES = "landmarks.txt", "partition.txt", "attributes.txt"
"""The annotation files in the folder of a table of photographs; the last two may be absent."""

CELEBA_ALIGNED_SIZE = (178, 218)
CELEBA_ALIGNED_LEFT, CELEBA_ALIGNED_UPPER, CELEBA_ALIGNED_SIDE = 25, 57, 128
"""Width and height of CelebA's aligned photographs, and the square that dataset_tool.py crops from them."""


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

    Errors as `PhotographAnnotations`.
    """
    photographs, rejected = manifest.read_kept(table, Photograph), manifest.read_dropped(table)
    annotations = PhotographAnnotations(annotation_files(table.parent), params)
    joined = Joined(warnings=annotations.warnings)
    for photograph in photographs:
        try:
            joined.annotated.append(manifest.extend(photograph, Annotated, **annotations.of(photograph.file)._asdict()))
        except RejectedInputError as error:
            joined.dropped.append(Drop.of(photograph, error))
    known: list[Photograph | Drop] = [*photographs, *rejected]
    orphans = annotations.without_photograph(row.file for row in known)
    for file, index in _free_indices(orphans, {row.index for row in known}).items():
        joined.dropped.append(Drop.of(Input(index=index, file=file), orphans[file]))
    return joined


def annotation_files(folder: Path) -> AnnotationFiles:
    """The annotation files that the stage extract published in `folder`."""
    landmarks, partition, attributes = (
        path if (path := folder / name).is_file() else None for name in ANNOTATION_FILES
    )
    return AnnotationFiles(landmarks, partition, attributes)


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


def _free_indices(files: Iterable[str], taken: Set[int]) -> dict[str, int]:
    """The index of each file: that of its CelebA number where it is not `taken`, else one after all."""
    names = list(files)
    numbered = {name: index for name in names if (index := _celeba_index(name)) is not None and index not in taken}
    after = max((*taken, *numbered.values()), default=-1) + 1
    unnumbered = sorted(set(names) - set(numbered))
    return numbered | {name: after + place for place, name in enumerate(unnumbered)}


def _celeba_index(file: str) -> int | None:
    stem = PurePosixPath(file).stem
    return int(stem) - 1 if len(stem) == 6 and stem.isdecimal() and int(stem) > 0 else None
