from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.shards.reader import DataSet
from tests.training.small import make_dataset, make_run
from training.data.device_loader import DeviceLoader
from training.data.real_images import LevelCache, Reals
from training.distributed.process_group import SINGLE_PROCESS
from training.networks.adaptive_noise import FakeScoreEma
from training.runtime.device import to_device

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("dataset"), label_size=3)


def test_arrays_of_any_memory_order_are_copied_with_their_values() -> None:
    values = np.arange(24, dtype=np.float32).reshape(2, 3, 4).transpose(2, 0, 1)
    assert np.array_equal(to_device(values, CPU).numpy(), values)


@pytest.mark.parametrize("device", [CPU, torch.device("cuda")])
@pytest.mark.parametrize("gpu_mib", [0, 1])
def test_the_device_gets_what_the_data_set_shows(folder: Path, device: torch.device, gpu_mib: int) -> None:
    if device.type == "cuda" and not torch.cuda.is_available():
        pytest.skip("no GPU")
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
    monkeypatch.setattr(loader, "_level", LevelCache(reals.dataset, CPU, 1))
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
