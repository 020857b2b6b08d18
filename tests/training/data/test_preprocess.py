import numpy as np
import pytest
import torch

from training.data.device_loader import process_reals

IMAGES_NCHW = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (3, 3, 8, 8), np.uint8))


def test_the_range_is_that_of_the_networks() -> None:
    ends = process_reals(torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, 3, 4, 4), None, 0.0)
    assert ends.dtype == torch.float32
    torch.testing.assert_close(ends[0], torch.full((3, 4, 4), -1.0))
    torch.testing.assert_close(ends[1], torch.full((3, 4, 4), 1.0))


def test_only_marked_images_are_mirrored() -> None:
    plain = process_reals(IMAGES_NCHW, None, 0.0)
    mirrored = process_reals(IMAGES_NCHW, torch.tensor([False, True, False]), 0.0)
    assert torch.equal(mirrored[[0, 2]], plain[[0, 2]])
    assert torch.equal(mirrored[1], torch.from_numpy(plain[1].numpy()[:, :, ::-1].copy()))


@pytest.mark.parametrize("lod", [0.0, 1.25, 2.5, 2.999])
def test_a_fade_interpolates_with_the_resolution_below(lod: float) -> None:
    plain = process_reals(IMAGES_NCHW, None, 0.0).numpy()
    blocks = plain.reshape(3, 3, 4, 2, 4, 2).mean(axis=(3, 5))
    coarse = blocks.repeat(2, axis=2).repeat(2, axis=3)
    faded = process_reals(IMAGES_NCHW, None, lod).numpy()
    np.testing.assert_allclose(faded, plain + (coarse - plain) * (lod % 1), atol=1e-6)
