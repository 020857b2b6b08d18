"""Decodes a photograph to RGB pixels, with the decoder that `photographs.decoder` names."""

import hashlib
import io
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.errors import DecoderError, DropReason, RejectedInputError
from pipeline.faces import jpeg

Decoder = Literal["libjpeg-8d", "pillow"]

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
"""The formats that are opened: none starts another program. Of several frames the first is taken."""

MODES = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"}
"""Pillow's modes of 8 bits per sample; an alpha channel is ignored."""

DECODED_MIB_PER_MEGAPIXEL = 6
"""Memory to decode a photograph: 3 bytes per pixel, and a copy while it is reduced."""

SELF_TEST = Path(__file__).with_name("self_test.jpg")
SELF_TEST_MD5: dict[Decoder, str] = {
    "libjpeg-8d": "870ac1136012052f9ba7081b0f5162fa",
    "pillow": "78116110deaedd7715f6eb744417b284",
}
"""MD5 of the RGB bytes of `SELF_TEST`, a made-up 4:2:0 picture of odd size (tests/golden/make_self_test.py)."""


def decode(content: bytes, decoder: Decoder) -> NDArray[np.uint8]:
    """Decode a photograph to RGB, (height, width, 3) uint8; JPEG by `decoder`, other formats by Pillow.

    Orientation tags are ignored: pixels are used as stored, as landmarks refer to them.

    `RejectedInputError`: NOT_AN_IMAGE, TRUNCATED or UNDECODABLE.
    """
    if decoder == "libjpeg-8d" and content.startswith(jpeg.START):
        return jpeg.decode_8d(content)
    image = _open(content)
    if image.mode not in MODES:
        raise RejectedInputError(
            DropReason.UNDECODABLE, f"{image.format} of mode {image.mode}; convert it to 8 bits per sample"
        )
    try:
        return np.array(image.convert("RGB"))
    except jpeg.PILLOW_FAULTS as error:
        raise jpeg.damage(error) from error


def image_size(content: bytes, max_megapixels: float) -> tuple[int, int]:
    """Width and height according to the file's header; no pixel is decoded.

    `RejectedInputError`: NOT_AN_IMAGE, or TOO_LARGE above `max_megapixels`.
    """
    width, height = _open(content).size
    if width * height > max_megapixels * 1e6:
        raise RejectedInputError(
            DropReason.TOO_LARGE, f"{width} x {height} pixels are more than {max_megapixels:g} megapixels"
        )
    return width, height


def self_test(decoder: Decoder) -> str:
    """Decode the packaged picture and return its MD5; `DecoderError` where that is not the known one."""
    try:
        pixels = decode(SELF_TEST.read_bytes(), decoder).tobytes()
    except RejectedInputError as rejected:
        raise DecoderError(f"the decoder {decoder!r} cannot read {SELF_TEST} ({rejected}); run make env.") from rejected
    found = hashlib.md5(pixels, usedforsecurity=False).hexdigest()
    if found != SELF_TEST_MD5[decoder]:
        raise DecoderError(
            f"the decoder {decoder!r} gives pixels of MD5 {found} for {SELF_TEST}, expected is "
            f"{SELF_TEST_MD5[decoder]}. Install the locked versions of jpeglib and pillow (make env): another "
            f"decoder makes another data set."
        )
    return found


def _open(content: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(content), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise RejectedInputError(DropReason.TOO_LARGE, str(error)) from error
    except jpeg.PILLOW_FAULTS as error:
        raise RejectedInputError(
            DropReason.NOT_AN_IMAGE, f"{len(content)} bytes that start with {content[:8].hex(' ') or 'nothing'}"
        ) from error
