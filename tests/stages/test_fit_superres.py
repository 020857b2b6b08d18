"""Stage fit_superres on a few synthetic photographs: trained, then used as the user's own file."""

import json
from pathlib import Path

import pytest
import torch
import yaml

from pipeline.errors import NetworkError, ParamsError, TermsError
from pipeline.provenance import digest_of_file
from pipeline.restoration import networks_of_others
from pipeline.restoration.apply import Restorer
from stages.fit_superres import fit_superres
from tests.restoration.photographs import SMALL, jpeg, scene, write_table
from tests.stages.faces import choose

networks_of_others._spandrel(Path())
from spandrel.architectures.Compact import Compact  # noqa: E402

ROOT = Path(__file__).parents[2]
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


def test_a_published_network_is_fetched_under_its_terms(monkeypatch: pytest.MonkeyPatch) -> None:
    """The manifest of this test publishes a made-up SRVGG; `network.local` has a copy."""
    theirs = Path("copies/RealESRGAN_x4plus.pth")
    theirs.parent.mkdir()
    with torch.random.fork_rng():
        torch.manual_seed(1)
        torch.save({"params": Compact(num_in_ch=3, num_out_ch=3, num_feat=4, num_conv=1).state_dict()}, theirs)
    published = yaml.safe_load((ROOT / "manifests/restoration.yaml").read_text())
    published["files"][0] |= {"bytes": theirs.stat().st_size, "sha256": digest_of_file(theirs)}
    Path("manifests").mkdir()
    Path("manifests/restoration.yaml").write_text(yaml.safe_dump(published))
    local = {"offline": True, "local": "copies"}
    choose("", fit_superres={"network": {"kind": "published", "name": "realesrgan-x5"}}, network=local)
    with pytest.raises(ParamsError, match=r"'realesrgan-x5' is no network of .*; there are realesrgan-x4plus, "):
        fit_superres()
    choose("", fit_superres={"network": {"kind": "published", "name": "realesrgan-x4plus"}}, network=local)
    with pytest.raises(TermsError, match="--accept-terms restoration"):
        fit_superres()
    monkeypatch.setenv("CELEBAHQ_ACCEPT_TERMS", "restoration")
    fit_superres()
    record = json.loads(RECORD.read_text())
    assert record["report"]["architecture"] == "RealESRGAN Compact 4nf 1nc"
    assert record["licence"].startswith("BSD 3-Clause")
    fetched = record["fetched"]["restoration/realesrgan-x4plus/RealESRGAN_x4plus.pth"]
    assert fetched["hashes"]["sha256"] == digest_of_file(theirs)
    assert Restorer.load(OUT, tile_pixels=64)(scene(9)[:20, :30]).shape == (80, 120, 3)


def test_an_absent_file_is_named() -> None:
    choose("", fit_superres={"network": {"kind": "file", "path": "gone.safetensors", "sha256": "0" * 64}})
    with pytest.raises(NetworkError, match=r"gone\.safetensors"):
        fit_superres()
    assert not OUT.exists()
