"""Landmarks that can be read but are most likely wrong, by the file alone, or by the sizes of the photographs."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import DropReason, RejectedInputError
from pipeline.faces.five_points import Face
from pipeline.params import AlignParams
from pipeline.suspicions import Suspicion

Coordinates = NDArray[np.float64]
Mask = NDArray[np.bool_]

SWAPPED = "the first eye lies right of the second"
FLIPPED = "the mouth lies above the eyes, whose order is right"
CAUSES = {SWAPPED: "the subject's left for the viewer's, or y before x?", FLIPPED: "y from the lower edge?"}
"""What most often causes mirrored landmarks."""
NO_FACE = "the five points do not lie as those of a face (columns in another order?)"
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

MISFIT = 0.6
"""Above this, five points are no face. CelebA's are at most 0.42; with columns in another order 0.68 and more."""

NEAR_PIXELS = 4.0
"""How far nearly equal points of a set are from their mean, at the median."""


@np.errstate(invalid="ignore", over="ignore")
def check_order(face: Face, params: AlignParams) -> None:
    """Raise `RejectedInputError` MIRRORED for eyes in the other order; not of published ones, which are known."""
    if params.photographs == "published":
        return
    for kind, mask_N in _mirrored(_points([face])).items():
        if mask_N.any():
            raise RejectedInputError(DropReason.MIRRORED, f"mirrored ({kind}): {[round(value, 3) for value in face]}")


@np.errstate(invalid="ignore", over="ignore")
def of_landmarks(faces: Sequence[tuple[str, Face]], *, normalised: bool) -> list[Suspicion]:
    """What the landmarks show without the photographs; `faces` are names of photographs with ten numbers each.

    Of `normalised` ones, in units of width and height, the shape of a face shows only with the sizes.

    Rows with mirrored eyes are harmless here: they are dropped, so `align.max_dropped` limits them.
    """
    if not faces:
        return []
    points_N52 = _points([face for _, face in faces])
    found: list[Suspicion] = []
    for kind, mask_N in _mirrored(points_N52).items():
        found += _suspicion(f"{kind} ({CAUSES[kind]})", _named(faces, mask_N), len(faces), harmless=True)
    if not normalised:
        found += _no_faces(faces, points_N52)
    places: dict[Face, dict[str, None]] = {}
    for file, face in faces:
        places.setdefault(face, {})[file] = None
    same = max(places.values(), key=len)
    return found + (_suspicion(SAME, list(same), len(faces)) if len(same) >= FEWEST else [])


def _points(faces: Sequence[Face]) -> Coordinates:
    return np.array(faces, np.float64).reshape(-1, 5, 2)


def _mirrored(points_N52: Coordinates) -> dict[str, Mask]:
    """Which faces are mirrored, by kind: the mouth is on the wrong side of the line from the first eye to the other."""
    eyes_N2 = points_N52[:, 1] - points_N52[:, 0]
    mouth_N2 = points_N52[:, 3:].mean(axis=1) - points_N52[:, :2].mean(axis=1)
    wrong_N = eyes_N2[:, 0] * mouth_N2[:, 1] - eyes_N2[:, 1] * mouth_N2[:, 0] < 0
    return {SWAPPED: wrong_N & (eyes_N2[:, 0] <= 0), FLIPPED: wrong_N & (eyes_N2[:, 0] > 0)}


def _are_faces(points_N52: Coordinates) -> Mask:
    """Whether five points lie as those of a face, turned and scaled in any way; the order of mouth corners is free."""
    fits_N = [_misfit(points_N52[:, order]) <= MISFIT for order in ([0, 1, 2, 3, 4], [0, 1, 2, 4, 3])]
    return fits_N[0] | fits_N[1]


def _misfit(points_N52: Coordinates) -> NDArray[np.float64]:
    """What a turned and scaled mean face does not explain of five points, 0...1; 0 of points that are no numbers."""
    points_N5, mean_5 = (xy[..., 0] + 1j * xy[..., 1] for xy in (points_N52, CELEBA_ALIGNED))
    points_N5, mean_5 = points_N5 - points_N5.mean(axis=1, keepdims=True), mean_5 - mean_5.mean()
    rest_N5 = points_N5 - mean_5 * (points_N5 @ mean_5.conj() / np.vdot(mean_5, mean_5).real)[:, None]
    size_N, rest_N = np.linalg.norm(points_N5, axis=1), np.linalg.norm(rest_N5, axis=1)
    known_N = np.isfinite(size_N) & (size_N > 0)
    return np.where(known_N, rest_N / np.where(known_N, size_N, 1), 0)


def _no_faces(faces: Sequence[tuple[Any, ...]], points_N52: Coordinates) -> list[Suspicion]:
    mirrored = np.logical_or.reduce([*_mirrored(points_N52).values()])  # is reported as such
    return _suspicion(NO_FACE, _named(faces, ~(mirrored | _are_faces(points_N52))), len(faces))


@np.errstate(invalid="ignore", over="ignore")
def with_sizes(faces: Sequence[tuple[str, Face, int, int]]) -> list[Suspicion]:
    """What landmarks show together with width and height of their photographs, in the pixels of which they are."""
    if not faces:
        return []
    points_N52 = _points([face for _, face, *_ in faces])
    sizes_N2 = np.array([size for *_, width, height in faces for size in [(width, height)]], np.float64)
    inside_N5 = ((points_N52 >= 0) & (points_N52 < sizes_N2[:, None])).all(axis=2)
    celeba_N = (sizes_N2 == CELEBA_ALIGNED_SIZE).all(axis=1)
    aligned_N = np.median(np.hypot(*(points_N52 - CELEBA_ALIGNED).transpose(2, 0, 1)), axis=1) <= ALIGNED_PIXELS

    def named(mask_N: Mask) -> list[str]:
        return _named(faces, mask_N)

    found = _no_faces(faces, points_N52) + _suspicion(OUTSIDE, named(inside_N5.sum(axis=1) < 3), len(faces))
    if len(faces) < FEWEST:
        return found
    if aligned_N.sum() * 2 > len(faces):
        found += _suspicion(ALIGNED, named(aligned_N & ~celeba_N), len(faces))
    elif celeba_N.sum() * 2 > len(faces) and inside_N5.mean() < 1 - OUTSIDE_SHARE:
        found += _suspicion(WILD, named(celeba_N & ~aligned_N), len(faces))
    centre_52 = np.median(points_N52, axis=0)
    near_N = np.median(np.hypot(*(points_N52 - centre_52).transpose(2, 0, 1)), axis=1) <= NEAR_PIXELS
    usual = Counter(map(tuple, sizes_N2.tolist())).most_common(1)[0][1]
    if not aligned_N.any() and near_N.sum() >= FEWEST and usual * 2 < len(faces):
        found += _suspicion(ONE_PLACE, named(near_N), len(faces))
    return found


def _named(faces: Sequence[tuple[Any, ...]], mask_N: Mask) -> list[str]:
    return [faces[place][0] for place in np.flatnonzero(mask_N).tolist()]


def _suspicion(kind: str, files: Sequence[str], of: int, *, harmless: bool = False) -> list[Suspicion]:
    return [Suspicion(kind, len(files), of, list(files)[:5], harmless=harmless)] if files else []
