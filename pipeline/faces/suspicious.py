"""Landmarks that can be read but are most likely wrong, by the file alone, or by the sizes of the photographs."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import DropReason, RejectedInputError
from pipeline.faces.five_points import Face
from pipeline.params import AlignParams
from pipeline.suspicions import EXAMPLES, Suspicion

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

ROWS_AT_ONCE = 1 << 16
"""Bounds the memory of what is computed of all faces."""

NEAR_PIXELS = 4.0
"""How far nearly equal points of a set are from their mean, at the median."""


@np.errstate(invalid="ignore", over="ignore")
def check_order(face: Face, params: AlignParams) -> None:
    """Raise `RejectedInputError` MIRRORED for eyes in the other order; not of published ones, which are known."""
    if params.photographs == "published":
        return
    for kind, mask_N in _mirrored(np.array(face, np.float64).reshape(1, 5, 2)).items():
        if mask_N.any():
            raise RejectedInputError(DropReason.MIRRORED, f"mirrored ({kind}): {[round(value, 3) for value in face]}")


@np.errstate(invalid="ignore", over="ignore")
def of_landmarks(files: Sequence[str], points_N52: Coordinates, *, normalised: bool) -> list[Suspicion]:
    """What the landmarks of the photographs `files` show without these.

    Of `normalised` ones, in units of width and height, the shape of a face shows only with the sizes.

    Rows with mirrored eyes are harmless here: they are dropped, so `align.max_dropped` limits them.
    """
    if not len(files):
        return []
    found: list[Suspicion] = []
    for kind, mask_N in _mirrored(points_N52).items():
        found += _suspicion(f"{kind} ({CAUSES[kind]})", files, mask_N, harmless=True)
    if not normalised:
        found += _no_faces(files, points_N52)
    same_N = _commonest(points_N52)
    return found + (_suspicion(SAME, files, same_N) if same_N.sum() >= FEWEST else [])


def _commonest(points_N52: Coordinates) -> Mask:
    """Which faces have the points that most faces have; of several such points, the first. NaN equals nothing."""
    points_10N = points_N52.reshape(-1, 10).T
    order = np.lexsort(points_10N)  # equal faces in the order of the rows
    differ_N = np.ones(len(order), np.bool_)
    differ_N[1:] = False
    for sorted_N in (xy_N[order] for xy_N in points_10N):
        differ_N[1:] |= sorted_N[1:] != sorted_N[:-1]
    starts_K = np.flatnonzero(differ_N)
    counts_K = np.diff(starts_K, append=len(order))
    commonest = np.flatnonzero(counts_K == counts_K.max())
    first = commonest[order[starts_K[commonest]].argmin()]
    mask_N = np.zeros(len(order), np.bool_)
    mask_N[order[starts_K[first] :][: counts_K[first]]] = True
    return mask_N


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


def _no_faces(files: Sequence[str], points_N52: Coordinates) -> list[Suspicion]:
    faces_N = np.concatenate([_are_faces(block) for block in _blocks(points_N52)])
    mirrored_N = np.logical_or.reduce([*_mirrored(points_N52).values()])  # is reported as such
    return _suspicion(NO_FACE, files, ~(mirrored_N | faces_N))


@np.errstate(invalid="ignore", over="ignore")
def with_sizes(files: Sequence[str], points_N52: Coordinates, sizes_N2: Coordinates) -> list[Suspicion]:
    """What landmarks show together with width and height of their photographs, in the pixels of which they are."""
    if not len(files):
        return []
    inside_N5 = ((points_N52 >= 0) & (points_N52 < sizes_N2[:, None])).all(axis=2)
    celeba_N = (sizes_N2 == CELEBA_ALIGNED_SIZE).all(axis=1)
    aligned_N = _are_near(points_N52, CELEBA_ALIGNED, ALIGNED_PIXELS)

    found = _no_faces(files, points_N52) + _suspicion(OUTSIDE, files, inside_N5.sum(axis=1) < 3)
    if len(files) < FEWEST:
        return found
    if aligned_N.sum() * 2 > len(files):
        found += _suspicion(ALIGNED, files, aligned_N & ~celeba_N)
    elif celeba_N.sum() * 2 > len(files) and inside_N5.mean() < 1 - OUTSIDE_SHARE:
        found += _suspicion(WILD, files, celeba_N & ~aligned_N)
    if not aligned_N.any() and _of_several_sizes(sizes_N2):
        near_N = _are_near(points_N52, np.median(points_N52, axis=0), NEAR_PIXELS)
        near_N12 = np.hstack([points_N52[near_N].reshape(-1, 10), sizes_N2[near_N]])
        _, first_K = np.unique(near_N12, axis=0, return_index=True)  # without copies of a photograph
        if len(first_K) >= FEWEST and _of_several_sizes(near_N12[first_K, 10:]):
            near_N[np.delete(np.flatnonzero(near_N), first_K)] = False
            found += _suspicion(ONE_PLACE, files, near_N)
    return found


def _of_several_sizes(sizes_N2: Coordinates) -> bool:
    """Whether no size is that of half the photographs."""
    return np.unique(sizes_N2, axis=0, return_counts=True)[1].max() * 2 < len(sizes_N2)


def _are_near(points_N52: Coordinates, others_52: Coordinates, pixels: float) -> Mask:
    """Whether five points lie at most `pixels` from others, at the median."""

    def distances(block_M52: Coordinates) -> NDArray[np.float64]:
        return np.median(np.hypot(*(block_M52 - others_52).transpose(2, 0, 1)), axis=1)

    return np.concatenate([distances(block) for block in _blocks(points_N52)]) <= pixels


def _blocks(points_N52: Coordinates) -> list[Coordinates]:
    return np.array_split(points_N52, max(len(points_N52) // ROWS_AT_ONCE, 1))


def _suspicion(kind: str, files: Sequence[str], mask_N: Mask, *, harmless: bool = False) -> list[Suspicion]:
    places = np.flatnonzero(mask_N)
    examples: list[str] = [files[int(place)] for place in places[:EXAMPLES]]
    return [Suspicion(kind, len(places), len(files), examples, harmless=harmless)] if examples else []
