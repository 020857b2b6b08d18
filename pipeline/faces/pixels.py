"""From an image that Pillow has opened to RGB of 8 bits per sample.

Rules, of what a file may hold:

- More than 8 bits per sample: see `pipeline.faces.samples`.
- Transparency (alpha, or a transparent colour): over `photographs.background`.
- An ICC profile: converted to sRGB where `photographs.colours` is srgb (relative colorimetric, with black point
  compensation). CMYK without a profile: R = 255 - min(255, C + K), and so on.
- Several frames or pages: the first.
"""

from enum import StrEnum
from functools import lru_cache
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageCms

from pipeline.faces.open_image import PILLOW_FAULTS
from pipeline.faces.samples import to_bytes
from pipeline.params import PhotographParams

ORIENTATION = 0x0112
PHOTOMETRIC, WHITE_IS_ZERO = 262, 0
_CHANNELS_OF_PROFILE = {b"GRAY": "L", b"RGB ": "RGB", b"CMYK": "CMYK"}
_SIXTEEN = {"I;16", "I;16L", "I;16B", "I;16N"}


class Remark(StrEnum):
    """What is odd about a photograph that is used; the values are written to tables and reports."""

    TURNED = "orientation tag, applied"
    NOT_TURNED = "orientation tag, not applied (photographs.orientation: stored)"
    DEEP = "more than 8 bits per sample, reduced to 8"
    FRAMES = "several frames or pages, of which the first is used"
    PROFILE_NOT_APPLIED = "ICC profile other than sRGB, not applied (photographs.colours: stored)"
    PROFILE_BROKEN = "ICC profile that cannot be applied, ignored"
    INKS = "CMYK without a profile that is applied: colours are approximate"
    TRANSPARENT = "transparent pixels, shown over photographs.background"
    DAMAGED = "damaged image data, kept (photographs.damaged: keep)"


INVERSE = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}
"""The orientation that undoes another."""


def orientation_of(image: Image.Image) -> int:
    """The Exif orientation of an opened image, 1...8; 1 where there is no valid one.

    To be called before the pixels are loaded: Pillow turns a TIFF, and then forgets its tag. An orientation in XMP does
    not count: viewers ignore it, and programs leave it there after they have turned the pixels.
    """
    try:
        tag = _exif(image).get(ORIENTATION, 1)
    except PILLOW_FAULTS:
        return 1
    return tag if isinstance(tag, int) and 1 <= tag <= 8 else 1


def _exif(image: Image.Image) -> Image.Exif:
    """The Exif data, without loading the pixels, as the method of PNG images does."""
    if image.format == "TIFF":
        return image.getexif()
    exif = Image.Exif()
    text = image.info.get("Raw profile type exif")  # in a PNG by ImageMagick: name, length, hexadecimal digits
    exif.load(bytes.fromhex("".join(text.split("\n")[3:])) if text else image.info.get("exif", b""))
    return exif


