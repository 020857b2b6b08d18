import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from pipeline.shards.pyramid import pyramid


def plain_pyramid(image_HW: np.ndarray) -> list[np.ndarray]:
    """Pixel by pixel: the mean of four pixels of the unrounded level, rounded when stored."""
    level = [[np.float32(value) for value in row] for row in image_HW.tolist()]
    stored = [image_HW]
    while len(level) > 1:
        level = [
            [
                (a + b + c + d) * np.float32(0.25)
                for a, b, c, d in zip(up[::2], up[1::2], down[::2], down[1::2], strict=True)
            ]
            for up, down in zip(level[::2], level[1::2], strict=True)
        ]
        stored.append(np.array([[round(float(value)) for value in row] for row in level], np.uint8))
    return stored


sides = st.sampled_from([1, 2, 4, 8, 16])


@settings(max_examples=40, deadline=None)
@given(sides.flatmap(lambda side: npst.arrays(np.uint8, (2, 3, side, side))))
def test_equals_the_plain_version(images_NCHW: np.ndarray) -> None:
    levels = pyramid(images_NCHW)
    for n in range(2):
        for c in range(3):
            for fast, plain in zip(levels, plain_pyramid(images_NCHW[n, c]), strict=True):
                np.testing.assert_array_equal(fast[n, c], plain)


def test_equals_the_plain_version_where_float32_rounds() -> None:
    # 512² values of 8 bits need 26 bits for their exact mean: two more than float32 has
    image_HW = np.random.default_rng(1).integers(0, 256, (512, 512)).astype(np.uint8)
    for fast, plain in zip(pyramid(image_HW[None, None]), plain_pyramid(image_HW), strict=True):
        np.testing.assert_array_equal(fast[0, 0], plain)


def test_ties_go_to_even() -> None:
    # means 0.5, 1.5, 2.5 and 254.5
    for four, mean in (((0, 0, 1, 1), 0), ((1, 1, 2, 2), 2), ((2, 2, 3, 3), 2), ((254, 254, 255, 255), 254)):
        assert pyramid(np.array(four, np.uint8).reshape(1, 1, 2, 2))[1].item() == mean


def test_levels_come_from_unrounded_means() -> None:
    # each quarter's mean is 0.5, stored as 0; the whole's mean is 0.5 too. A fifth bright pixel makes it 0.5625,
    # stored as 1, although three of the four stored quarters are 0
    quarter = np.array([[0, 0], [1, 1]], np.uint8)
    image = np.tile(quarter, (2, 2))
    image[0, 0] = 1
    levels = pyramid(image[None, None])
    assert levels[1].ravel().tolist() == [1, 0, 0, 0]
    assert levels[2].item() == 1


def test_keeps_the_extremes() -> None:
    for value in (0, 255):
        for level in pyramid(np.full((1, 3, 64, 64), value, np.uint8)):
            assert level.dtype == np.uint8
            assert (level == value).all()
