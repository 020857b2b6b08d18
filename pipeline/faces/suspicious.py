"""Landmarks that can be read but are most likely wrong, by the file alone, or by the sizes of the photographs."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import DropReason, RejectedInputError
from pipeline.faces.five_points import Face
from pipeline.params import AlignParams
from pipeline.suspicions import Suspicion

SWAPPED = "the first eye lies right of the second"
FLIPPED = "the mouth lies above the eyes, whose order is right"
CAUSES = {SWAPPED: "the subject's left for the viewer's?", FLIPPED: "y from the lower edge?"}
"""What most often causes mirrored landmarks."""
SAME = "the same five points in several photographs"
ALIGNED = (
    "nearly the same five points, those of CelebA's aligned images of 178 x 218 pixels, in photographs of another size"
)
ONE_PLACE = "nearly the same five points in photographs of different sizes"
WILD = "photographs of 178 x 218 pixels, as CelebA's aligned images, with landmarks of other photographs"
OUTSIDE = "most of the five points lie outside the photograph"

FEWEST = 3
"""Of fewer photographs, equality says nothing."""

CELEBA_ALIGNED_SIZE = (178, 218)
CELEBA_ALIGNED = np.array([(69.2, 111.2), (107.7, 111.3), (87.6, 135.0), (71.3, 151.9), (105.6, 152.2)])
"""Where the five points of CelebA's aligned images lie on average, in pixels."""

ALIGNED_PIXELS = 10.0
"""How far from there the points of such a face are, at the median of the five."""

OUTSIDE_SHARE = 0.1
"""Of all points, the least that lies outside where landmarks belong to other photographs."""

NEAR_PIXELS = 4.0
"""How far nearly equal points of a set are from their mean, at the median."""


def mirrored(face: Face) -> str | None:
    """How a face is mirrored: its mouth is on the wrong side of the line between the eyes; else None."""
    points_52 = np.array(face).reshape(5, 2)
    eyes, mouth = points_52[1] - points_52[0], points_52[3:].mean(axis=0) - points_52[:2].mean(axis=0)
    if not eyes[0] * mouth[1] - eyes[1] * mouth[0] < 0:
        return None
    return FLIPPED if eyes[0] > 0 else SWAPPED


def check_order(face: Face, params: AlignParams) -> None:
    """Raise `RejectedInputError` MIRRORED for eyes in the other order; not of published ones, which are known."""
    how = mirrored(face) if params.photographs == "all" else None
    if how is not None:
        raise RejectedInputError(DropReason.MIRRORED, f"mirrored ({how}): {[round(value, 3) for value in face]}")


def of_landmarks(faces: Sequence[tuple[str, Face]]) -> list[Suspicion]:
    """What the landmarks show without the photographs; `faces` are names of photographs with ten numbers each.

    Rows with mirrored eyes are harmless here: they are dropped, so `align.max_dropped` limits them.
    """
    how = [(file, mirrored(face)) for file, face in faces]
    found: list[Suspicion] = []
    for kind, cause in CAUSES.items():
        files = [file for file, each in how if each == kind]
        found += _suspicion(f"{kind} ({cause})", files, len(faces), harmless=True)
    places: dict[Face, dict[str, None]] = {}
    for file, face in faces:
        places.setdefault(face, {})[file] = None
    same = max(places.values(), key=len, default={})
    return found + (_suspicion(SAME, list(same), len(faces)) if len(same) >= FEWEST else [])


def with_sizes(faces: Sequence[tuple[str, Face, int, int]]) -> list[Suspicion]:
    """What landmarks show together with width and height of their photographs, in the pixels of which they are."""
    if not faces:
        return []
    files = [file for file, *_ in faces]
    points_N52 = np.array([face for _, face, *_ in faces], np.float64).reshape(-1, 5, 2)
    sizes_N2 = np.array([size for *_, width, height in faces for size in [(width, height)]], np.float64)
    inside_N5 = ((points_N52 >= 0) & (points_N52 < sizes_N2[:, None])).all(axis=2)
    celeba_N = (sizes_N2 == CELEBA_ALIGNED_SIZE).all(axis=1)
    aligned_N = np.median(np.hypot(*(points_N52 - CELEBA_ALIGNED).transpose(2, 0, 1)), axis=1) <= ALIGNED_PIXELS

    def named(mask_N: NDArray[np.bool_]) -> list[str]:
        return [file for file, yes in zip(files, mask_N.tolist(), strict=True) if yes]

    found = _suspicion(OUTSIDE, named(inside_N5.sum(axis=1) < 3), len(files))
    if len(files) < FEWEST:
        return found
    if aligned_N.sum() * 2 > len(files):
        found += _suspicion(ALIGNED, named(aligned_N & ~celeba_N), len(files))
    elif celeba_N.sum() * 2 > len(files) and inside_N5.mean() < 1 - OUTSIDE_SHARE:
        found += _suspicion(WILD, named(celeba_N & ~aligned_N), len(files))
    centre_52 = np.median(points_N52, axis=0)
    near_N = np.median(np.hypot(*(points_N52 - centre_52).transpose(2, 0, 1)), axis=1) <= NEAR_PIXELS
    usual = Counter(map(tuple, sizes_N2.tolist())).most_common(1)[0][1]
    if not aligned_N.any() and near_N.sum() >= FEWEST and usual * 2 < len(files):
        found += _suspicion(ONE_PLACE, named(near_N), len(files))
    return found


def _suspicion(kind: str, files: Sequence[str], of: int, *, harmless: bool = False) -> list[Suspicion]:
    return [Suspicion(kind, len(files), of, list(files)[:5], harmless=harmless)] if files else []
