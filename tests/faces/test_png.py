import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline.errors import ImageSizeError, SourceError
from pipeline.faces.png import decode_png, encode_png


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 9), st.integers(0, 2**32))
def test_png_keeps_every_pixel(width: int, height: int, level: int, seed: int) -> None:
    image_HWC = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    assert np.array_equal(decode_png(encode_png(image_HWC, level)), image_HWC)


def test_red_is_red_for_other_readers(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("png") / "red.png"
    path.write_bytes(encode_png(np.full((2, 3, 3), (250, 10, 20), np.uint8), 3))
    with Image.open(path) as image:
        assert (image.mode, image.size) == ("RGB", (3, 2))
        assert image.getpixel((0, 0)) == (250, 10, 20)


def test_a_view_of_a_larger_image_is_encoded_as_it_looks() -> None:
    image_HWC = np.random.default_rng(1).integers(0, 256, (30, 40, 3), np.uint8)
    assert encode_png(image_HWC[5:20, 7:31], 3) == encode_png(image_HWC[5:20, 7:31].copy(), 3)


@pytest.mark.parametrize("content", [b"no png", b""])
def test_other_bytes_are_refused(content: bytes) -> None:
    with pytest.raises(SourceError, match="PNG"):
        decode_png(content)


@pytest.mark.parametrize("shape", [(1, 1_000_001, 3), (1_000_001, 1, 3)])
def test_an_image_larger_than_the_format_allows_is_named(shape: tuple[int, int, int]) -> None:
    with pytest.raises(ImageSizeError, match=rf"{shape[1]} x {shape[0]} pixels .* limited to 1000000"):
        encode_png(np.zeros(shape, np.uint8), 1)
