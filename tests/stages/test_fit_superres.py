"""Stage fit_superres on a few synthetic photographs: trained, then used as the user's own file."""

import importlib.metadata
import json
from pathlib import Path

import pytest
import torch
import yaml

from pipeline import atomic
from pipeline.errors import NetworkError, ParamsError, SourceError, TermsError
from pipeline.provenance import digest_of_file
from pipeline.restoration import networks_of_others
from pipeline.restoration.apply import Restorer
from pipeline.restoration.needs import libraries
from pipeline.restoration.networks import NetworkSpec
from pipeline.restoration.weights import save_network
from stages.fit_superres import DENOISER, fit_superres
from tests.restoration.photographs import SMALL, jpeg, scene, write_table
from tests.stages.faces import choose

networks_of_others._spandrel(Path())
from spandrel.architectures.Compact import Compact  # noqa: E402

ROOT = Path(__file__).parents[2]
NO_DENOISER = {"denoise": {"method": "none"}, "fit_denoise": {"network": {"kind": "none"}}}
OUT = Path("data/fit_superres")
RECORD = Path("data/fit_superres/record.json")


@pytest.fixture(autouse=True)
def _photographs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_table(Path("data"), [jpeg(scene(number)) for number in range(4)])


def test_a_trained_network_can_be_used_in_another_run() -> None:
    train = {"network": SMALL.model_dump(mode="json")}
    choose("", fit_superres=train, **NO_DENOISER)
    fit_superres()
    record = json.loads(RECORD.read_text())
    assert record["report"]["psnr_after"] > 10
    assert "spandrel" not in record["libraries"]
    mine = Path("mine.safetensors")
    mine.write_bytes((OUT / "network.safetensors").read_bytes())
    fitted_HWC = Restorer.load(OUT, tile_pixels=64)(scene(9)[:40, :50])
    assert fitted_HWC.shape == (160, 200, 3)

    file = {"network": {"kind": "file", "path": str(mine), "sha256": digest_of_file(mine)}}
    choose("", fit_superres=file, **NO_DENOISER)
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
    choose("", fit_superres={"network": {"kind": "published", "name": "realesrgan-x5"}}, network=local, **NO_DENOISER)
    with pytest.raises(ParamsError, match=r"'realesrgan-x5' is no network of .*; there are realesrgan-x4plus, "):
        fit_superres()
    choose(
        "", fit_superres={"network": {"kind": "published", "name": "realesrgan-x4plus"}}, network=local, **NO_DENOISER
    )
    with pytest.raises(TermsError, match="--accept-terms restoration"):
        fit_superres()
    monkeypatch.setenv("CELEBAHQ_ACCEPT_TERMS", "restoration")
    fit_superres()
    record = json.loads(RECORD.read_text())
    assert record["report"]["architecture"] == "RealESRGAN Compact 4nf 1nc"
    assert record["licence"].startswith("BSD 3-Clause")
    assert record["libraries"]["spandrel"] == importlib.metadata.version("spandrel")
    assert libraries(OUT) == ("spandrel",)
    fetched = record["fetched"]["restoration/realesrgan-x4plus/RealESRGAN_x4plus.pth"]
    assert fetched["hashes"]["sha256"] == digest_of_file(theirs)
    assert Restorer.load(OUT, tile_pixels=64)(scene(9)[:20, :30]).shape == (80, 120, 3)


def test_the_network_that_runs_before_comes_first_in_training_too() -> None:
    """The same fit after another denoising network is another fit."""
    tables = []
    spec = NetworkSpec(architecture="arresnet", channels=4, blocks=1)
    for bias in (0.0, 2.0):
        network = spec.build()
        with torch.no_grad():
            for weights in network.parameters():
                weights.zero_()
            network.get_parameter("body.tail.bias").fill_(bias)
        save_network(DENOISER / "network.safetensors", network, spec)
        digest = digest_of_file(DENOISER / "network.safetensors")
        atomic.write_json(DENOISER / "network.json", {"kind": "train", "sha256": digest})
        choose("", fit_superres={"network": SMALL.model_dump(mode="json")})
        fit_superres()
        tables.append(json.loads(RECORD.read_text())["report"]["psnr_before"])
    assert tables[1] < tables[0] - 1  # brighter by 0.1 of the range 2


def test_a_folder_of_photographs_is_read_and_an_absent_one_named() -> None:
    for number in range(3):
        Path("sharp").mkdir(exist_ok=True)
        Path(f"sharp/{number}.jpg").write_bytes(jpeg(scene(number), 95))
    fit = {"network": SMALL.model_dump(mode="json"), "photographs": "sharp"}
    choose("", fit_superres=fit, **NO_DENOISER)
    fit_superres()
    assert json.loads(RECORD.read_text())["report"]["photographs"]["training"] == 1
    assert "sharp" in json.loads(RECORD.read_text())["inputs"]
    choose("", fit_superres=fit | {"photographs": "gone"}, **NO_DENOISER)
    with pytest.raises(SourceError, match=r"gone: no such folder of photographs; fit_superres\.photographs"):
        fit_superres()


def test_an_absent_file_is_named() -> None:
    choose("", fit_superres={"network": {"kind": "file", "path": "gone.safetensors", "sha256": "0" * 64}})
    with pytest.raises(NetworkError, match=r"gone\.safetensors"):
        fit_superres()
    assert not OUT.exists()
