"""Opens a photograph with Pillow: the header only, in the format that its first bytes show."""

import io
import struct
import zlib

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from pipeline.errors import DropReason, RejectedInputError
from pipeline.faces import formats
from pipeline.faces.jpeg import read_frame
from pipeline.faces.samples import to_bytes

PILLOW_FAULTS = (
    OSError, SyntaxError, ValueError, TypeError, LookupError, OverflowError, EOFError, RuntimeError, struct.error,
    zlib.error,
)  # fmt: skip
"""What Pillow raises on damaged files."""

_DNG_VERSION, _SUBFILE_TYPE, _REDUCED = 50706, 254, 1
_WIDTH, _HEIGHT, _BITS, _SAMPLES, _SAMPLE_FORMAT = 256, 257, 258, 277, 339
_SAMPLE_KINDS = {1: "unsigned integer", 2: "signed integer", 3: "floating point"}


def open_image(content: bytes) -> Image.Image:
    """Open a photograph; what Pillow's own header check leaves out (colour TIFFs of floats) is decoded at once.

    `RejectedInputError`: NOT_AN_IMAGE, UNDECODABLE or TOO_LARGE; it names the format.
    """
    known = formats.check_picture(content)
    if known is formats.HEIC:
        _register_heif()
    try:
        image = Image.open(io.BytesIO(content), formats=(known.plugin or known.name,))
    except Image.DecompressionBombError as error:
        raise RejectedInputError(DropReason.TOO_LARGE, str(error)) from error
    except PILLOW_FAULTS as error:
        if known is formats.TIFF:
            return _open_tiff(content)
        if known is formats.JPEG:
            read_frame(content)  # names kinds that are not read, and a header that is cut
        detail = f"{known.name} of {len(content)} bytes without a header that can be read"
        raise RejectedInputError(DropReason.UNDECODABLE, detail) from error
    if known is formats.TIFF:
        tags = image.tag_v2  # pyright: ignore[reportAttributeAccessIssue]
        if _DNG_VERSION in tags or tags.get(_SUBFILE_TYPE, 0) & _REDUCED:
            raise RejectedInputError(DropReason.UNDECODABLE, f"{formats.RAW.name}; {formats.RAW.remedy}")
    if known is formats.PNG and "exif" not in image.info:
        image.info |= _late_exif(content)
    return image


def damage(error: Exception, name: str) -> RejectedInputError:
    """What Pillow found in a file of format `name`: TRUNCATED where the end is missing, else UNDECODABLE."""
    reason = DropReason.TRUNCATED if "truncated" in str(error).lower() else DropReason.UNDECODABLE
    # Pillow's own message has an address in memory, which differs from run to run
    message = "cannot identify the format" if isinstance(error, UnidentifiedImageError) else str(error)
    return RejectedInputError(reason, f"damaged {name} ({type(error).__name__}: {message})")


def _register_heif() -> None:
    try:
        import pillow_heif  # noqa: PLC0415  # pyright: ignore[reportMissingImports] - an extra
    except ImportError as error:
        detail = 'HEIC; install the extra that reads it (pip install "celebahq[heic]") or convert it to JPEG'
        raise RejectedInputError(DropReason.UNDECODABLE, detail) from error
    pillow_heif.register_heif_opener()


def _late_exif(content: bytes) -> dict[str, bytes]:
    """A PNG's Exif data that follow its pixels, which Pillow finds only when it loads them."""
    place = 8
    while place + 12 <= len(content):
        size, kind = int.from_bytes(content[place : place + 4]), content[place + 4 : place + 8]
        if kind == b"eXIf":
            return {"exif": b"Exif\0\0" + content[place + 8 : place + 8 + size]}
        place += 12 + size
    return {}


def _open_tiff(content: bytes) -> Image.Image:
    """Decode a TIFF of a kind that Pillow does not know, by OpenCV."""
    try:
        tags = ImageFileDirectory_v2(content[:8])
        stream = io.BytesIO(content)
        stream.seek(tags.next)
        tags.load(stream)
        width, height = int(tags[_WIDTH]), int(tags[_HEIGHT])
        bits, samples = (np.atleast_1d(tags.get(tag, 1)) for tag in (_BITS, _SAMPLES))
        kind = _SAMPLE_KINDS.get(int(np.atleast_1d(tags.get(_SAMPLE_FORMAT, 1))[0]), "unknown kind")
    except PILLOW_FAULTS as error:
        raise RejectedInputError(DropReason.UNDECODABLE, "TIFF without a header that can be read") from error
    name = f"TIFF of {samples[0]} samples of {bits[0]} bits, {kind}"
    if width * height > 2 * (Image.MAX_IMAGE_PIXELS or np.inf):
        raise RejectedInputError(DropReason.TOO_LARGE, f"{width} x {height} pixels")
    try:
        values = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        values = None
    if values is None or values.shape[:2] != (height, width):
        raise RejectedInputError(DropReason.UNDECODABLE, f"{name}; convert it to 8 or 16 bits per sample")
    pixels = to_bytes(values, name)
    if pixels.ndim == 3:
        pixels = np.ascontiguousarray(pixels[..., [2, 1, 0, 3][: pixels.shape[2]]])  # OpenCV's order is BGR
    image = Image.fromarray(pixels)
    image.format = formats.TIFF.name
    return image
