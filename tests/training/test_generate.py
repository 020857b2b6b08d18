from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from pipeline.errors import NetworkError
from pipeline.shards.reader import DataSet
from tests.training.small import make_dataset, make_run
from training import checkpoint, generate
from training.checkpoint import NetworkInfo
from training.data.real_images import Reals
from training.trainer import Trainer

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network file in the middle of a fade from 4 to 8 pixels, of a run that would reach 16."""
    folder = tmp_path_factory.mktemp("generate")
    run = make_run(make_dataset(folder / "dataset"), resolution=16)
    trainer = Trainer(run, Reals(DataSet(run.dataset), run), CPU)
    trainer.initialise()
    info = NetworkInfo.of_run(run, channels=3, label_size=0, images_shown=240, lod=1.5)
    path = checkpoint.network_path(folder, 240)
    checkpoint.write_network(path, info, trainer.networks())
    return path


def test_images_are_those_of_the_averaged_generator_at_the_snapshots_level(network: Path) -> None:
    snapshot = generate.load(network, CPU)
    latents = snapshot.latents(7, 6)
    images = snapshot.images(latents, None, minibatch=4)
    assert images.shape == (6, 3, 8, 8)
    assert images.dtype == np.uint8
    with torch.no_grad():
        floats = snapshot.generator(torch.from_numpy(latents), None, 1.5).numpy()
    expected = np.clip(np.rint(floats * np.float32(127.5) + np.float32(127.5)), 0, 255)
    assert np.abs(images - expected).max() <= 1  # another minibatch may round a last bit otherwise
    assert np.mean(images != expected) < 0.01


def test_latents_follow_from_the_seed(network: Path) -> None:
    snapshot = generate.load(network, CPU)
    assert snapshot.latents(7, 6).shape == (6, 8)
    assert np.array_equal(snapshot.latents(7, 6), snapshot.latents(7, 6))
    assert not np.array_equal(snapshot.latents(7, 6), snapshot.latents(8, 6))


def test_halves_are_rounded_to_even_and_values_clipped() -> None:
    halves = torch.tensor([-300.0, -0.5, 0.5, 1.5, 2.5, 254.5, 255.5, 1000.0], dtype=torch.float64)
    floats = (halves - 127.5) / 127.5
    assert torch.equal(floats * 127.5 + 127.5, halves)  # in double these come back exactly
    assert generate.to_uint8(floats).tolist() == [0, 0, 0, 2, 2, 254, 255, 255]
    assert generate.to_uint8(torch.tensor([-1.0, 1.0])).tolist() == [0, 255]


def test_weights_that_do_not_fit_are_named(network: Path, tmp_path: Path) -> None:
    info, networks = checkpoint.read_network(network, ["Gs"])
    del networks["Gs"]["4x4.Conv.weight"]
    path = checkpoint.network_path(tmp_path, 240)
    checkpoint.write_network(path, info, networks)
    with pytest.raises(NetworkError, match=r"network-000000240\.safetensors: its weights do not fit"):
        generate.load(path, CPU)
    save_file({"Gs.x": torch.zeros(1)}, path)
    with pytest.raises(NetworkError, match="not a network file of this project"):
        generate.load(path, CPU)
