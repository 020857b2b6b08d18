"""Files to pixels: every format, every kind of damage, and that nothing takes the process down."""

import hashlib
import io
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jpeglib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from pipeline.errors import DecoderError, DropReason, RejectedInputError
from pipeline.faces import decode as decoding
from pipeline.faces.decode import AS_PUBLISHED, SELF_TEST, SELF_TEST_MD5, Decoder, image_size, self_test
from pipeline.faces.jpeg import decode_8d
from pipeline.faces.pixels import Remark
from tests.outside import REAL, VECTORS, cases

DECODERS: list[Decoder] = ["libjpeg-8d", "pillow"]
HOW = AS_PUBLISHED.model_copy(update={"damaged": "drop"})


def decode(content: bytes, decoder: Decoder, **changes: Any) -> NDArray[np.uint8]:
    return decoding.decode(content, HOW.model_copy(update={"decoder": decoder} | changes))


PICTURE_HWC = decode(SELF_TEST.read_bytes(), "pillow")


def _encoded(mode: str = "RGB", form: str = "JPEG", **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(PICTURE_HWC).convert(mode).save(stream, form, **options)
    return stream.getvalue()


FRAME = _encoded()[(place := _encoded().index(b"\xff\xc0")) : place + 19]
"""The marker segment that states size and components."""


def _rejection(content: bytes, decoder: Decoder = "libjpeg-8d") -> RejectedInputError:
    with pytest.raises(RejectedInputError) as caught:
        decode(content, decoder)
    return caught.value


@pytest.mark.parametrize("decoder", DECODERS)
def test_the_decoders_give_the_pixels_they_are_named_for(decoder: Decoder) -> None:
    assert self_test(decoder) == SELF_TEST_MD5[decoder]


def test_the_self_test_tells_decoders_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(set(SELF_TEST_MD5.values())) == len(SELF_TEST_MD5)
    monkeypatch.setitem(SELF_TEST_MD5, "libjpeg-8d", SELF_TEST_MD5["pillow"])
    with pytest.raises(DecoderError, match=rf"{SELF_TEST_MD5['pillow']}.*make env"):
        self_test("libjpeg-8d")


def test_a_decoder_that_reads_nothing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "self_test.jpg").write_bytes(SELF_TEST.read_bytes()[:900])
    monkeypatch.setattr("pipeline.faces.decode.SELF_TEST", tmp_path / "self_test.jpg")
    with pytest.raises(DecoderError, match="cannot read"):
        self_test("libjpeg-8d")


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF", "PPM"])
@pytest.mark.parametrize("decoder", DECODERS)
def test_lossless_formats_give_their_pixels(form: str, decoder: Decoder) -> None:
    assert np.array_equal(decode(_encoded(form=form), decoder), PICTURE_HWC)


def test_webp_gives_its_pixels() -> None:
    assert np.array_equal(decode(_encoded(form="WEBP", lossless=True), "libjpeg-8d"), PICTURE_HWC)


@pytest.mark.parametrize(("mode", "form"), [("P", "PNG"), ("P", "GIF"), ("1", "PNG"), ("L", "PNG")])
def test_palettes_and_grey_become_rgb(mode: str, form: str) -> None:
    image = Image.open(io.BytesIO(_encoded(mode, form)))
    assert np.array_equal(decode(_encoded(mode, form), "libjpeg-8d"), np.array(image.convert("RGB")))


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"quality": 30}], ids=str)
def test_both_decoders_agree_where_no_colour_is_upsampled(options: dict[str, Any]) -> None:
    for content in (_encoded(subsampling="4:4:4", **options), _encoded("L", **options)):
        assert np.array_equal(decode(content, "libjpeg-8d"), decode(content, "pillow"))


def test_a_grey_jpeg_is_its_plane_three_times() -> None:
    image_HWC = decode(_encoded("L"), "libjpeg-8d")
    assert image_HWC.shape == PICTURE_HWC.shape
    assert (image_HWC == image_HWC[..., :1]).all()


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
def test_chroma_lands_where_it_belongs(subsampling: str) -> None:
    left, right = np.zeros((32, 48, 3), np.uint8), np.zeros((32, 48, 3), np.uint8)
    left[:, :24], right[:, 24:] = (200, 30, 30), (200, 30, 30)
    for picture_HWC in (left, right):
        stream = io.BytesIO()
        Image.fromarray(picture_HWC).save(stream, "JPEG", quality=95, subsampling=subsampling)
        difference = np.abs(decode(stream.getvalue(), "libjpeg-8d").astype(int) - picture_HWC)
        assert difference[:, :20].max() <= 6
        assert difference[:, 28:].max() <= 6


