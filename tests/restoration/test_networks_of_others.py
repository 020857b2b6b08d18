"""Networks of the library spandrel, with random weights: what is read, what is refused, and what comes out."""

import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from pipeline import provenance
from pipeline.errors import NetworkError
from pipeline.faces.decode import AS_PUBLISHED
from pipeline.params import NetworkFile, SpandrelNetwork
from pipeline.restoration import networks_of_others
from pipeline.restoration.apply import Restorer
from pipeline.restoration.load_or_train import load_or_train
from pipeline.restoration.networks import Architecture
from pipeline.restoration.networks_of_others import NetworkOfOthers
from pipeline.restoration.weights import load_network
from tests.restoration.photographs import fitting, scene

spandrel: Any = networks_of_others._spandrel(Path())
from spandrel.architectures.Compact import Compact  # noqa: E402
from spandrel.architectures.ESRGAN import ESRGAN  # noqa: E402
from spandrel.architectures.SwinIR import SwinIR  # noqa: E402


def srvgg(scale: int, channels: int = 3) -> torch.nn.Module:
    return Compact(num_in_ch=channels, num_out_ch=channels, num_feat=8, num_conv=3, upscale=scale)


MAKERS: dict[str, Callable[[], torch.nn.Module]] = {
    "srvgg x4": lambda: srvgg(4),
    "srvgg x1": lambda: srvgg(1),
    "rrdb x2": lambda: ESRGAN(in_nc=12, num_filters=8, num_blocks=1, scale=4, shuffle_factor=2),
    "swinir x4": lambda: SwinIR(
        upscale=4, img_size=64, window_size=8, depths=[2], embed_dim=12, num_heads=[2], mlp_ratio=2,
        upsampler="pixelshuffledirect", resi_connection="1conv",
    ),
}  # fmt: skip


def weights_of(name: str) -> dict[str, torch.Tensor]:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return MAKERS[name]().state_dict()


def file_of(path: Path, name: str) -> Path:
    """A file as their authors publish them: .pth with the weights under a name, or safetensors."""
    if path.suffix == ".safetensors":
        save_file(weights_of(name), path)
    else:
        torch.save({"params_ema": weights_of(name)}, path)
    return path


def taken(path: Path, work: Path, architecture: Architecture = "srresnet") -> dict[str, Any]:
    source = SpandrelNetwork(kind="spandrel", path=path, sha256=provenance.digest_of_file(path))
    return load_or_train(architecture, source, table=work, data=work, how=AS_PUBLISHED, work=work)


@pytest.mark.parametrize(
    ("name", "suffix", "scale", "radius", "multiple"),
    [
        ("srvgg x4", ".pth", 4, 5, 1),  # five convolutions of 3 x 3
        ("srvgg x1", ".safetensors", 1, 5, 1),
        # 17 convolutions of 3 x 3 at half the size, 4 at twice that and more, and blocks of 4 that begin anywhere
        ("rrdb x2", ".pth", 2, 41, 4),
        ("swinir x4", ".pth", 4, 22, 8),
    ],
)
def test_networks_are_taken_with_their_scale_and_what_tiles_need(
    tmp_path: Path, name: str, suffix: str, scale: int, radius: int, multiple: int
) -> None:
    report = taken(file_of(tmp_path / f"theirs{suffix}", name), tmp_path, "arresnet" if scale == 1 else "srresnet")
    assert report["scale"] == scale
    network = load_network(tmp_path / "network.safetensors")
    assert (network.scale, network.receptive_radius, network.multiple) == (scale, radius, multiple)
    # what the library itself gives on the whole image, which is RGB in [0, 1]
    plain = spandrel.ModelLoader().load_from_state_dict(weights_of(name))
    image_HWC = scene(1)[:45, :38]
    expected = plain(torch.from_numpy(image_HWC).permute(2, 0, 1)[None].float() / 255)[0].permute(1, 2, 0) * 255
    restored_HWC = Restorer.load(tmp_path, tile_pixels=256)(image_HWC)
    assert restored_HWC.shape == (45 * scale, 38 * scale, 3)
    assert np.abs(restored_HWC - expected.numpy()).max() < 0.51, "rounded to nearest"
    assert restored_HWC.std() > 1
    assert network(torch.zeros(2, 3, 1, 1)).shape == (2, 3, scale, scale), "padded to the least size"
    assert isinstance(network, NetworkOfOthers)
    assert network.whole == name.startswith("swinir"), "its makers discourage tiles"


@pytest.mark.parametrize("name", ["srvgg x4", "rrdb x2", "swinir x4"])
def test_tiles_of_a_network_of_others_give_the_whole(tmp_path: Path, name: str) -> None:
    taken(file_of(tmp_path / "theirs.pth", name), tmp_path)
    network = load_network(tmp_path / "network.safetensors")
    image_HWC = scene(2)[:113, :91]
    whole_HWC = Restorer(network, tile_pixels=113)(image_HWC)
    least = 2 * network.receptive_radius + 2 * network.multiple - 1
    tiled_HWC = Restorer(network, tile_pixels=min(least + 20, 90))(image_HWC)
    difference = np.abs(tiled_HWC.astype(int) - whole_HWC)
    assert difference.max() <= 1
    assert np.count_nonzero(difference) <= 1e-3 * difference.size


