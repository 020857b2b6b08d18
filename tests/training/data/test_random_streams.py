import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from training.data import random_streams
from training.data.random_streams import Stream

POSITION = st.integers(0, 10**10)


@given(seed=st.integers(0, 2**31), start=POSITION, cut=st.integers(0, 40), count=st.integers(41, 80))
def test_mirroring_depends_on_the_position_only(seed: int, start: int, cut: int, count: int) -> None:
    whole = random_streams.mirrored(seed, start, count)
    parts = np.concatenate(
        [random_streams.mirrored(seed, start, cut), random_streams.mirrored(seed, start + cut, count - cut)]
    )
    assert np.array_equal(whole, parts)


def test_half_of_the_images_are_mirrored() -> None:
    assert abs(random_streams.mirrored(1, 0, 40_000).mean() - 0.5) < 0.01


def test_latents_are_standard_normal_and_the_same_every_time() -> None:
    latents = random_streams.latents(1, Stream.D_LATENTS, 640, (64, 512))
    assert latents.dtype == np.float32
    assert abs(latents.mean()) < 0.02
    assert abs(latents.std() - 1) < 0.02
    assert np.array_equal(latents, random_streams.latents(1, Stream.D_LATENTS, 640, (64, 512)))


def test_streams_positions_and_seeds_draw_different_numbers() -> None:
    first = random_streams.latents(1, Stream.D_LATENTS, 0, (4, 8))
    for other in (
        random_streams.latents(1, Stream.G_LATENTS, 0, (4, 8)),
        random_streams.latents(1, Stream.D_LATENTS, 16, (4, 8)),
        random_streams.latents(2, Stream.D_LATENTS, 0, (4, 8)),
    ):
        assert not np.isclose(first, other).any()


def test_interpolation_weights_lie_between_real_and_fake() -> None:
    weights = random_streams.interpolation_weights(1, 0, 10_000)
    assert weights.min() >= 0
    assert weights.max() < 1
    assert abs(weights.mean() - 0.5) < 0.02


def test_a_pass_shows_every_image_once_in_an_order_of_its_own() -> None:
    first, second = (random_streams.permutation(1, epoch, 100) for epoch in (0, 1))
    assert sorted(first) == sorted(second) == list(range(100))
    assert not np.array_equal(first, second)