@pytest.mark.parametrize("sampling", [((4, 2), (1, 1), (1, 1)), ((2, 2), (2, 1), (1, 2)), ((3, 1), (1, 1), (1, 1))])
def test_unusual_sampling_costs_no_photograph(sampling: Any, tmp_path: Path) -> None:
    written = jpeglib.from_spatial(PICTURE_HWC.copy())
    written.samp_factor = sampling
    written.write_spatial(str(tmp_path / "a.jpg"))
    content = (tmp_path / "a.jpg").read_bytes()
    for decoder in DECODERS:
        assert decode(content, decoder).shape == PICTURE_HWC.shape
        assert _rejection(content[:-300], decoder).reason is DropReason.TRUNCATED


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize(
    "options",
    [{}, {"progressive": True}, {"restart_marker_blocks": 3}, {"subsampling": "4:4:4", "quality": 95}],
    ids=str,
)
def test_damaged_data_cost_the_photograph_or_are_kept_by_choice(options: dict[str, Any], decoder: Decoder) -> None:
    content = _encoded(**options)
    start = content.index(b"\xff\xda") + 14
    middle = (start + len(content)) // 2
    damages = [
        *(content[: start + int((len(content) - start) * share)] + b"\xff\xd9" for share in (0.05, 0.5, 0.9, 0.97)),
        *(content[:place] + bytes(60) + content[place + 60 :] for place in (start + 20, middle)),
    ]
    if "restart_marker_blocks" in options:
        damages.append(content.replace(b"\xff\xd3", b"", 1))
    for damaged in damages:
        rejected = _rejection(damaged, decoder)
        assert "truncated or damaged" in rejected.detail
        assert rejected.reason in (DropReason.TRUNCATED, DropReason.UNDECODABLE)
    hole = content[:-50] + bytes(30) + content[-20:]
    assert _rejection(hole, decoder)
    picture = decoding.read_picture(hole, AS_PUBLISHED.model_copy(update={"decoder": decoder}))
    assert picture.image_HWC.shape == PICTURE_HWC.shape
    assert {*picture.remarks} == {Remark.DAMAGED}
    with pytest.raises(RejectedInputError, match="truncated or damaged"):  # without its end it is never kept
        decode(content[:middle], decoder, damaged="keep")


def test_most_small_damage_is_found() -> None:
    rng = np.random.default_rng(5)
    found: dict[str, int] = dict.fromkeys(("zeros", "noise", "missing"), 0)
    for quality in range(40, 100, 3):
        content = _encoded(quality=quality, optimize=bool(quality % 2))
        place = int(rng.integers(content.index(b"\xff\xda") + 14, len(content) - 60))
        for name, middle in (("zeros", bytes(40)), ("noise", rng.bytes(40)), ("missing", b"")):
            damaged = content[:place] + middle + content[place + 40 :]
            try:
                decode(damaged, "libjpeg-8d")
            except RejectedInputError:
                found[name] += 1
    assert found["zeros"] >= 19, found
    assert min(found.values()) >= 16, found


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"optimize": True, "quality": 100}], ids=str)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_whole_files_with_odd_bytes_are_not_damaged(mode: str, options: dict[str, Any]) -> None:
    content = _encoded(mode, **options)
    head = content.index(b"\xff\xdb")
    for odd in (
        content[:head] + b"\0\0\0" + content[head:],  # between segments
        content[:-2] + bytes(3) + content[-2:],  # padding before the end
        content[:-2] + b"\xff\xff" + content[-2:],
        content + content,  # a second picture, as in multi-picture files
        content[:2] + b"\xff\xe0\x00\x10JFIF\0\x07\x09\0\0\x01\0\x01\0\0" + content[2:],  # an unknown version
    ):
        picture = decoding.read_picture(odd, HOW)
        assert Remark.DAMAGED not in picture.remarks
        assert picture.image_HWC.shape == PICTURE_HWC.shape


