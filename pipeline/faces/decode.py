"""Decodes a photograph to RGB pixels, as the section `photographs` of the params says.

JPEG is decoded by `photographs.decoder` (of four components by Pillow); PNG, WebP, BMP, GIF, TIFF, PPM, JPEG 2000 and
AVIF by Pillow; HEIC by pillow-heif, an extra. None starts another program. `pipeline.faces.pixels` states the rules for
depth, colours and transparency.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.errors import DecoderError, DropReason, RejectedInputError
from pipeline.faces import jpeg, pixels
from pipeline.faces.open_image import PILLOW_FAULTS, damage, open_image
from pipeline.faces.pixels import Remark
from pipeline.params import PhotographParams

Decoder = Literal["libjpeg-8d", "pillow"]

SELF_TEST = Path(__file__).with_name("self_test.jpg")
SELF_TEST_MD5: dict[Decoder, str] = {
    "libjpeg-8d": "870ac1136012052f9ba7081b0f5162fa",
    "pillow": "78116110deaedd7715f6eb744417b284",
}
"""MD5 of the RGB bytes of `SELF_TEST`, a made-up 4:2:0 picture of odd size (tests/golden/make_self_test.py)."""


AS_PUBLISHED = PhotographParams(
    decoder="libjpeg-8d", orientation="stored", colours="stored", background=(128, 128, 128), damaged="keep"
)
"""How the photographs of the published CelebA-HQ were decoded."""


@dataclass(frozen=True, slots=True)
class Header:
    """The size of a photograph in pixels as `decode` gives it, and what is odd about its header (`Remark`)."""

    width: int
    height: int
    remarks: frozenset[Remark]


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """RGB pixels (H, W, 3) uint8, and all that is odd about the file (`Remark`)."""

    image_HWC: NDArray[np.uint8]
    remarks: frozenset[Remark]


def decoding_mib(how: PhotographParams, max_megapixels: float) -> int:
    """Memory to decode a photograph, in MiB: measured are 6 per megapixel of a JPEG as stored, else up to 14.4."""
    return int((6 if how.orientation == how.colours == "stored" else 15) * max_megapixels)


def decode(content: bytes, how: PhotographParams, *, again: bool = False) -> NDArray[np.uint8]:
    """Decode a photograph to RGB, (height, width, 3) uint8; a JPEG decoded before (`again`) is not checked as well.

    `RejectedInputError`: NOT_AN_IMAGE, TRUNCATED, UNDECODABLE or TOO_LARGE.
    """
    return read_picture(content, how, again=again).image_HWC


def read_picture(content: bytes, how: PhotographParams, *, again: bool = False) -> Picture:
    """As `decode`, with the remarks about header and pixels."""
    image = open_image(content)
    name, orientation = image.format or "", pixels.orientation_of(image)
    remarks, damaged, found = pixels.header_remarks(image, how), False, set[Remark]()
    image_HWC = None
    if content.startswith(jpeg.START):
        if how.decoder == "libjpeg-8d" and image.mode in ("L", "RGB"):
            image_HWC, damaged = jpeg.decode_8d(content, how.damaged, again=again)
        else:
            damaged = jpeg.check_data(content, how.damaged, again=again)
    try:
        if image_HWC is None:
            image.load()
            image_HWC, found = pixels.to_rgb(image, how)
        elif pixels.is_converted(image, how):
            decoded = Image.fromarray(image_HWC[..., 0] if image.mode == "L" else image_HWC)
            decoded.info = image.info
            image_HWC, found = pixels.to_rgb(decoded, how)
    except PILLOW_FAULTS as error:
        raise damage(error, name) from error
    remarks |= found | ({Remark.DAMAGED} if damaged else set())
    if name == "TIFF":  # Pillow has turned it already
        orientation = pixels.INVERSE[orientation] if how.orientation == "stored" else 1
    elif how.orientation == "stored":
        orientation = 1
    return Picture(pixels.turn(image_HWC, orientation), frozenset(remarks))


def read_header(content: bytes, max_megapixels: float, how: PhotographParams) -> Header:
    """Read the header alone; no pixel is decoded.

    `RejectedInputError`: NOT_AN_IMAGE, UNDECODABLE, or TOO_LARGE above `max_megapixels`.
    """
    image = open_image(content)
    width, height = image.size
    swapped = how.orientation == "shown"
    if image.format == "TIFF":  # Pillow gives the size as shown
        swapped = not swapped
    if swapped and pixels.orientation_of(image) >= 5:
        width, height = height, width
    if width * height > max_megapixels * 1e6:
        raise RejectedInputError(
            DropReason.TOO_LARGE, f"{width} x {height} pixels are more than {max_megapixels:g} megapixels"
        )
    return Header(width, height, frozenset(pixels.header_remarks(image, how)))


def image_size(content: bytes, max_megapixels: float, orientation: Literal["stored", "shown"]) -> tuple[int, int]:
    """Width and height of what `decode` gives, according to the file's header; errors as `read_header`."""
    header = read_header(content, max_megapixels, AS_PUBLISHED.model_copy(update={"orientation": orientation}))
    return header.width, header.height


def orientation_of(content: bytes) -> int:
    """The Exif orientation of a photograph, 1...8; 1 where there is none. Errors as `decode`."""
    return pixels.orientation_of(open_image(content))


def self_test(decoder: Decoder) -> str:
    """Decode the packaged picture and return its MD5; `DecoderError` where that is not the known one."""
    try:
        rgb = decode(SELF_TEST.read_bytes(), AS_PUBLISHED.model_copy(update={"decoder": decoder})).tobytes()
    except RejectedInputError as rejected:
        raise DecoderError(f"the decoder {decoder!r} cannot read {SELF_TEST} ({rejected}); run make env.") from rejected
    found = hashlib.md5(rgb, usedforsecurity=False).hexdigest()
    if found != SELF_TEST_MD5[decoder]:
        raise DecoderError(
            f"the decoder {decoder!r} gives pixels of MD5 {found} for {SELF_TEST}, expected is "
            f"{SELF_TEST_MD5[decoder]}. Install the locked versions of jpeglib and pillow (make env): another "
            f"decoder makes another data set."
        )
    return found