def test_bfloat16_does_not_round_what_comes_after_the_network(tmp_path: Path) -> None:
    taken(file_of(tmp_path / "theirs.pth", "srvgg x4"), tmp_path)
    network = load_network(tmp_path / "network.safetensors")
    # -1...1, as bright and dark as images are
    images_NCHW = torch.linspace(-1, 1, 3 * 16 * 16).reshape(1, 3, 16, 16)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        restored_NCHW = network(images_NCHW)
    assert restored_NCHW.dtype == torch.float32
    assert torch.equal(restored_NCHW.add(1).div(2).bfloat16().float().mul(2).sub(1), restored_NCHW)


class Runs:
    """Pickled, it creates a file when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("form", ["torch", "pickle"])
def test_a_file_with_code_is_refused_and_nothing_of_it_runs(tmp_path: Path, form: str) -> None:
    trace, file = tmp_path / "it ran", tmp_path / "theirs.pth"
    content = {**weights_of("srvgg x4"), "more": Runs(trace)}
    if form == "torch":
        torch.save(content, file)
        torch.load(file, weights_only=False)
    else:
        file.write_bytes(pickle.dumps(content))
        pickle.loads(file.read_bytes())  # noqa: S301
    assert trace.exists(), "the file is as bad as it should be"
    trace.unlink()
    with pytest.raises(NetworkError, match=r"theirs\.pth: not read: .* holds more than weights, such as code"):
        taken(file, tmp_path)
    assert not trace.exists()
    assert not (tmp_path / "network.safetensors").exists()


@pytest.mark.parametrize(
    "content", [b"", b".", b"<html>", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03."]
)
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "theirs.pth").write_bytes(content)
    with pytest.raises(NetworkError, match=r"theirs\.pth: not read: it is damaged"):
        taken(tmp_path / "theirs.pth", tmp_path)


def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    file = tmp_path / "theirs.pth"
    torch.save({"some.weight": torch.zeros(3, 3)}, file)
    with pytest.raises(NetworkError, match="fit no network of spandrel that restores images"):
        taken(file, tmp_path)
    torch.save([torch.zeros(3)], file)
    with pytest.raises(NetworkError, match="holds a list, not the weights"):
        taken(file, tmp_path)
    torch.save(srvgg(4, channels=1).state_dict(), file)
    with pytest.raises(NetworkError, match="takes 1 and gives 1 channels, but the photographs are RGB"):
        taken(file, tmp_path)
    torch.save({name: tensor * torch.nan for name, tensor in weights_of("srvgg x4").items()}, file)
    with pytest.raises(NetworkError, match=r"not finite in body\.0\.weight"):
        taken(file, tmp_path)
    file_of(file, "srvgg x4")
    with pytest.raises(NetworkError, match="enlarges 4 times, but this step needs one that keeps the size"):
        taken(file, tmp_path, "arresnet")
    torch.save(weights_of("srvgg x1"), file)
    with pytest.raises(NetworkError, match="enlarges 1 times, but this step needs one that enlarges"):
        taken(file, tmp_path)
    source = SpandrelNetwork(kind="spandrel", path=file, sha256="0" * 64)
    with pytest.raises(NetworkError, match=r"theirs\.pth: its SHA-256 is [0-9a-f]{64}, but params\.yaml says 0000"):
        load_or_train("srresnet", source, table=tmp_path, data=tmp_path, how=AS_PUBLISHED, work=tmp_path)


def test_what_a_stage_wrote_of_a_network_of_others_is_one_of_others_again(tmp_path: Path) -> None:
    taken(file_of(tmp_path / "theirs.pth", "srvgg x4"), tmp_path)
    written = tmp_path / "network.safetensors"
    source = NetworkFile(kind="file", path=written, sha256=provenance.digest_of_file(written))
    with pytest.raises(NetworkError, match=r"holds a network of others. In params\.yaml set network\.kind to spandrel"):
        load_or_train("srresnet", source, work=tmp_path / "again", **fitting(tmp_path))
    assert taken(written, tmp_path / "again")["scale"] == 4


def test_without_the_library_one_sentence_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> Any:
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(networks_of_others, "_import_spandrel", lambda: absent("spandrel"))
    with pytest.raises(NetworkError, match=r"need the library spandrel .*: pip install --no-deps"):
        taken(file_of(tmp_path / "theirs.pth", "srvgg x4"), tmp_path)


def test_torchvision_is_neither_needed_nor_left_behind() -> None:
    assert not [name for name in sys.modules if name.startswith("torchvision")]
    assert len(spandrel.MAIN_REGISTRY) > 30
