from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.shards.reader import DataSet
from tests.training.small import make_dataset, make_run
from training.data.device_loader import DeviceLoader, process_reals
from training.data.real_images import LevelCache, Reals
from training.distributed.process_group import SINGLE_PROCESS
from training.networks.adaptive_noise import FakeScoreEma
from training.runtime.device import to_device

CPU = torch.device("cpu")
IMAGES_NCHW = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (3, 3, 8, 8), np.uint8))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("dataset"), label_size=3)


def test_arrays_of_any_memory_order_are_copied_with_their_values() -> None:
    values = np.arange(24, dtype=np.float32).reshape(2, 3, 4).transpose(2, 0, 1)
    assert np.array_equal(to_device(values, CPU).numpy(), values)


@pytest.mark.parametrize("device", [CPU, pytest.param(torch.device("cuda"), marks=pytest.mark.gpu)])
@pytest.mark.parametrize("gpu_mib", [0, 1])
def test_the_device_gets_what_the_data_set_shows(folder: Path, device: torch.device, gpu_mib: int) -> None:
    run = make_run(folder, labels=True, ram_mib=0, speed__gpu_mib=gpu_mib)
    samples = np.array([0, 2, 5])
    reals = Reals(DataSet(folder), run)
    loader = DeviceLoader(run, reals, device, SINGLE_PROCESS, FakeScoreEma(device))
    for resolution in (8, 8, 4):
        images_NCHW, mirrored_N, labels_NL = loader.reals(resolution, 20, 8, samples)
        expected = reals.minibatch(resolution, 20, 8, samples)
        assert images_NCHW.device.type == mirrored_N.device.type == device.type
        assert np.array_equal(images_NCHW.cpu().numpy(), expected.images_NCHW)
        assert np.array_equal(mirrored_N.cpu().numpy(), expected.mirrored_N)
        assert labels_NL is not None and expected.labels_NL is not None
        assert np.array_equal(labels_NL.cpu().numpy(), expected.labels_NL)


def test_a_level_on_the_device_shows_the_same(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The code path of a GPU, with the CPU as the device."""
    run = make_run(folder, labels=True, ram_mib=0)
    reals = Reals(DataSet(folder), run)
    loader = DeviceLoader(run, reals, CPU, SINGLE_PROCESS, FakeScoreEma(CPU))
    monkeypatch.setattr(loader, "_level", LevelCache(reals.dataset, CPU, 1, reals.pool))
    samples = np.array([7, 1, 2])
    expected = [reals.minibatch(resolution, 20, 8, samples) for resolution in (8, 4)]
    reads: list[int] = []
    plain = DataSet.read
    monkeypatch.setattr(DataSet, "read", lambda self, r, rows: (reads.append(len(rows)), plain(self, r, rows))[1])
    for resolution, shown in zip((8, 4), expected, strict=True):
        for _ in range(2):
            images_NCHW, mirrored_N, _ = loader.reals(resolution, 20, 8, samples)
            assert np.array_equal(images_NCHW.numpy(), shown.images_NCHW)
            assert np.array_equal(mirrored_N.numpy(), shown.mirrored_N)
    assert reads == [24, 24]  # each level once


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
