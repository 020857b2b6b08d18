from pathlib import Path

import pytest

from pipeline import provenance
from pipeline.errors import NetworkError
from pipeline.params import NetworkFile, NoNetwork
from pipeline.restoration import load_or_train as module
from pipeline.restoration.apply import Restorer
from pipeline.restoration.load_or_train import load_or_train
from pipeline.restoration.networks import NetworkSpec
from pipeline.restoration.weights import describe, save_network
from tests.restoration.photographs import SMALL, fitting, randomize

SPEC = NetworkSpec(architecture="srresnet", channels=4, blocks=1)


def _user_file(path: Path) -> NetworkFile:
    save_network(path, randomize(SPEC.build()), SPEC)
    return NetworkFile(kind="file", path=path, sha256=provenance.digest_of_file(path))


def test_a_network_file_is_copied(tmp_path: Path) -> None:
    source = _user_file(tmp_path / "mine.safetensors")
    report = load_or_train("srresnet", source, work=tmp_path / "fit_superres", **fitting(tmp_path / "unused"))
    assert report == {"kind": "file", "sha256": source.sha256}
    assert (tmp_path / "fit_superres" / "network.safetensors").read_bytes() == source.path.read_bytes()
    assert describe(tmp_path / "fit_superres")["architecture"] == "srresnet"
    assert Restorer.load(tmp_path / "fit_superres", tile_pixels=64).scale == 4


def test_another_file_than_named_is_refused(tmp_path: Path) -> None:
    source = _user_file(tmp_path / "mine.safetensors")
    with pytest.raises(NetworkError, match="holds a srresnet, but this step needs a arresnet"):
        load_or_train("arresnet", source, work=tmp_path / "work", **fitting(tmp_path))
    with pytest.raises(NetworkError, match=f"SHA-256 is {source.sha256}, but params.yaml says 0000"):
        other = source.model_copy(update={"sha256": "0" * 64})
        load_or_train("srresnet", other, work=tmp_path / "work", **fitting(tmp_path))
    source.path.unlink()
    with pytest.raises(NetworkError, match="no such network file"):
        load_or_train("srresnet", source, work=tmp_path / "work", **fitting(tmp_path))


def test_without_a_network_only_the_description_is_written(tmp_path: Path) -> None:
    assert load_or_train("arresnet", NoNetwork(kind="none"), work=tmp_path / "w") == {"kind": "none"}
    assert [path.name for path in (tmp_path / "w").iterdir()] == ["network.json"]
    assert describe(tmp_path / "w") == {"kind": "none"}


def test_a_network_is_trained_once_also_where_the_stage_is_killed_after_the_fit(
    small_table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(weights: Path) -> None:
        raise KeyboardInterrupt(weights)

    work = tmp_path / "work"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module, "measure", killed)
        load_or_train("arresnet", SMALL, work=work, **fitting(small_table))
    monkeypatch.setattr(module, "fit", lambda *_, **__: pytest.fail("the network was trained already"))
    report = load_or_train("arresnet", SMALL, work=work, **fitting(small_table))
    assert (report["kind"], report["photographs"]["training"]) == ("train", 4)
    assert describe(work)["report"] == {name: value for name, value in report.items() if name != "kind"}
    assert describe(work)["bytes_per_pixel"] > 0
    assert Restorer.load(work, tile_pixels=64).scale == 1
