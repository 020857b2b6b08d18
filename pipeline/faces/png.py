"""Pixels between stages: lossless PNG, which any viewer opens."""

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ImageSizeError, SourceError

MAX_SIDE = 1_000_000
"""libpng's limit on width and height."""


def encode_png(image_HWC: NDArray[np.uint8], level: int) -> bytes:
    """RGB pixels, (height, width, 3) uint8, as PNG bytes; `level` 0...9 trades time for size.

    `ImageSizeError` if a side exceeds `MAX_SIDE` pixels, which libpng refuses.
    """
    height, width, _ = image_HWC.shape
    if max(height, width) > MAX_SIDE:
        raise ImageSizeError(
            f"an image of {width} x {height} pixels cannot be written as PNG, whose sides are limited to {MAX_SIDE}. "
            f"If it shows the faces of a chunk, lower superres.previews or superres.faces_per_chunk."
        )
    written, content = cv2.imencode(".png", image_HWC[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, level])
    if not written:
        raise ImageSizeError(f"an image of {width} x {height} pixels cannot be written as PNG; check the memory.")
    return content.tobytes()


def decode_png(content: bytes) -> NDArray[np.uint8]:
    """The RGB pixels of `encode_png`, (height, width, 3) uint8; `SourceError` where the bytes are no PNG."""
    image_HWC = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB) if content else None
    if image_HWC is None:
        raise SourceError(f"{len(content)} bytes that should be a PNG are none; run dvc repro on the stage before.")
    return np.asarray(image_HWC, np.uint8)
