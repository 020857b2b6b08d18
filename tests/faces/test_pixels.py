"""Depth, colours, orientation and transparency: a photograph is what people see, or is refused by name."""

import io
import struct
import zlib
from typing import Any

import cv2
import numpy as np
import pillow_heif
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageCms
from PIL.PngImagePlugin import PngInfo

from pipeline.errors import DropReason, RejectedInputError
from pipeline.faces.decode import AS_PUBLISHED, orientation_of, read_header, read_picture
from pipeline.faces.open_image import open_image
from pipeline.faces.pixels import INVERSE, Remark, turn
from pipeline.params import PhotographParams

HOW = AS_PUBLISHED.model_copy(
    update={"orientation": "shown", "colours": "srgb", "damaged": "drop", "background": (10, 20, 30)}
)
STORED = HOW.model_copy(update={"orientation": "stored", "colours": "stored"})
Pixels = NDArray[np.uint8]

QUARTERS_HWC = np.zeros((40, 64, 3), np.uint8)
for place, colour in enumerate([(200, 30, 40), (20, 180, 90), (120, 120, 250), (240, 230, 60)]):
    QUARTERS_HWC[place // 2 * 20 :, place % 2 * 32 :] = colour
LEVELS_HW = np.arange(256, dtype=np.uint8).reshape(8, 32)


def _file(image: Image.Image | NDArray[Any], form: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(stream, form, **options)
    return stream.getvalue()


def _tiff(values: NDArray[Any]) -> bytes:
    return cv2.imencode(".tiff", values[..., ::-1] if values.ndim == 3 else values)[1].tobytes()


def _png16(values: NDArray[Any], kind: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of 16 bits per sample (height, width, samples) of colour type `kind`, which Pillow does not write."""
    height, width = values.shape[:2]

    def chunk(tag: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + tag + body + struct.pack(">I", zlib.crc32(tag + body))

    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in values)
    head = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    middle = b"".join(chunk(*each) for each in chunks)
    end = chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + middle + end


def _pixels(content: bytes, how: PhotographParams = HOW) -> Pixels:
    return read_picture(content, how).image_HWC


def _remarks(content: bytes, how: PhotographParams = HOW) -> set[Remark]:
    assert read_header(content, 1, how).remarks <= read_picture(content, how).remarks
    return {*read_picture(content, how).remarks}


def _mean_difference(one: Pixels, other: Pixels) -> float:
    return float(np.abs(one.astype(int) - other).mean())


@pytest.mark.parametrize("tag", range(1, 9))
@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("JPEG", {"quality": 95}),
        ("PNG", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("WEBP", {"lossless": True}),
        ("AVIF", {"quality": 95}),
    ],
)
def test_orientation_is_applied_or_not_also_to_sizes(form: str, options: dict[str, Any], tag: int) -> None:
    stored, exif = turn(QUARTERS_HWC, INVERSE[tag]), Image.Exif()
    exif[0x0112] = tag
    content = _file(stored, form, exif=exif, **options)
    assert orientation_of(content) == tag
    for how, expected, remark in ((HOW, QUARTERS_HWC, Remark.TURNED), (STORED, stored, Remark.NOT_TURNED)):
        image_HWC, header = _pixels(content, how), read_header(content, 1, how)
        assert image_HWC.shape == expected.shape == (header.height, header.width, 3)
        assert _mean_difference(image_HWC, expected) < 4
        assert (remark in header.remarks) == (tag != 1)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_orientation_after_the_pixels_of_a_png_and_none_where_the_tag_is_broken() -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    content, body = _file(QUARTERS_HWC, "PNG"), exif.tobytes()[6:]
    chunk = struct.pack(">I", len(body)) + b"eXIf" + body + struct.pack(">I", zlib.crc32(b"eXIf" + body))
    late = content[:-12] + chunk + content[-12:]
    assert np.array_equal(_pixels(late), QUARTERS_HWC[::-1, ::-1])
    assert np.array_equal(_pixels(late, STORED), QUARTERS_HWC)
    for broken in (0, 9, 77):
        exif[0x0112] = broken
        assert orientation_of(_file(QUARTERS_HWC, "JPEG", exif=exif)) == 1
    assert orientation_of(_file(QUARTERS_HWC, "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff")) == 1


def test_only_exif_says_how_a_picture_is_turned() -> None:
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    for form in ("JPEG", "PNG", "WEBP"):
        assert orientation_of(_file(QUARTERS_HWC, form, xmp=xmp)) == 1
    exif = Image.Exif()
    exif[0x0112] = 8
    text = PngInfo()  # as ImageMagick writes it
    text.add_text("Raw profile type exif", f"\nexif\n{len(exif.tobytes())}\n{exif.tobytes().hex()}\n")
    assert orientation_of(_file(QUARTERS_HWC, "PNG", pnginfo=text)) == 8


def test_sixteen_bits_become_their_high_byte() -> None:
    grey = LEVELS_HW.astype(np.uint16) * 257
    colour = np.stack([grey, grey[::-1], grey[:, ::-1]], axis=2)
    expected_HWC = (colour >> 8).astype(np.uint8)
    for content in (_png16(grey[..., None], 0), _file(Image.fromarray(grey), "TIFF"), _tiff(grey)):
        assert np.array_equal(_pixels(content), LEVELS_HW[..., None].repeat(3, 2))
        assert Remark.DEEP in _remarks(content)
    for content in (_png16(colour, 2), _tiff(colour)):
        assert np.array_equal(_pixels(content), expected_HWC)
        assert Remark.DEEP in _remarks(content)
    for maximum in (65535, 1023):
        values = (LEVELS_HW.astype(np.uint32) * maximum // 255).astype(">u2")
        pgm = f"P5 32 8 {maximum}\n".encode() + values.tobytes()
        assert np.abs(_pixels(pgm)[..., 0].astype(int) - LEVELS_HW).max() <= 1
    for kind, samples in ((4, colour[..., :2]), (6, colour[..., [0, 1, 2, 2]])):
        assert Remark.TRANSPARENT in _remarks(_png16(samples, kind))
    hidden = _png16(grey[..., None], 0, (b"tRNS", struct.pack(">H", 257 * 7)))
    assert tuple(_pixels(hidden)[0, 7]) == HOW.background
    assert tuple(_pixels(hidden)[0, 8]) == (8, 8, 8)


def test_floats_are_fractions_or_levels() -> None:
    levels = LEVELS_HW.astype(np.float32)
    colour = np.stack([levels, levels[::-1], levels], axis=2)
    for values, content in ((levels, _file(Image.fromarray(levels / 255), "TIFF")), (levels, _tiff(levels))):
        assert np.array_equal(_pixels(content), np.rint(values)[..., None].repeat(3, 2))
    for content in (_tiff(colour), _tiff(colour / 255), _tiff((colour / 255).astype(np.float64))):
        assert np.array_equal(_pixels(content), colour)
        assert read_header(content, 1, HOW).width == 32


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.full((8, 8), 256, np.float32), "floating-point values from 256 to 256"),
        (np.full((8, 8, 3), -1, np.float32), "floating-point values from -1 to -1"),
        (np.full((8, 8), np.nan, np.float32), "floating-point values from nan"),
        (np.full((8, 8), 70_000, np.int32), "convert it to 8 or 16 bits"),
    ],
)
def test_samples_without_a_rule_are_refused_by_name(values: NDArray[Any], words: str) -> None:
    with pytest.raises(RejectedInputError) as caught:
        _pixels(_tiff(values))
    assert caught.value.reason is DropReason.UNDECODABLE
    assert "TIFF" in caught.value.detail
    assert words in caught.value.detail


def test_a_deep_grey_tiff_of_the_other_byte_order() -> None:
    values = (LEVELS_HW.astype(np.uint16) * 257).astype(">u2").tobytes()
    height, width = LEVELS_HW.shape
    tags = {256: width, 257: height, 258: 16, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: len(values)}
    entries = b"".join(struct.pack(">HHII", tag, 4, 1, value) for tag, value in tags.items())
    head = b"MM\0*" + struct.pack(">I", 8 + len(values))
    content = head + values + struct.pack(">H", len(tags)) + entries + bytes(4)
    assert np.array_equal(_pixels(content), LEVELS_HW[..., None].repeat(3, 2))


def test_a_grey_tiff_whose_zero_is_white() -> None:
    content = bytearray(_file(Image.fromarray(LEVELS_HW.astype(np.uint16) * 257), "TIFF"))
    entry = content.index(struct.pack("<HHIH", 262, 3, 1, 1))
    content[entry + 8] = 0
    assert np.array_equal(_pixels(bytes(content)), (255 - LEVELS_HW)[..., None].repeat(3, 2))


def test_cmyk_is_the_same_picture() -> None:
    picture = Image.fromarray(QUARTERS_HWC)
    inks = picture.convert("CMYK")
    adobe = _file(inks, "JPEG", quality=95)  # stored inverted, as Adobe's marker says
    marker = adobe.index(b"\xff\xee")
    plain = _file(ImageChops.invert(inks), "JPEG", quality=95)
    plain = plain[:marker] + plain[marker + 16 :]
    planes = Image.merge("CMYK", [*ImageChops.invert(picture).convert("YCbCr").split(), Image.new("L", (64, 40), 255)])
    ycck = bytearray(_file(ImageChops.invert(planes), "JPEG", quality=95, subsampling="4:4:4"))
    ycck[marker + 15] = 2  # Adobe's number of YCCK
    for decoder in ("libjpeg-8d", "pillow"):
        how = HOW.model_copy(update={"decoder": decoder})
        for content in (adobe, plain, bytes(ycck), _file(inks, "TIFF")):
            assert _mean_difference(_pixels(content, how), QUARTERS_HWC) < 4
            assert Remark.INKS in _remarks(content, how)


def test_profiles_are_applied_ignored_or_named() -> None:
    lab = ImageCms.createProfile("LAB")
    swapped = _matrix_profile()
    content = _file(QUARTERS_HWC, "JPEG", quality=95, subsampling="4:4:4", icc_profile=swapped)
    expected_HWC = QUARTERS_HWC[..., [1, 0, 2]]  # the profile's red is green
    for decoder in ("libjpeg-8d", "pillow"):
        how = HOW.model_copy(update={"decoder": decoder})
        assert _mean_difference(_pixels(content, how), expected_HWC) < 6
        kept = how.model_copy(update={"colours": "stored"})
        assert _mean_difference(_pixels(content, kept), QUARTERS_HWC) < 4
        assert _remarks(content, kept) == {Remark.PROFILE_NOT_APPLIED}
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert np.array_equal(_pixels(_file(QUARTERS_HWC, "PNG", icc_profile=srgb)), QUARTERS_HWC)
    for broken in (b"no profile", ImageCms.ImageCmsProfile(lab).tobytes()):
        content = _file(QUARTERS_HWC, "PNG", icc_profile=broken)
        assert np.array_equal(_pixels(content), QUARTERS_HWC)
        assert _remarks(content) == {Remark.PROFILE_BROKEN}
    transparent = np.dstack([QUARTERS_HWC, np.full(QUARTERS_HWC.shape[:2], 255, np.uint8)])
    transparent[:9, :, 3] = 0
    image_HWC = _pixels(_file(transparent, "PNG", icc_profile=swapped))
    assert (image_HWC[:9] == HOW.background).all()
    assert _mean_difference(image_HWC[9:], expected_HWC[9:]) < 3


def test_a_grey_profile_is_applied_by_both_decoders() -> None:
    content = _file(
        Image.fromarray(LEVELS_HW).resize((64, 16)), "JPEG", quality=100, icc_profile=_linear_grey_profile()
    )
    pixels = [_pixels(content, HOW.model_copy(update={"decoder": each})) for each in ("libjpeg-8d", "pillow")]
    assert np.array_equal(*pixels)
    assert _remarks(content) == set()
    assert pixels[0].mean() > LEVELS_HW.mean() + 30, "linear light is brighter in sRGB"


def _linear_grey_profile() -> bytes:
    """A grey profile of version 2.4 whose curve is the identity."""
    white = struct.pack(">4sIiii", b"XYZ ", 0, 63190, 65536, 54061)
    text = b"linear\0"
    name = struct.pack(">4sII", b"desc", 0, len(text)) + text + bytes(78)
    parts = {
        b"wtpt": white,
        b"kTRC": struct.pack(">4sII", b"curv", 0, 0),
        b"desc": name,
        b"cprt": b"text\0\0\0\0none\0",
    }
    table, body, place = struct.pack(">I", len(parts)), b"", 128 + 4 + 12 * len(parts)
    for tag, part in parts.items():
        table += tag + struct.pack(">II", place + len(body), len(part))
        body += part + bytes(-len(part) % 4)
    head = struct.pack(">I4sI4s4s4s12x4s", place + len(body), bytes(4), 0x02400000, b"mntr", b"GRAY", b"XYZ ", b"acsp")
    head += bytes(28) + struct.pack(">iii", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + table + body


def _matrix_profile() -> bytes:
    """sRGB with red and green exchanged: the tags of their primaries swapped."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    profile = profile.replace(b"rXYZ", b"????").replace(b"gXYZ", b"rXYZ").replace(b"????", b"gXYZ")
    return profile.replace("sRGB".encode("utf-16-be"), "swap".encode("utf-16-be")).replace(b"sRGB", b"swap")


def test_what_is_transparent_is_background() -> None:
    noise_HWC = np.random.default_rng(1).integers(0, 256, (40, 64, 4), dtype=np.uint8)
    noise_HWC[..., 3] = 0
    noise_HWC[10:30, 10:30] = (200, 160, 120, 255)
    noise_HWC[35:, :5] = (255, 255, 255, 128)
    palette = Image.fromarray(np.uint8(noise_HWC[..., 3] == 255), "P")
    palette.putpalette([255, 0, 255, 200, 160, 120])
    grey = Image.fromarray(noise_HWC).convert("LA")
    key = Image.fromarray(np.where(noise_HWC[..., 3:] == 255, noise_HWC[..., :3], np.uint8([255, 0, 255])))
    for content in (
        _file(noise_HWC, "PNG"),
        _file(noise_HWC, "WEBP", lossless=True, exact=True),
        _file(noise_HWC, "TIFF"),
        _file(palette, "PNG", transparency=0),
        _file(palette, "GIF", transparency=0),
        _file(grey, "PNG"),
        _file(key, "PNG", transparency=(255, 0, 255)),
    ):
        image_HWC = _pixels(content)
        assert (image_HWC[:9] == HOW.background).all()
        assert image_HWC[20, 20].mean() == pytest.approx(160, abs=8)
        assert _remarks(content) == {Remark.TRANSPARENT}
    assert np.abs(_pixels(_file(noise_HWC, "PNG"))[37, 2].astype(int) - (133, 138, 143)).max() <= 1
    noise_HWC[..., 3] = 255
    assert _remarks(_file(noise_HWC, "PNG")) == set()


def test_the_first_of_several_frames() -> None:
    first, other = Image.fromarray(QUARTERS_HWC), Image.new("RGB", (64, 40))
    for form, options in (("GIF", {}), ("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {}), ("AVIF", {})):
        content = _file(first, form, save_all=True, append_images=[other, first], **options)
        assert _mean_difference(_pixels(content), QUARTERS_HWC) < 4
        assert Remark.FRAMES in _remarks(content)


def test_lab_is_converted() -> None:
    picture = Image.fromarray(QUARTERS_HWC)
    lab = ImageCms.profileToProfile(
        picture, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    assert lab is not None
    assert _mean_difference(_pixels(_file(lab, "TIFF")), QUARTERS_HWC) < 3


def test_the_preview_in_a_camera_raw_is_no_photograph() -> None:
    for tags in ({50706: (1, 4, 0, 0)}, {254: 1}):
        with pytest.raises(RejectedInputError, match="camera RAW; develop it"):
            open_image(_file(QUARTERS_HWC, "TIFF", tiffinfo=tags))


def test_heic_is_read_with_its_extra_and_else_named(monkeypatch: pytest.MonkeyPatch) -> None:
    empty = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic\0\0\0\x20meta" + bytes(52)
    monkeypatch.setitem(__import__("sys").modules, "pillow_heif", None)
    with pytest.raises(RejectedInputError, match=r"HEIC; install .*celebahq\[heic\]"):
        read_header(empty, 1, HOW)
    monkeypatch.undo()
    pillow_heif.register_heif_opener()
    assert _mean_difference(_pixels(_file(QUARTERS_HWC, "HEIF", quality=95)), QUARTERS_HWC) < 6
    with pytest.raises(RejectedInputError, match="HEIC"):
        read_header(empty, 1, HOW)