def turn(image_HWC: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Show an image as its Exif orientation (1...8) asks for."""
    turned = {
        1: lambda: image_HWC,
        2: lambda: image_HWC[:, ::-1],
        3: lambda: image_HWC[::-1, ::-1],
        4: lambda: image_HWC[::-1],
        5: lambda: image_HWC.swapaxes(0, 1),
        6: lambda: np.rot90(image_HWC, -1),
        7: lambda: image_HWC[::-1, ::-1].swapaxes(0, 1),
        8: lambda: np.rot90(image_HWC),
    }[orientation]()
    return np.ascontiguousarray(turned)


def header_remarks(image: Image.Image, how: PhotographParams) -> set[Remark]:
    """What the header shows; no pixel is decoded."""
    remarks: set[Remark] = set()
    if orientation_of(image) != 1:
        remarks.add(Remark.TURNED if how.orientation == "shown" else Remark.NOT_TURNED)
    if image.mode in {*_SIXTEEN, "I", "F"} or any(";16" in str(tile.args) for tile in getattr(image, "tile", ())):
        remarks.add(Remark.DEEP)
    if image.format != "MPO" and getattr(image, "is_animated", False):
        remarks.add(Remark.FRAMES)
    profile = image.info.get("icc_profile")
    if profile and how.colours == "stored" and not _is_srgb(profile):
        remarks.add(Remark.PROFILE_NOT_APPLIED)
    if image.mode == "CMYK" and not (profile and how.colours == "srgb"):
        remarks.add(Remark.INKS)
    return remarks


def is_converted(image: Image.Image, how: PhotographParams) -> bool:
    """Whether `to_rgb` applies the ICC profile of an image."""
    profile = image.info.get("icc_profile")
    return how.colours == "srgb" and bool(profile) and not _is_srgb(profile)


def to_rgb(image: Image.Image, how: PhotographParams) -> tuple[NDArray[np.uint8], set[Remark]]:
    """RGB pixels (height, width, 3) of a loaded image, as stored, and what was odd about them.

    `RejectedInputError`: UNDECODABLE for a kind of pixels that has no rule.
    """
    remarks: set[Remark] = set()
    base, alpha = _split_alpha(image)
    if base.mode == "LAB":
        base = _convert(base, _lab(), "LAB") or base
    elif is_converted(image, how):
        profile = image.info["icc_profile"]
        base = base if base.mode in _CHANNELS_OF_PROFILE.values() else base.convert("RGB")
        converted = _convert(base, profile, base.mode)
        if converted is None and base.mode == "L":
            converted = _convert(base.convert("RGB"), profile, "RGB")
        remarks |= {Remark.PROFILE_BROKEN} if converted is None else set()
        base = converted or base
    rgb = base if base.mode == "RGB" else base.convert("RGB")
    if alpha is not None and alpha.getextrema()[0] != 255:
        remarks.add(Remark.TRANSPARENT)
        rgb.paste(how.background, None, ImageChops.invert(alpha))
    return np.array(rgb), remarks


def _split_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """The image without alpha, at 8 bits per sample, and its alpha (mode L), None where there is none."""
    transparency = image.info.get("transparency")
    if image.mode in {*_SIXTEEN, "I", "F"}:
        grey = _deep_grey(image)
        if isinstance(transparency, int) and image.mode != "F":
            return grey, Image.fromarray(np.where(np.asarray(image) == transparency, 0, 255).astype(np.uint8))
        return grey, None
    if isinstance(transparency, tuple) and any(value > 255 for value in transparency):
        image.info["transparency"] = tuple(value >> 8 for value in transparency)  # of 16 bits, as the samples were
    if image.mode == "CMYK" and image.format in ("JPEG", "MPO") and "adobe" not in image.info:
        return ImageChops.invert(image), None  # only Adobe's are stored inverted, and Pillow inverts all
    if image.mode in ("LA", "La"):
        grey, alpha = image.convert("LA").split()
        return grey, alpha
    if image.mode in ("RGBA", "RGBa", "PA") or transparency is not None:
        rgba = image if image.mode == "RGBA" else image.convert("RGBA")
        return rgba.convert("RGB"), rgba.getchannel("A")
    return image, None


def _deep_grey(image: Image.Image) -> Image.Image:
    values = np.asarray(image)
    if image.mode == "I" and image.format in ("PNG", "PPM"):
        values = values.astype(np.uint16)  # Pillow's mode of 32 bits for samples of 16
    grey = to_bytes(values, f"{image.format}")
    tags = getattr(image, "tag_v2", {})
    return Image.fromarray(255 - grey if tags.get(PHOTOMETRIC) == WHITE_IS_ZERO else grey)


def _convert(image: Image.Image, profile: bytes, mode: str) -> Image.Image | None:
    """The image in sRGB; None where the profile is broken or made for another kind of pixels."""
    try:
        transform = _transform(profile, mode)
        if mode == "RGB":
            ImageCms.applyTransform(image, transform, inPlace=True)
            return image
        return ImageCms.applyTransform(image, transform)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


@lru_cache(maxsize=8)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform:
    opened = ImageCms.ImageCmsProfile(BytesIO(profile))
    if mode != "LAB" and _CHANNELS_OF_PROFILE.get(_colour_space(profile)) != mode:
        raise ValueError(f"profile for {_colour_space(profile)!r}, not {mode}")
    return ImageCms.buildTransform(
        opened,
        ImageCms.createProfile("sRGB"),
        mode,
        "RGB",
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
        ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )


def _colour_space(profile: bytes) -> bytes:
    """What the profile's header says that it is for."""
    return profile[16:20]


@lru_cache(maxsize=8)
def _is_srgb(profile: bytes) -> bool:
    try:
        opened = ImageCms.ImageCmsProfile(BytesIO(profile))
        return ImageCms.getProfileDescription(opened).strip().startswith("sRGB")
    except (ImageCms.PyCMSError, OSError, TypeError):
        return False


@lru_cache(maxsize=1)
def _lab() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
