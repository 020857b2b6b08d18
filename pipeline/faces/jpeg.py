"""JPEG decoding by IJG libjpeg 8d, which the published CelebA-HQ was made with, and the check of a JPEG's data.

Other common decoders upsample chroma differently. The package jpeglib has 8d, but its C code ends the process at a
damaged header, fills missing data with grey, and does not check the size. So a file is decoded only where its header is
of a kind that 8d reads, and after libjpeg-turbo has read all of it without an error.
"""

import ctypes
import io
import os
import struct
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import simplejpeg
from jpeglib._bind import CJpegLib
from numpy.typing import NDArray
from PIL import Image

from pipeline.errors import DropReason, RejectedInputError
from pipeline.faces import jpeg_codes

START = b"\xff\xd8\xff"
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_SEQUENTIAL, _PROGRESSIVE = (0xC0, 0xC1), 0xC2
_BARE = {0x01, *range(0xD0, 0xD8)}  # markers without a length
_SCAN, _END = 0xDA, 0xD9
_GREY, _RGB = 1, 2  # libjpeg's J_COLOR_SPACE
_COLOUR_MARKERS = {0xE0, 0xEE}  # JFIF's and Adobe's: they say what the components mean
_TABLES = {0xDB, 0xC4, 0xDD, 0xCC} | _FRAMES
_LEFT_OVER = "extraneous bytes before marker"
_UNUSUAL = ("Could not determine subsampling", "Unsupported color conversion")
_PREMATURE_FILE = "Premature end of JPEG file"
_END_MARKER = b"\xff\xd9"


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


def decode_8d(
    content: bytes, damaged: Literal["drop", "keep"] = "drop", *, again: bool = False
) -> tuple[NDArray[np.uint8], bool]:
    """Decode a JPEG file to RGB, (height, width, 3) uint8, and say whether its data are damaged (see `check_data`).

    A grey plane is repeated, orientation tags are ignored. `RejectedInputError`: TRUNCATED or UNDECODABLE.
    """
    frame = read_frame(content)
    fault = check_data(content, damaged, frame, again=again)
    if _LibJpeg8d.version != "8d":
        _LibJpeg8d.set_version("8d")
    image_HWC = np.empty((frame.height, frame.width, frame.components), np.uint8)
    with _as_file(_without_metadata(content, _TABLES | _COLOUR_MARKERS)) as path:
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
    return image_HWC if frame.components == 3 else image_HWC.repeat(3, axis=2), fault


def read_frame(content: bytes) -> Frame:
    """Read the header of a JPEG, up to its first scan.

    `RejectedInputError`: TRUNCATED where the header is incomplete; UNDECODABLE where libjpeg 8d does not read its kind.
    """
    frame, sequential = None, False
    for marker, place, end in _segments(content):
        segment = content[place + 4 : end]
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
    raise RejectedInputError(DropReason.TRUNCATED, "JPEG without a complete header")


def check_data(
    content: bytes, damaged: Literal["drop", "keep"], frame: Frame | None = None, *, again: bool = False
) -> bool:
    """Decode all data of a JPEG file at an eighth of its size; whether they are damaged, and that is allowed.

    Damage is what libjpeg-turbo reports by an error or a warning, and unless the file was checked before (`again`) what
    `jpeg_codes` finds. Metadata, bytes between segments, and what follows the end are not looked at.

    `RejectedInputError`: TRUNCATED or UNDECODABLE where data are missing or damaged; where `damaged` is keep, only if
    the file ends too early or nothing can be decoded. UNDECODABLE where the size is not that of `frame`.
    """
    content = _without_metadata(content, _TABLES)
    fault = ""
    try:
        height, width = _decode_coarsely(content, strict=True)
    except ValueError as warning:
        fault = str(warning)
        try:
            height, width = _decode_coarsely(content, strict=False)
        except ValueError as fatal:
            raise _damage(str(fatal), content) from fatal
    if fault != _PREMATURE_FILE and not again:
        found = jpeg_codes.find_fault(content)
        harmless = found == "" and _LEFT_OVER in fault  # bytes of padding, which some cameras write
        fault = "" if harmless else fault or found or ""
    if fault and (damaged == "drop" or fault == _PREMATURE_FILE):
        raise _damage(fault, content)
    if frame is not None and (width, height) != (frame.width, frame.height):
        raise RejectedInputError(DropReason.UNDECODABLE, f"two sizes in one JPEG: {width} x {height} and {frame}")
    return bool(fault)


def _damage(fault: str, content: bytes) -> RejectedInputError:
    truncated = "premature end" in fault.lower() or _END_MARKER not in content
    return RejectedInputError(
        DropReason.TRUNCATED if truncated else DropReason.UNDECODABLE, f"JPEG truncated or damaged ({fault})"
    )


def _decode_coarsely(content: bytes, *, strict: bool) -> tuple[int, int]:
    """Height and width, after all data have been read; `ValueError` for an error, and if `strict` for a warning."""
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(content, strict=strict)
        output = "CMYK" if colours in ("CMYK", "YCCK") else "GRAY"
        simplejpeg.decode_jpeg(content, output, True, True, 1, 1, 8, strict=strict)
        return int(height), int(width)
    except (ValueError, KeyError) as error:
        if not isinstance(error, KeyError) and not any(kind in str(error) for kind in _UNUSUAL):
            raise
    return _decode_unusual(content)


def _decode_unusual(content: bytes) -> tuple[int, int]:
    """As `_decode_coarsely`, of kinds that simplejpeg does not read (odd sampling, lossless): without warnings."""
    try:
        with Image.open(io.BytesIO(content), formats=("JPEG",)) as image:
            width, height = image.size
            image.draft(image.mode, (1, 1))
            image.load()
    except (OSError, SyntaxError, TypeError, LookupError, EOFError, struct.error) as error:
        raise ValueError(_PREMATURE_FILE if "truncated" in str(error) else f"{type(error).__name__}") from error
    return height, width


def _segments(content: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, first byte and end of each segment of the header, the first scan's included.

    Bytes between segments are skipped, as libjpeg does. The end of the last one may lie beyond the file.
    """
    place = len(START) - 1
    while (place := content.find(b"\xff", place)) >= 0:
        marker = content[place + 1] if place + 1 < len(content) else 0
        if marker in (0x00, 0xFF):
            place += 1
            continue
        if marker in _BARE:
            place += 2
            continue
        end = place + 2 + int.from_bytes(content[place + 2 : place + 4])
        yield marker, place, end
        if marker in (_SCAN, _END):
            return
        place = max(end, place + 2)


def _without_metadata(content: bytes, markers: set[int]) -> bytes:
    """The file with only `markers` before its first scan."""
    parts = [content[:2]]
    for marker, place, end in _segments(content):
        if marker in markers:
            parts.append(content[place:end])
        elif marker == _SCAN:
            return b"".join([*parts, content[place:]])
    return content


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
