"""JPEG decoding by IJG libjpeg 8d, which the published CelebA-HQ was made with.

Other common decoders upsample chroma differently. The package jpeglib has 8d, but its C code ends the process at a
damaged header, fills missing data with grey, and does not check the size. So a file is decoded only where its header is
of a kind that 8d reads, and after Pillow has read all of it without an error.
"""

import ctypes
import io
import os
import struct
import tempfile
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jpeglib._bind import CJpegLib
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from pipeline.errors import DropReason, RejectedInputError

START = b"\xff\xd8\xff"
PILLOW_FAULTS = (
    OSError, SyntaxError, ValueError, TypeError, LookupError, OverflowError, EOFError, struct.error, zlib.error,
)  # fmt: skip
"""What Pillow raises on damaged files."""

_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_SEQUENTIAL, _PROGRESSIVE = (0xC0, 0xC1), 0xC2
_BARE = {0x01, *range(0xD0, 0xD8)}  # markers without a length
_SCAN, _END = 0xDA, 0xD9
_GREY, _RGB = 1, 2  # libjpeg's J_COLOR_SPACE


class _LibJpeg8d(CJpegLib):
    """jpeglib keeps the chosen version in the class; in a subclass no other user of jpeglib can change it."""


@dataclass(frozen=True, slots=True)
class Frame:
    """The size in a JPEG's header; only kinds that libjpeg 8d decodes to grey or RGB."""

    width: int
    height: int
    components: int

    def __post_init__(self) -> None:
        if not self.width or not self.height:
            raise RejectedInputError(DropReason.UNDECODABLE, f"JPEG of {self.width} x {self.height} pixels")
        if self.components not in (1, 3):
            raise RejectedInputError(
                DropReason.UNDECODABLE, f"JPEG with {self.components} components (CMYK has 4); convert it to RGB"
            )


def decode_8d(content: bytes) -> NDArray[np.uint8]:
    """Decode a JPEG file to RGB, (height, width, 3) uint8; a grey plane is repeated, orientation tags are ignored.

    `RejectedInputError`: TRUNCATED or UNDECODABLE.
    """
    frame = read_frame(content)
    _check_whole(content, frame)
    if _LibJpeg8d.version != "8d":
        _LibJpeg8d.set_version("8d")
    image_HWC = np.empty((frame.height, frame.width, frame.components), np.uint8)
    with _as_file(content) as path:
        try:
            _LibJpeg8d.read_jpeg_spatial(
                srcfile=path,
                spatial=image_HWC.ctypes.data_as(ctypes.c_void_p),
                colormap=None,
                in_colormap=None,
                out_color_space=_GREY if frame.components == 1 else _RGB,
                dither_mode=None,
                dct_method=None,
                flags=None,
            )
        except OSError as error:
            raise RejectedInputError(DropReason.UNDECODABLE, "libjpeg 8d refuses the file") from error
    return image_HWC if frame.components == 3 else image_HWC.repeat(3, axis=2)


def read_frame(content: bytes) -> Frame:
    """Read the header of a JPEG, up to its first scan.

    `RejectedInputError`: TRUNCATED where the header is incomplete; UNDECODABLE where libjpeg 8d does not read its kind.
    """
    place, frame, sequential = len(START) - 1, None, False
    while (place := content.find(b"\xff", place)) >= 0:
        marker = content[place + 1] if place + 1 < len(content) else 0
        place += 1 if marker in (0x00, 0xFF) else 2
        if marker in (0x00, 0xFF) or marker in _BARE:
            continue
        segment = content[place + 2 : place + int.from_bytes(content[place : place + 2])]
        if marker in _FRAMES and len(segment) >= 6:
            sequential = marker in _SEQUENTIAL
            if not sequential and marker != _PROGRESSIVE:
                raise RejectedInputError(DropReason.UNDECODABLE, f"JPEG process 0x{marker:02x} (lossless, arithmetic)")
            if segment[0] != 8:
                raise RejectedInputError(DropReason.UNDECODABLE, f"JPEG of {segment[0]} bits per sample")
            frame = Frame(int.from_bytes(segment[3:5]), int.from_bytes(segment[1:3]), segment[5])
        elif marker == _SCAN and frame is not None and len(segment) >= 4:
            if sequential and segment[-3:-1] != b"\x00\x3f":
                raise RejectedInputError(DropReason.UNDECODABLE, "sequential JPEG with a partial scan")
            return frame
        elif marker in (_SCAN, _END):
            break
        place += len(segment) + 2
    raise RejectedInputError(DropReason.TRUNCATED, "JPEG without a complete header")


def damage(error: Exception) -> RejectedInputError:
    """What Pillow found, as a rejection: TRUNCATED where the end is missing, else UNDECODABLE."""
    reason = DropReason.TRUNCATED if "truncated" in str(error).lower() else DropReason.UNDECODABLE
    # Pillow's own message has an address in memory, which differs from run to run
    message = "cannot identify the format" if isinstance(error, UnidentifiedImageError) else str(error)
    return RejectedInputError(reason, f"{type(error).__name__}: {message}")


def _check_whole(content: bytes, frame: Frame) -> None:
    """Read the whole file with Pillow at an eighth of the size: a cheap check that it is complete."""
    try:
        with Image.open(io.BytesIO(content), formats=("JPEG",)) as image:
            size = image.size
            image.draft(image.mode, (1, 1))
            image.load()
    except PILLOW_FAULTS as error:
        raise damage(error) from error
    if size != (frame.width, frame.height):
        raise RejectedInputError(DropReason.UNDECODABLE, f"two sizes in one JPEG: {size} and {frame}")


@contextmanager
def _as_file(content: bytes) -> Generator[str]:
    """A path from which C code can read `content`: in memory on Linux, a temporary file elsewhere."""
    if hasattr(os, "memfd_create"):
        with os.fdopen(os.memfd_create("jpeg"), "wb") as file:
            file.write(content)
            file.flush()
            yield f"/proc/self/fd/{file.fileno()}"
    else:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "photograph.jpg"
            path.write_bytes(content)
            yield str(path)
