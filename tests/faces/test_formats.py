"""A file is what its first bytes say, whatever its name."""

import io

import pytest
from PIL import Image

from pipeline.errors import DropReason, RejectedInputError
from pipeline.faces import formats
from pipeline.faces.formats import check_picture, identify


@pytest.mark.parametrize(
    ("form", "name"),
    [
        ("JPEG", "JPEG"),
        ("PNG", "PNG"),
        ("GIF", "GIF"),
        ("BMP", "BMP"),
        ("TIFF", "TIFF"),
        ("WEBP", "WEBP"),
        ("PPM", "PPM"),
        ("AVIF", "AVIF"),
        ("JPEG2000", "JPEG 2000"),
    ],
)
def test_pictures_are_recognized(form: str, name: str) -> None:
    stream = io.BytesIO()
    Image.new("RGB", (40, 30)).save(stream, form)
    assert check_picture(stream.getvalue()[: formats.HEAD_BYTES]).name == name
    assert check_picture(stream.getvalue()).plugin == form


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", "AVIF"),
        (b"\0\0\0\x18ftypavif\0\0\0\0mif1miaf", "AVIF"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", "camera RAW"),
        (b"\0\0\0\x14ftypqt  \0\0\0\0qt  ", "QuickTime video"),
        (b"\0\0\0\x18ftypisom\0\0\0\0isommp42", "MP4 video"),
        (b"II*\0\x10\0\0\0CR\x02\0", "camera RAW"),
        (b"II+\0\x08\0\0\0", "TIFF"),
        (b"P4 8 8\n", "PPM"),
        (b"P9 is a text", "text"),
        (b"BM is a text", "text"),
        (b"\xef\xbb\xbf<?xml version='1.0'?>\n<svg>", "SVG drawing"),
        (b"<!DOCTYPE html>", "HTML page"),
        (b"RIFF\0\0\0\0WAVEfmt ", "WAV sound"),
        (b"noisWEBP", "text"),
        ("Grüße".encode(), "text"),
        (b"\0\0\0\1Bud1\0", "macOS folder settings (.DS_Store)"),
        (bytes(257) + b"ustar", "tar archive"),
        (b"\xd3\x12\x81", None),
        (b"", None),
    ],
)
def test_other_files_are_named(content: bytes, name: str | None) -> None:
    found = identify(content)
    assert (found.name if found else None) == name


@pytest.mark.parametrize(
    ("content", "reason", "words"),
    [
        (b"", DropReason.NOT_AN_IMAGE, "an empty file"),
        (bytes(4096), DropReason.NOT_AN_IMAGE, "it starts with zeros only"),
        (b"\xd3\x12\x81", DropReason.NOT_AN_IMAGE, "it starts with d3 12 81"),
        (b"%PDF-1.4", DropReason.NOT_AN_IMAGE, "PDF document; export it"),
        (b"8BPS\0\1", DropReason.UNDECODABLE, "Photoshop document; export it"),
        (b"\0\0\0\x18ftypheic" + bytes(52), DropReason.UNDECODABLE, "HEIC with nothing after its type"),
        (b"version https://git-lfs.github.com/spec/v1\n", DropReason.NOT_AN_IMAGE, "git lfs pull"),
    ],
)
def test_what_is_not_read_is_refused_by_name(content: bytes, reason: DropReason, words: str) -> None:
    with pytest.raises(RejectedInputError) as caught:
        check_picture(content)
    assert caught.value.reason is reason
    assert words in caught.value.detail
