import hashlib

import numpy as np
import pytest

from pipeline.shards.image_md5 import LANES, md5s


@pytest.mark.parametrize("shape", [(3, 64, 64), (3, 16, 16), (64,), (3, 4, 4), (3, 1, 1)])
@pytest.mark.parametrize("count", [0, 1, 2, LANES - 1, LANES, LANES + 1, 2 * LANES + 3])
def test_equals_hashlib(shape: tuple[int, ...], count: int) -> None:
    images = np.random.default_rng(count).integers(0, 256, (count, *shape), dtype=np.uint8)
    assert md5s(images) == [hashlib.md5(image.tobytes()).hexdigest() for image in images]


def test_takes_a_part_of_other_images() -> None:
    images = np.random.default_rng(1).integers(0, 256, (LANES + 5, 3, 16, 16), dtype=np.uint8)
    assert md5s(images[3:-1]) == [hashlib.md5(image.tobytes()).hexdigest() for image in images[3:-1]]
