from dataclasses import replace

import numpy as np

from pipeline.faces.decode import AS_PUBLISHED
from pipeline.restoration.degradations import CONTEXT, Degradation, inner
from pipeline.restoration.patches import PatchSampler, held_out_pairs
from tests.restoration.photographs import SMALL, scene

DEGRADATION = Degradation(scale=1, params=SMALL, how=AS_PUBLISHED)
IMAGES = [scene(number, side=90) for number in range(3)]


def test_minibatches_follow_from_the_step() -> None:
    params = SMALL.model_copy(update={"patch_pixels": 16, "minibatch": 3})
    one, two = (PatchSampler(IMAGES, DEGRADATION, params) for _ in range(2))
    for _ in range(3):
        one[5]
    expected, found = one[7], two[7]
    assert expected[0].shape == (3, 16 + 2 * CONTEXT, 16 + 2 * CONTEXT, 3)
    assert expected[1].shape == (3, 16, 16, 3)
    assert all(np.array_equal(a, b) for a, b in zip(expected, found, strict=True))
    assert not np.array_equal(one[8][1], expected[1])
    assert len(one) == params.steps


def test_held_out_pairs_are_the_middle_and_do_not_change() -> None:
    pairs = held_out_pairs(IMAGES, DEGRADATION, pixels=50, seed=1)
    again = held_out_pairs(IMAGES, DEGRADATION, pixels=50, seed=1)
    assert [clean.shape for _, clean in pairs] == [(50, 50, 3)] * 3
    assert [inner(degraded).shape for degraded, _ in pairs] == [(50, 50, 3)] * 3
    assert all(
        np.array_equal(a, b) for pair, same in zip(pairs, again, strict=True) for a, b in zip(pair, same, strict=True)
    )
    assert any(np.array_equal(pairs[0][1], IMAGES[0][y : y + 50, y : y + 50]) for y in range(10, 40))


def test_every_held_out_photograph_is_degraded() -> None:
    mostly_right = replace(DEGRADATION, params=SMALL.model_copy(update={"uncompressed": 0.99}))
    pairs = held_out_pairs(IMAGES, mostly_right, pixels=50, seed=1)
    assert not any(np.array_equal(inner(degraded), clean) for degraded, clean in pairs)
