from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import atomic, provenance
from pipeline.errors import NetworkError
from pipeline.restoration.apply import Restorer
from pipeline.restoration.networks import Architecture, NetworkSpec, initialise
from pipeline.restoration.weights import save_network
from tests.restoration.photographs import randomize, scene

SPECS = {
    "arresnet": NetworkSpec(architecture="arresnet", channels=8, blocks=3),
    "srresnet": NetworkSpec(architecture="srresnet", channels=8, blocks=2),
}


def _published(folder: Path, spec: NetworkSpec, *, seed: int | None = None) -> Path:
    network = spec.build()
    if seed is None:
        randomize(network)
    else:
        initialise(network, torch.Generator().manual_seed(seed))
    save_network(folder / "network.safetensors", network, spec)
    digest = provenance.digest_of_file(folder / "network.safetensors")
    atomic.write_json(folder / "network.json", {"kind": "train", "sha256": digest})
    return folder


@pytest.mark.parametrize("architecture", SPECS)
@settings(max_examples=12, deadline=None)
@given(height=st.integers(1, 150), width=st.integers(1, 150), room=st.integers(4, 60), number=st.integers(0, 5))
def test_tiled_equals_whole(architecture: Architecture, height: int, width: int, room: int, number: int) -> None:
    network = randomize(SPECS[architecture].build())
    image_HWC = scene(number)[:height, :width]
    tiled_HWC = Restorer(network, tile_pixels=2 * network.receptive_radius + room)(image_HWC)
    whole_HWC = Restorer(network, tile_pixels=150)(image_HWC)
    assert tiled_HWC.shape == (height * network.scale, width * network.scale, 3)
    difference = np.abs(tiled_HWC.astype(int) - whole_HWC)
    # sums in another order, then rounding: at most one level, almost nowhere
    assert difference.max() <= 1
    assert np.count_nonzero(difference) <= 1e-3 * difference.size + 1


def test_a_smaller_halo_changes_the_result() -> None:
    network = randomize(SPECS["arresnet"].build())
    whole_HWC = Restorer(network, tile_pixels=220)(scene(0))
    network.receptive_radius = 1
    assert np.abs(Restorer(network, tile_pixels=40)(scene(0)).astype(int) - whole_HWC).max() > 1


def test_no_pass_is_larger_than_a_tile() -> None:
    network = randomize(SPECS["srresnet"].build())
    shapes: list[torch.Size] = []
    network.register_forward_pre_hook(lambda _, inputs: shapes.append(inputs[0].shape))
    Restorer(network, tile_pixels=64)(scene(0))
    assert len(shapes) > 4
    assert max(max(shape[2:]) for shape in shapes) <= 64
    assert {shape[0] for shape in shapes} == {1}


def test_the_result_does_not_depend_on_the_threads_of_the_process(tmp_path: Path) -> None:
    restorer = Restorer.load(_published(tmp_path, SPECS["srresnet"]), tile_pixels=64)
    before = torch.get_num_threads()
    results = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        results.append(restorer(scene(1)))
        assert torch.get_num_threads() == threads
    torch.set_num_threads(before)
    assert np.array_equal(results[0], results[1])


def test_an_unfitted_denoiser_gives_the_image_back(tmp_path: Path) -> None:
    restorer = Restorer.load(_published(tmp_path, SPECS["arresnet"], seed=1), tile_pixels=64)
    assert restorer.scale == 1
    assert np.array_equal(restorer(scene(2)), scene(2))


def test_a_network_is_loaded_once_until_its_file_changes(tmp_path: Path) -> None:
    folder = _published(tmp_path, SPECS["arresnet"])
    first = Restorer.load(folder, tile_pixels=64)
    assert Restorer.load(folder, tile_pixels=32)._network is first._network
    changed = Restorer.load(_published(tmp_path, SPECS["arresnet"], seed=1), tile_pixels=64)
    assert changed._network is not first._network
    assert np.array_equal(changed(scene(2)), scene(2))


def test_no_network_and_an_altered_one_are_refused(tmp_path: Path) -> None:
    atomic.write_json(tmp_path / "fit_denoise" / "network.json", {"kind": "none"})
    with pytest.raises(NetworkError, match=r"fit_denoise\.network\.kind"):
        Restorer.load(tmp_path / "fit_denoise", tile_pixels=64)
    folder = _published(tmp_path / "altered", SPECS["arresnet"])
    (folder / "network.safetensors").write_bytes(b"something else")
    with pytest.raises(NetworkError, match="in its folder names"):
        Restorer.load(folder, tile_pixels=64)