def test_extreme_pictures_are_not_damaged() -> None:
    noise_HWC = np.random.default_rng(2).integers(0, 2, (64, 64, 3), dtype=np.uint8) * 255
    for options in ({}, {"quality": 100, "subsampling": "4:4:4"}, {"progressive": True, "quality": 1}):
        for image_HWC in (noise_HWC, noise_HWC[::4, ::4].repeat(4, 0).repeat(4, 1)):
            stream = io.BytesIO()
            Image.fromarray(image_HWC).save(stream, "JPEG", **options)
            assert decode(stream.getvalue(), "libjpeg-8d").shape == image_HWC.shape


def test_flat_pictures_are_not_holes() -> None:
    for value in (0, 128, 255):
        for options in ({}, {"optimize": True}, {"progressive": True}, {"quality": 100}):
            stream = io.BytesIO()
            Image.new("RGB", (640, 480), (value,) * 3).save(stream, "JPEG", **options)
            assert (decode(stream.getvalue(), "libjpeg-8d") == value).all()


@pytest.mark.parametrize("decoder", DECODERS)
def test_orientation_tags_are_ignored(decoder: Decoder) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert np.array_equal(decode(_encoded(exif=exif), decoder), decode(_encoded(), decoder))


def test_any_number_of_markers_is_read() -> None:
    content = _encoded()
    comments = b"".join(b"\xff\xfe\x00\x08note%02d" % n for n in range(99))
    assert np.array_equal(decode(content[:2] + comments + content[2:], "libjpeg-8d"), decode(content, "libjpeg-8d"))


@pytest.mark.parametrize("rest", [b"\0" * 999, b"\xff\xd8\xff\xe0 another", b"\r\n"])
def test_what_follows_the_end_of_a_jpeg_is_ignored(rest: bytes) -> None:
    assert np.array_equal(decode(_encoded() + rest, "libjpeg-8d"), decode(_encoded(), "libjpeg-8d"))


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("options", [{}, {"progressive": True}], ids=["baseline", "progressive"])
@given(share=st.floats(0, 0.99))
def test_a_jpeg_cut_anywhere_is_rejected(decoder: Decoder, options: dict[str, Any], share: float) -> None:
    content = _encoded(**options)
    reason = _rejection(content[: int(len(content) * share)], decoder).reason
    assert reason in (DropReason.TRUNCATED, DropReason.NOT_AN_IMAGE, DropReason.UNDECODABLE)
    if share > 0.5:
        assert reason is DropReason.TRUNCATED


def test_a_cut_after_the_last_pixel_costs_nothing_or_the_photograph() -> None:
    whole = decode(_encoded(), "libjpeg-8d")
    for missing in (1, 2):
        try:
            assert np.array_equal(decode(_encoded()[:-missing], "libjpeg-8d"), whole)
        except RejectedInputError as rejected:
            assert rejected.reason is DropReason.TRUNCATED


