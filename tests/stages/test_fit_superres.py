"""Stage fit_superres on a few synthetic photographs: trained, then used as the user's own file."""

import json
from pathlib import Path

import pytest

from pipeline.errors import NetworkError
from pipeline.provenance import digest_of_file
from pipeline.restoration.apply import Restorer
from stages.fit_superres import fit_superres
from tests.restoration.photographs import SMALL, jpeg, scene, write_table
from tests.stages.faces import choose

OUT = Path("data/fit_superres")
RECORD = Path("data/fit_superres/record.json")


@pytest.fixture(autouse=True)
def _photographs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_table(Path("data"), [jpeg(scene(number)) for number in range(4)])


def test_a_trained_network_can_be_used_in_another_run() -> None:
    choose("", fit_superres={"network": SMALL.model_dump(mode="json")})
    fit_superres()
    assert json.loads(RECORD.read_text())["report"]["psnr_after"] > 10
    mine = Path("mine.safetensors")
    mine.write_bytes((OUT / "network.safetensors").read_bytes())
    fitted_HWC = Restorer.load(OUT, tile_pixels=64)(scene(9)[:40, :50])
    assert fitted_HWC.shape == (160, 200, 3)

    choose("", fit_superres={"network": {"kind": "file", "path": str(mine), "sha256": digest_of_file(mine)}})
    fit_superres()
    assert json.loads(RECORD.read_text())["report"] == {"kind": "file", "sha256": digest_of_file(mine)}
    assert {path.name for path in OUT.iterdir()} == {"network.safetensors", "network.json", "record.json", "SHA256SUMS"}
    assert (Restorer.load(OUT, tile_pixels=64)(scene(9)[:40, :50]) == fitted_HWC).all()


def test_an_absent_file_is_named() -> None:
    choose("", fit_superres={"network": {"kind": "file", "path": "gone.safetensors", "sha256": "0" * 64}})
    with pytest.raises(NetworkError, match=r"gone\.safetensors"):
        fit_superres()
    assert not OUT.exists()
