"""Stage fit_denoise on a few synthetic photographs: what it publishes and reports, with a network and without."""

import json
from pathlib import Path

import pytest

from pipeline.errors import SourceError
from pipeline.restoration.apply import Restorer
from stages.fit_denoise import fit_denoise
from tests.restoration.photographs import SMALL, jpeg, scene, write_table
from tests.stages.faces import choose

OUT = Path("data/fit_denoise")
RECORD = Path("data/fit_denoise/record.json")


@pytest.fixture(autouse=True)
def _photographs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_table(Path("data"), [jpeg(scene(number)) for number in range(4)])


def test_a_fitted_network_is_published_with_its_figures() -> None:
    choose("", fit_denoise={"network": SMALL.model_dump(mode="json")})
    fit_denoise()
    assert {path.name for path in OUT.iterdir()} == {
        "network.safetensors",
        "network.json",
        "history.csv",
        "before_after.png",
        "record.json",
        "SHA256SUMS",
    }
    report = json.loads(RECORD.read_text())["report"]
    assert report["kind"] == "train"
    assert report["photographs"] == {"training": 2, "regions": 2, "held_out": 2, "skipped": {}}
    assert report["psnr_after"] > 15
    restored_HWC = Restorer.load(OUT, tile_pixels=64)(scene(9))
    assert restored_HWC.shape == scene(9).shape


def test_without_a_network_only_its_description_is_published() -> None:
    choose("", fit_denoise={"network": {"kind": "none"}}, denoise={"method": "none"})
    fit_denoise()
    assert {path.name for path in OUT.iterdir()} == {"network.json", "record.json", "SHA256SUMS"}
    assert json.loads(RECORD.read_text())["report"] == {"kind": "none"}


def test_too_few_photographs_publish_nothing() -> None:
    choose("", fit_denoise={"network": SMALL.model_dump(mode="json") | {"held_out_photographs": 4}})
    with pytest.raises(SourceError, match="4 are held out"):
        fit_denoise()
    assert not OUT.exists()


def test_a_linked_folder_of_photographs_is_refused() -> None:
    """DVC does not look into it, nor does the digest of the folder, so another photograph would go unnoticed."""
    Path("mine").mkdir()
    Path("mine/more").symlink_to("../data")
    choose("", fit_denoise={"network": SMALL.model_dump(mode="json"), "photographs": "mine"})
    with pytest.raises(SourceError, match=r"mine/more: a link to the folder .*/data, into which DVC does not look"):
        fit_denoise()
