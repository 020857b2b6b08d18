"""Detected faces, and the choice among those that overlap."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """A face in a picture. Positions are in pixels; (0, 0) is the centre of the first pixel, as in CelebA's files.

    `box_4`: x and y of the upper left corner, width and height. `score`: 0...1. `landmarks_52`: x and y of left eye,
    right eye, nose, left and right mouth corner, left and right as the viewer sees them.
    """

    box_4: NDArray[np.float64]
    score: float
    landmarks_52: NDArray[np.float64]

    def enlarged(self, factors_2: NDArray[np.float64]) -> "Face":
        """The same face in the picture whose pixels are `factors_2` (x, y) as many along each side."""
        corner = (self.box_4[:2] + 0.5) * factors_2 - 0.5
        landmarks_52 = (self.landmarks_52 + 0.5) * factors_2 - 0.5
        return Face(np.concatenate([corner, self.box_4[2:] * factors_2]), self.score, landmarks_52)


def not_suppressed(boxes: NDArray, scores: NDArray, overlap: float, *, of_smaller: bool = False) -> NDArray[np.intp]:
    """The numbers of the boxes (N, 4; edges) that overlap none of a higher score by more than `overlap`, best first.

    Non-maximum suppression; overlap is in units of the union, or of the smaller box.
    """
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    left = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while left.size:
        best, left = left[0], left[1:]
        kept.append(best)
        sides = np.minimum(boxes[best, 2:], boxes[left, 2:]) - np.maximum(boxes[best, :2], boxes[left, :2])
        shared = np.prod(np.maximum(sides, 0), axis=1)
        whole = np.minimum(areas[best], areas[left]) if of_smaller else areas[best] + areas[left] - shared
        left = left[shared <= overlap * whole]
    return np.array(kept, np.intp)