@pytest.mark.parametrize("form", ["PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM"])
def test_other_formats_cut_in_the_middle_are_rejected(form: str) -> None:
    content = _encoded("P" if form == "GIF" else "RGB", form)
    assert isinstance(_rejection(content[: len(content) // 2]), RejectedInputError)


@pytest.mark.parametrize("content", [b"", b"text", b"\xff\xd8", b"<svg/>", b"%!PS-Adobe-3.0 EPSF-3.0\n"])
@pytest.mark.parametrize("decoder", DECODERS)
def test_what_is_no_image_is_named_so(content: bytes, decoder: Decoder) -> None:
    assert _rejection(content, decoder).reason is DropReason.NOT_AN_IMAGE
    with pytest.raises(RejectedInputError, match="not an image"):
        image_size(content, 100, "stored")


def _with(content: bytes, marker: bytes, place: int, value: bytes) -> bytes:
    start = content.index(marker) + place
    return content[:start] + value + content[start + len(value) :]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(_with(_encoded(), b"\xff\xc4", 5, b"\xff" * 16), id="impossible code table"),
        pytest.param(_with(_encoded(), b"\xff\xc0", 1, b"\xc3"), id="lossless process"),
        pytest.param(_with(_encoded(), b"\xff\xc0", 1, b"\xc9"), id="arithmetic process"),
        pytest.param(_with(_encoded(), b"\xff\xc0", 1, b"\xc2"), id="progressive frame of a baseline scan"),
        pytest.param(_with(_encoded(), b"\xff\xc0", 4, b"\x0c"), id="12 bits"),
        pytest.param(_with(_encoded(), b"\xff\xc0", 5, b"\0\0"), id="no height"),
        pytest.param(_with(_encoded(), b"\xff\xc0", 9, b"\x05"), id="five components"),
        pytest.param(_with(_encoded(), b"\xff\xc0", 11, b"\xf1"), id="sampling factor 15"),
        pytest.param(_with(_encoded(), b"\xff\xc0", 12, b"\x03"), id="quantisation table that is not there"),
        pytest.param(_with(_encoded(), b"\xff\xda", 12, b"\x20"), id="partial sequential scan"),
        pytest.param(_encoded().replace(FRAME, FRAME * 2, 1), id="two frames"),
    ],
)
def test_a_damaged_head_costs_one_photograph_and_not_the_process(content: bytes) -> None:
    try:
        assert decode_8d(content)[0].dtype == np.uint8
    except RejectedInputError as rejected:
        assert rejected.reason in (DropReason.UNDECODABLE, DropReason.TRUNCATED)


@pytest.mark.parametrize(("place", "value", "words"), [(4, b"\x0c", "12 bits per sample"), (1, b"\xc3", "0xc3")])
def test_kinds_of_jpeg_that_are_not_read_are_named(place: int, value: bytes, words: str) -> None:
    content = _with(_encoded(), b"\xff\xc0", place, value)
    assert words in _rejection(content).detail


def test_a_progressive_jpeg_without_its_last_scans_is_damaged() -> None:
    content = _encoded(progressive=True)
    scan = content.rindex(b"\xff\xda")
    assert "data end too early" in _rejection(content[:scan] + b"\xff\xd9").detail


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow says what it skips in a damaged TIFF
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
@given(data=st.data())
def test_random_damage_is_a_rejection_or_pixels(form: str, data: st.DataObject) -> None:
    content = bytearray(_encoded(form=form))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        image_size(bytes(content), 1, "shown")
        assert decode(bytes(content), "libjpeg-8d").dtype == np.uint8
    except RejectedInputError as rejected:
        assert rejected.detail


def test_threads_decode_at_once() -> None:
    contents = [_encoded(quality=quality) for quality in range(50, 90)]
    alone = [decode(content, "libjpeg-8d") for content in contents]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda content: decode(content, "libjpeg-8d"), contents))
    assert all(np.array_equal(one, other) for one, other in zip(alone, together, strict=True))


def test_a_system_without_files_in_memory_gives_the_same_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = decode(_encoded(), "libjpeg-8d")
    monkeypatch.delattr("os.memfd_create", raising=False)
    assert np.array_equal(decode(_encoded(), "libjpeg-8d"), expected)


def test_the_size_is_read_from_the_head_alone() -> None:
    for form in ("JPEG", "PNG"):
        content = _encoded(form=form)
        assert image_size(content[: len(content) * 2 // 3], 1, "shown") == (67, 53)


def test_a_head_that_promises_too_much_is_refused_before_decoding() -> None:
    png = _encoded(form="PNG")
    for side in (20_000, 2_000_000):
        head = png[12:16] + side.to_bytes(4) + side.to_bytes(4) + png[24:29]
        bomb = png[:12] + head + zlib.crc32(head).to_bytes(4) + png[33:]
        with pytest.raises(RejectedInputError) as caught:
            image_size(bomb, 100, "stored")
        assert caught.value.reason is DropReason.TOO_LARGE
    with pytest.raises(RejectedInputError, match="67 x 53"):
        image_size(png, 0.003, "stored")


@pytest.mark.vectors
@pytest.mark.parametrize("case", cases())
def test_the_pixels_of_all_vectors(case: dict[str, Any]) -> None:
    assert _md5(decode((VECTORS / case["jpeg"]).read_bytes(), "libjpeg-8d")) == case["rgb_md5"]


@pytest.mark.vectors
def test_the_pixels_of_a_real_photograph() -> None:
    image_HWC = decode(REAL.needed("celeba/img_celeba/000001.jpg").read_bytes(), "libjpeg-8d")
    assert image_HWC.shape == (687, 409, 3)
    assert _md5(image_HWC) == "9cad8178d6cb0196b36f7b34bc5eb6d3"


@pytest.mark.vectors
def test_every_real_photograph_is_whole() -> None:
    for path in sorted(REAL.needed("celeba/img_celeba").iterdir()):
        content = path.read_bytes()
        width, height = image_size(content, 100, "stored")
        assert decode(content, "libjpeg-8d").shape == (height, width, 3)


def _md5(image_HWC: np.ndarray) -> str:
    return hashlib.md5(image_HWC.tobytes(), usedforsecurity=False).hexdigest()
