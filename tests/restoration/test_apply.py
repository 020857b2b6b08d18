from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dask.distributed import Client
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from pipeline import atomic, provenance
from pipeline.errors import DropReason, NetworkError, RejectedInputError
from pipeline.faces.geometry import Rectangle
from pipeline.faces.region import Region
from pipeline.restoration import apply, device
from pipeline.restoration.apply import Restorer, restore_regions
from pipeline.restoration.memory import bytes_per_pixel, measure
from pipeline.restoration.needs import TORCH_MIB, network_mib
from pipeline.restoration.networks import Architecture, NetworkSpec, RestorationNetwork, initialise
from pipeline.restoration.weights import describe, save_network
from tests.restoration.photographs import randomize, scene
from tests.stages.faces import scheduler

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
@settings(max_examples=8, deadline=None)
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


class Unshuffled(RestorationNetwork):
    """A network that works on blocks of 2 x 2 pixels, as those with a pixel unshuffle do."""

    scale, receptive_radius, multiple = 1, 5, 2  # two convolutions of 3 x 3 blocks, in blocks that begin anywhere

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(12, 8, 3, padding=1), nn.Conv2d(8, 12, 3, padding=1)

    def forward(self, images_NCHW: torch.Tensor) -> torch.Tensor:
        height, width = images_NCHW.shape[2:]
        even = nn.functional.pad(images_NCHW, (0, width % 2, 0, height % 2), mode="replicate")
        blocks = self.second(nn.functional.relu(self.first(nn.functional.pixel_unshuffle(even, 2))))
        return nn.functional.pixel_shuffle(blocks, 2)[..., :height, :width]


def test_tiles_begin_where_the_strides_of_the_network_do() -> None:
    network = randomize(Unshuffled())
    for height, width in ((150, 97), (61, 120)):
        image_HWC = scene(3)[:height, :width]
        whole_HWC = Restorer(network, tile_pixels=150)(image_HWC)
        difference = np.abs(Restorer(network, tile_pixels=33)(image_HWC).astype(int) - whole_HWC)
        assert difference.max() <= 1
        assert np.count_nonzero(difference) <= 1e-3 * difference.size
    network.multiple = 1
    assert np.abs(Restorer(network, tile_pixels=33)(image_HWC).astype(int) - whole_HWC).max() > 1


@pytest.mark.parametrize("architecture", SPECS)
def test_an_image_is_restored_alike_alone_and_with_others(architecture: Architecture) -> None:
    network = randomize(SPECS[architecture].build())
    images_HWC = [
        scene(number)[:height, :width] for number, (height, width) in enumerate([(50, 40), (40, 50), (70, 40)])
    ]
    images_HWC += [images_HWC[0][::-1], images_HWC[0][:, ::-1]]
    alone = [Restorer(network, tile_pixels=60)(image) for image in images_HWC]
    shapes: list[int] = []
    network.register_forward_pre_hook(lambda _, inputs: shapes.append(len(inputs[0])))
    together = Restorer(network, tile_pixels=60, tiles_per_batch=3).many(images_HWC)
    assert max(shapes) == 3
    for one, other in zip(alone, together, strict=True):
        assert np.array_equal(one, other), "on a CPU no byte depends on the batch"


def test_as_on_a_gpu_sizes_are_rounded_up_and_batches_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    network = randomize(SPECS["srresnet"].build())
    images_HWC = [scene(7)[:height, :width] for height, width in ((50, 40), (49, 61), (61, 34), (120, 40))]
    alone = [Restorer(network, tile_pixels=80)(image) for image in images_HWC]
    shapes: list[torch.Size] = []
    network.register_forward_pre_hook(lambda _, inputs: shapes.append(inputs[0].shape))
    monkeypatch.setitem(apply.SIZE_STEPS, "cpu", 32)
    together = Restorer(network, tile_pixels=80, tiles_per_batch=16).many(images_HWC)
    assert {shape[2:] for shape in shapes} == {(64, 64), (96, 64)}
    assert max(shape[0] for shape in shapes) == 3
    inner = slice(0, -4 * network.receptive_radius)
    for one, other in zip(alone, together, strict=True):
        assert np.abs(one[inner, inner].astype(int) - other[inner, inner]).max() <= 1
    limited = Restorer(network, tile_pixels=80)
    limited._limited, limited._tiles_per_batch = True, 16
    monkeypatch.setattr(apply, "GPU_BYTES", 2.5 * bytes_per_pixel(network) * 64 * 64)
    shapes.clear()
    assert all(map(np.array_equal, limited.many(images_HWC), together))
    assert [shape[0] for shape in shapes if shape[2:] == (64, 64)] == [1, 2, 1], "the first one measures the memory"


