"""YuNet (Wu, Peng, Yu 2023, "YuNet: A Tiny Millisecond-level Face Detector"), run by OpenCV's FaceDetectorYN."""

import threading
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import NetworkError
from pipeline.faces.detection.face import Face, not_suppressed

OVERLAP = 0.3  # of the union; above, the face of lower score is suppressed
TOP_K = 5000
LARGEST_FACE = 300
"""In pixels; larger ones are found in a reduced picture, since the network was trained up to this size."""


class Yunet:
    """Finds faces with scores of `smallest_score` (0...1) or more.

    `file` is face_detection_yunet_2023mar.onnx of OpenCV's model zoo; `NetworkError` where OpenCV cannot read it.
    """

    def __init__(self, file: Path, smallest_score: float) -> None:
        self._one_at_a_time = threading.Lock()  # a dask worker may have several threads
        level = cv2.utils.logging.setLogLevel(
            cv2.utils.logging.LOG_LEVEL_ERROR
        )  # OpenCV 5 warns of a default of its own
        try:
            self._network = cv2.FaceDetectorYN.create(str(file), "", (32, 32), smallest_score, OVERLAP, TOP_K)
        except cv2.error as error:
            raise NetworkError(f"{file}: OpenCV {cv2.__version__} cannot read this network ({error}).") from error
        finally:
            cv2.utils.logging.setLogLevel(level)

    def detect(self, picture_HWC: NDArray[np.uint8], smallest_face: int = 0) -> list[Face]:
        """The faces of any size in an RGB picture, (height, width, 3) uint8, best score first."""
        height, width = picture_HWC.shape[:2]
        faces = self._faces_at(picture_HWC, (width, height))
        factor = LARGEST_FACE / max(height, width)
        if factor < 1:
            faces += self._faces_at(picture_HWC, (max(round(width * factor), 1), max(round(height * factor), 1)))
        if not faces:
            return []
        boxes = np.array([[*face.box_4[:2], *(face.box_4[:2] + face.box_4[2:])] for face in faces])
        return [faces[i] for i in not_suppressed(boxes, np.array([face.score for face in faces]), OVERLAP)]

    def _faces_at(self, picture_HWC: NDArray[np.uint8], size: tuple[int, int]) -> list[Face]:
        """The faces in the picture reduced to `size`, width and height."""
        height, width = picture_HWC.shape[:2]
        if size != (width, height):
            picture_HWC = np.asarray(cv2.resize(picture_HWC, size, interpolation=cv2.INTER_AREA), np.uint8)
        with self._one_at_a_time:
            self._network.setInputSize(size)
            _, found = self._network.detect(np.ascontiguousarray(picture_HWC[..., ::-1]))
        rows = np.asarray([] if found is None else found, np.float64)  # pyright: ignore[reportUnnecessaryComparison]
        factors_2 = np.array([width / size[0], height / size[1]])
        # 15 numbers: box, then right eye, left eye, nose, right and left mouth corner of the person, which are left,
        # right, ... for the viewer, then the score
        return [Face(row[:4], float(row[14]), row[4:14].reshape(5, 2)).enlarged(factors_2) for row in rows]
