"""MTCNN (Zhang et al. 2016, "Joint Face Detection and Alignment using Multitask Cascaded Convolutional Networks").

Boxes are (N, 4): left, upper, right and lower edge in pixels, where the first pixel covers 0...1.
"""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.faces.detection.face import Face, not_suppressed
from pipeline.faces.detection.mtcnn_networks import Networks

SCALE_STEP = 0.709  # of the pyramid: about half the area
WINDOW, STRIDE = 12, 2  # of P-Net, in pixels
THRESHOLDS = (0.6, 0.7)  # of P-Net and R-Net, as published
OVERLAP_OF_A_SCALE, OVERLAP = 0.5, 0.7  # above, the box of lower score is suppressed

Boxes = NDArray[np.float64]
Picture = NDArray[np.uint8]


class Mtcnn:
    """Finds faces with scores of `smallest_score` (0...1) or more.

    `folder` holds the three ONNX files; errors as `Networks`.
    """

    def __init__(self, folder: Path, smallest_score: float) -> None:
        self._networks = Networks(folder)
        self._smallest_score = smallest_score

    def detect(self, picture_HWC: Picture, smallest_face: int) -> list[Face]:
        """The faces of `smallest_face` pixels or more in an RGB picture, (height, width, 3) uint8, best score first."""
        boxes = self._refined(picture_HWC, self._proposals(picture_HWC, smallest_face))
        if not len(boxes):
            return []
        scores, offsets, points_N52 = self._networks.locate(_crops(picture_HWC, boxes, 48))
        corners, sides = boxes[:, None, :2], boxes[:, None, 2:] - boxes[:, None, :2]
        landmarks_N52 = corners + points_N52 * sides - 0.5
        boxes = _moved(boxes, offsets)
        return [
            Face(np.concatenate([boxes[i, :2] - 0.5, boxes[i, 2:] - boxes[i, :2]]), float(scores[i]), landmarks_N52[i])
            for i in not_suppressed(boxes, scores, OVERLAP, of_smaller=True)
            if scores[i] >= self._smallest_score
        ]

    def _proposals(self, picture_HWC: Picture, smallest_face: int) -> Boxes:
        found = [*self._proposals_by_scale(picture_HWC, WINDOW / smallest_face)]
        if not found:
            return np.empty((0, 4))
        boxes, scores, offsets = (np.concatenate(parts) for parts in zip(*found, strict=True))
        kept = not_suppressed(boxes, scores, OVERLAP)
        return _square(_moved(boxes[kept], offsets[kept]))

    def _proposals_by_scale(self, picture_HWC: Picture, scale: float) -> Iterator[tuple[Boxes, NDArray, NDArray]]:
        height, width = picture_HWC.shape[:2]
        while min(height, width) * scale >= WINDOW:
            size = (int(np.ceil(width * scale)), int(np.ceil(height * scale)))
            method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
            scaled_HWC = np.asarray(cv2.resize(picture_HWC, size, interpolation=method), np.uint8)
            scores_hw, offsets_hw4 = self._networks.propose(scaled_HWC)
            rows, columns = np.nonzero(scores_hw >= THRESHOLDS[0])
            corners = STRIDE * np.stack([columns, rows], axis=1)
            boxes = np.hstack([corners, corners + WINDOW]) * np.tile(np.array([width, height]) / size, 2)
            scores, offsets = scores_hw[rows, columns], offsets_hw4[rows, columns]
            kept = not_suppressed(boxes, scores, OVERLAP_OF_A_SCALE)
            yield boxes[kept], scores[kept], offsets[kept]
            scale *= SCALE_STEP

    def _refined(self, picture_HWC: Picture, boxes: Boxes) -> Boxes:
        if not len(boxes):
            return boxes
        scores, offsets = self._networks.refine(_crops(picture_HWC, boxes, 24))
        good = scores >= THRESHOLDS[1]
        boxes, scores, offsets = boxes[good], scores[good], offsets[good]
        kept = not_suppressed(boxes, scores, OVERLAP)
        return np.rint(_square(_moved(boxes[kept], offsets[kept])))


def _crops(picture_HWC: Picture, boxes: Boxes, side: int) -> Picture:
    """The boxes, to whole pixels, at side x side pixels; black outside the picture."""
    height, width = picture_HWC.shape[:2]
    crops = np.zeros((len(boxes), side, side, 3), np.uint8)
    for crop_HWC, (left, upper, right, lower) in zip(crops, np.rint(boxes).astype(int), strict=True):
        columns, rows = max(right - left, 1), max(lower - upper, 1)
        x0, y0, x1, y1 = max(left, 0), max(upper, 0), min(left + columns, width), min(upper + rows, height)
        if x0 < x1 and y0 < y1:
            whole_HWC = np.zeros((rows, columns, 3), np.uint8)
            whole_HWC[y0 - upper : y1 - upper, x0 - left : x1 - left] = picture_HWC[y0:y1, x0:x1]
            method = cv2.INTER_AREA if columns > side else cv2.INTER_LINEAR
            crop_HWC[:] = cv2.resize(whole_HWC, (side, side), interpolation=method)
    return crops


def _moved(boxes: Boxes, offsets: NDArray) -> Boxes:
    """The boxes with their edges moved by the offsets, which are in units of the box's sides."""
    return boxes + offsets * np.tile(boxes[:, 2:] - boxes[:, :2], 2)


def _square(boxes: Boxes) -> Boxes:
    """Squares of the longer side around the same centres."""
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    halves = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, keepdims=True, initial=0) / 2
    return np.hstack([centres - halves, centres + halves])
