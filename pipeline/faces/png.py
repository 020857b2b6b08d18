"""Pixels between stages: lossless PNG, which any viewer opens."""

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import SourceError


def encode_png(image_HWC: NDArray[np.uint8], level: int) -> bytes:
    """RGB pixels, (height, width, 3) uint8, as PNG bytes; `level` 0...9 trades time for size."""
    _, content = cv2.imencode(".png", image_HWC[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, level])
    return content.tobytes()


def decode_png(content: bytes) -> NDArray[np.uint8]:
    """The RGB pixels of `encode_png`, (height, width, 3) uint8; `SourceError` where the bytes are no PNG."""
    image_HWC = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB) if content else None
    if image_HWC is None:
        raise SourceError(f"{len(content)} bytes that should be a PNG are none; run dvc repro on the stage before.")
    return np.asarray(image_HWC, np.uint8)
