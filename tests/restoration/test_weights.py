from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from pipeline.errors import NetworkError
from pipeline.restoration.networks import NetworkSpec
from pipeline.restoration.weights import describe, load_network, read_spec, save_network
from tests.restoration.photographs import randomize

SPEC = NetworkSpec(architecture="srresnet", channels=4, blocks=2)


def _saved(path: Path) -> Path:
    save_network(path, randomize(SPEC.build()), SPEC)
    return path


def test_a_network_survives_its_file(tmp_path: Path) -> None:
    path = _saved(tmp_path / "a.safetensors")
    x = torch.rand(1, 3, 9, 9)
    assert read_spec(path) == SPEC
    assert torch.equal(load_network(path)(x), randomize(SPEC.build())(x))


def test_equal_networks_are_equal_files(tmp_path: Path) -> None:
    assert len({_saved(tmp_path / str(number)).read_bytes() for number in range(5)}) == 1


def test_foreign_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match="no such network file"):
        read_spec(tmp_path / "absent")
    (tmp_path / "text").write_text("not weights at all")
    with pytest.raises(NetworkError, match="not a safetensors file"):
        read_spec(tmp_path / "text")
    save_file({"weight": torch.zeros(1)}, tmp_path / "foreign")
    with pytest.raises(NetworkError, match="do not describe a network"):
        read_spec(tmp_path / "foreign")
    save_file({"weight": torch.zeros(1)}, tmp_path / "old", metadata={"network": '{"format": "other 7"}'})
    with pytest.raises(NetworkError):
        read_spec(tmp_path / "old")
    save_file({"weight": torch.zeros(1)}, tmp_path / "theirs", metadata={"network": "no JSON"})
    with pytest.raises(NetworkError, match="do not describe a network"):
        load_network(tmp_path / "theirs")


def test_weights_that_do_not_fit_are_named(tmp_path: Path) -> None:
    path = _saved(tmp_path / "network")
    other = NetworkSpec(architecture="srresnet", channels=4, blocks=3)
    save_network(tmp_path / "other", randomize(SPEC.build()), other)
    with pytest.raises(NetworkError, match=r'(?s)weights do not fit .*Missing key.*"body\.blocks\.2\.first\.weight"'):
        load_network(tmp_path / "other")
    broken = randomize(SPEC.build())
    with torch.no_grad():
        broken.get_parameter("body.tail.bias")[0] = float("nan")
    save_network(path, broken, SPEC)
    with pytest.raises(NetworkError, match=r"not finite in body\.tail\.bias"):
        load_network(path)


def test_the_fixed_enlargement_is_no_weight(tmp_path: Path) -> None:
    assert not [name for name in load_file(_saved(tmp_path / "network")) if "kernel" in name]


def test_a_folder_without_description_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match="dvc repro fit_denoise"):
        describe(tmp_path / "fit_denoise")