def test_bfloat16_differs_little(tmp_path: Path) -> None:
    folder = _published(tmp_path, SPECS["srresnet"])
    exact_HWC = Restorer.load(folder, tile_pixels=64)(scene(4)[:60, :60]).astype(int)
    fast_HWC = Restorer.load(folder, tile_pixels=64, precision="bfloat16")(scene(4)[:60, :60])
    difference = np.abs(fast_HWC - exact_HWC)
    assert 0 < difference.mean() < 1
    assert difference.max() < 16


def test_regions_are_restored_in_order_and_rejected_rows_are_kept_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    network = randomize(SPECS["srresnet"].build())
    rectangle = Rectangle(np.array([[0, 0], [0, 9], [9, 9], [9, 0]], np.float32), 2.0)
    image_HWC = scene(6)

    def read(number: int) -> Region:
        if number == 1:
            raise RejectedInputError(DropReason.TOO_SMALL, "as an example")
        return Region(image_HWC[:20, : 20 + number], rectangle, 1, 3)

    most = 3 * 20 * 30 * (1 + network.scale**2)  # of the region in the middle with what is made of it
    for tiles, limit, groups in (
        (1, 2**30, [1] * 12),
        (4, 2**30, [9, 3]),
        (4, 2 * most, [2, 2, 2, 1, 1, 1, 1, 1, 1]),
        (4, 1, [1] * 12),
    ):
        restorer = Restorer(network, tile_pixels=60, tiles_per_batch=tiles)
        sizes = list[int]()
        monkeypatch.setattr(apply, "REGION_BYTES", limit)
        monkeypatch.setattr(restorer, "many", _counted(restorer.many, sizes))
        found = [*restore_regions(restorer, range(20), read, lambda number, region: number % 3 != 0)]
        assert isinstance(found.pop(1), RejectedInputError)
        for number, (region, restored_HWC) in zip([0, *range(2, 20)], found, strict=True):
            assert region.image_HWC.shape[1] == 20 + number
            if number % 3 == 0:
                assert restored_HWC is None
            else:
                assert np.array_equal(restored_HWC, Restorer(network, tile_pixels=60)(region.image_HWC))
        assert [size for size in sizes if size] == groups


def _counted(many: Callable[..., list[Any]], sizes: list[int]) -> Callable[..., list[Any]]:
    return lambda images_HWC: sizes.append(len(images_HWC)) or many(images_HWC)


def test_the_memory_of_a_network_is_that_of_its_tensors(tmp_path: Path) -> None:
    network = randomize(NetworkSpec(architecture="arresnet", channels=64, blocks=2).build())
    # at half the size a layer has as many bytes for an input pixel as channels; head, block's input, two of its layers
    # and their sum live at once, and the image
    assert 3 * 64 < bytes_per_pixel(network) < 5 * 64 + 4 * 3 * 3
    folder = _published(tmp_path, SPECS["srresnet"])
    mib = [network_mib(folder, tile) for tile in (256, 512)]
    assert mib[1] - TORCH_MIB == pytest.approx(4 * (mib[0] - TORCH_MIB), rel=0.05)
    atomic.write_json(folder / "network.json", describe(folder) | measure(folder / "network.safetensors"))
    (folder / "network.safetensors").unlink()
    assert [network_mib(folder, tile) for tile in (256, 512)] == mib, "as stated, without the file"
    atomic.write_json(tmp_path / "none" / "network.json", {"kind": "none"})
    assert network_mib(tmp_path / "none", 512) == network_mib(tmp_path / "absent", 512) == 0


def test_workers_take_the_gpus_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    assert device.worker_number() == 0, "no worker"
    with scheduler() as address, Client(address) as client:

        def everywhere(function: Callable[[], Any]) -> list[Any]:
            workers = client.scheduler_info()["workers"]
            return client.gather([client.submit(function, workers=[worker], pure=False) for worker in workers])

        assert sorted(everywhere(device.worker_number)) == [0, 1]
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
        assert sorted(map(str, everywhere(device.select_device))) == ["cuda:0", "cuda:1"]


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
