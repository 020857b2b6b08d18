from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.metrics import swd_patches
from training.metrics.swd_patches import DescriptorFile, cut, draw_centres


@given(size=st.integers(8, 64), seed=st.integers(0, 2**32 - 1))
def test_centres_cover_all_positions_inside_the_image(size: int, seed: int) -> None:
    centres_P2 = draw_centres(np.random.RandomState(seed), size, 2000)
    assert centres_P2.min() == 3
    assert centres_P2.max() == size - 4


def test_a_patch_is_stored_with_its_columns_first() -> None:
    level_HWC = np.random.default_rng(1).random((12, 9, 3), dtype=np.float32)
    (patch_CXY,) = cut(level_HWC, np.array([[5, 8]]))
    for c in range(3):
        for x in range(7):
            for y in range(7):
                assert patch_CXY[c, x, y] == level_HWC[8 - 3 + y, 5 - 3 + x, c]


def test_blocks_contain_all_appended_patches_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(swd_patches, "_BLOCK_ROWS", 10)
    values = np.random.default_rng(1).random((37, 3, 7, 7), dtype=np.float32)
    file = DescriptorFile(tmp_path / "scratch" / "16.f32")
    for start in (0, 5, 30):
        file.append(values[start : {0: 5, 5: 30, 30: 37}[start]])
    blocks = list(file.blocks())
    assert [len(block) for block in blocks] == [10, 10, 10, 7]
    np.testing.assert_array_equal(np.concatenate(blocks).reshape(values.shape), values)


def test_normalised_channels_have_mean_0_and_deviation_1_over_the_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(swd_patches, "_BLOCK_ROWS", 100)
    rng = np.random.default_rng(1)
    scale_C11, shift_C11 = rng.uniform(0.1, 50, (2, 3, 1, 1))
    values = (rng.standard_normal((250, 3, 7, 7)) * scale_C11 + shift_C11).astype(np.float32)
    file = DescriptorFile(tmp_path / "16.f32")
    file.append(values)
    file.normalise()
    normal = np.concatenate(list(file.blocks())).reshape(values.shape)
    np.testing.assert_allclose(normal.mean(axis=(0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(normal.std(axis=(0, 2, 3)), 1, atol=1e-5)


@pytest.mark.parametrize("value", [0.0, 0.1, 255.0])
def test_a_channel_of_one_value_becomes_0(tmp_path: Path, value: float) -> None:
    file = DescriptorFile(tmp_path / "16.f32")
    for _ in range(100):
        file.append(np.full((3, 3, 7, 7), value, np.float32))
    file.normalise()
    np.testing.assert_allclose(np.concatenate(list(file.blocks())), 0, atol=1e-4)
