"""Stage evaluate, on a small data set and snapshots of an untrained generator."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from pipeline.errors import NetworkError, ParamsError
from pipeline.params import TrainRun
from stages import evaluate as stage
from stages.evaluate import chosen, evaluate
from tests.training.metrics.test_inception import make_network, options_of
from tests.training.metrics.test_mode_count import make_digits
from tests.training.metrics.test_mode_count import options_of as options_for_digits
from tests.training.small import ROOT, make_dataset, make_run
from training import checkpoint
from training.checkpoint import NetworkInfo
from training.metrics.evaluation import Evaluator
from training.metrics.inception import metric_names
from training.networks import Generator

SNAPSHOTS = {400: 1.0, 1200: 0.0}
OUT = Path("evaluations/small")


@pytest.fixture(autouse=True)
def _a_trained_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = make_run(make_dataset(Path("data/shard"), images=24, resolution=32), resolution=16, grid_cell_pixels=16)
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["train"]["runs"] = {"small": run.model_dump(mode="json")}
    params["evaluate"] |= {
        "swd_images": 16,
        "swd_patches_per_image": 8,
        "msssim_pairs": 4,
        "minibatch": 8,
        "threads": 1,
    }
    Path("params.yaml").write_text(yaml.safe_dump(params))
    write_snapshots(run)


def write_snapshots(run: TrainRun) -> None:
    for shown, lod in SNAPSHOTS.items():
        generator = Generator(run.networks, resolution=run.resolution, channels=3, label_size=0)
        generator.initialise(torch.Generator().manual_seed(shown))
        info = NetworkInfo.of_run(run, channels=3, label_size=0, images_shown=shown, lod=lod)
        path = checkpoint.network_path(Path("runs/small"), shown)
        checkpoint.write_network(path, info, {"Gs": generator.state_dict()})


def _rows(name: str) -> list[dict[str, str]]:
    with (OUT / name).open(newline="") as file:
        return list(csv.DictReader(file))


def _files() -> dict[str, bytes]:
    return {str(path.relative_to(OUT)): path.read_bytes() for path in sorted(OUT.rglob("*"))}


def test_every_snapshot_is_measured_and_the_last_is_reported() -> None:
    evaluate("small")
    assert sorted(_files()) == ["SHA256SUMS", "msssim.csv", "record.json", "swd.csv", "swd_by_kimg.png"]
    swd = _rows("swd.csv")
    assert list(swd[0]) == ["kimg", "resolution", "swd16_16", "swd16_mean"]
    assert [(row["kimg"], row["resolution"]) for row in swd] == [("0.4", "8"), ("1.2", "16")]
    report = json.loads(Path("reports/evaluate/small.json").read_text())
    assert report["swd16_mean"] == float(swd[-1]["swd16_mean"])
    assert report["msssim4"] == float(_rows("msssim.csv")[-1]["msssim4"])
    assert report["reals"]["swd16_mean"] < report["swd16_mean"]
    assert (report["reals"]["images"], report["reals"]["images_used"]) == (24, 16)


def test_each_metric_measures_the_snapshots_that_are_chosen_for_it() -> None:
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["evaluate"]["snapshots"] |= {"swd": "last", "msssim": 1}
    Path("params.yaml").write_text(yaml.safe_dump(params))
    evaluate("small")
    assert [row["kimg"] for row in _rows("swd.csv")] == [row["kimg"] for row in _rows("msssim.csv")] == ["1.2"]
    params["evaluate"]["snapshots"]["msssim"] = "all"
    Path("params.yaml").write_text(yaml.safe_dump(params))
    evaluate("small")
    assert [row["kimg"] for row in _rows("swd.csv")] == ["1.2"]
    assert [row["kimg"] for row in _rows("msssim.csv")] == ["0.4", "1.2"]


@pytest.mark.parametrize(
    ("which", "expected"),
    [
        ("all", "abcdefgh"),
        ("last", "h"),
        (1, "h"),
        (2, "ah"),
        (3, "adh"),
        (7, "abcdfgh"),
        (8, "abcdefgh"),
        (99, "abcdefgh"),
    ],
)
def test_a_number_of_snapshots_is_spread_evenly_with_the_last(which: Any, expected: str) -> None:
    found = chosen([Path(name) for name in "abcdefgh"], which)
    assert "".join(map(str, found)) == expected


def test_networks_of_another_resolution_than_the_run_are_named() -> None:
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["train"]["runs"]["small"]["resolution"] = 8
    Path("params.yaml").write_text(yaml.safe_dump(params))
    with pytest.raises(
        NetworkError, match=r"network-000000400.* makes images of 16 pixels, but the run has resolution 8"
    ):
        evaluate("small")


def test_without_an_inception_network_the_report_states_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    evaluate("small")
    report = json.loads(Path("reports/evaluate/small.json").read_text())
    assert report["inception"] == "not computed: evaluate.inception in params.yaml names no network"
    assert not [name for name in report if name.startswith(("fid", "is1", "kid"))]
    assert "FID, inception score, KID, precision, recall not computed" in capsys.readouterr().err


def test_inception_metrics_of_every_snapshot() -> None:
    options = options_of(make_network(Path("network.pt")))
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["evaluate"]["inception"] = options.model_dump(mode="json")
    Path("params.yaml").write_text(yaml.safe_dump(params))
    evaluate("small")
    rows = _rows("inception.csv")
    assert list(rows[0]) == ["kimg", "resolution", *metric_names(options)]
    report = json.loads(Path("reports/evaluate/small.json").read_text())
    assert report["fid24"] == float(rows[-1]["fid24"])
    assert report["reals"]["fid24"] < report["fid24"]
    assert "inception" not in report


def test_modes_are_counted_if_digits_are_set() -> None:
    run = make_run(Path("data/shard"), resolution=32, grid_cell_pixels=32)
    params = yaml.safe_load(Path("params.yaml").read_text())
    modes = options_for_digits(make_digits(Path("digits"), 200), samples=20, steps=20)
    params["train"]["runs"] = {"small": run.model_dump(mode="json")}
    params["evaluate"]["modes"] = modes.model_dump(mode="json")
    Path("params.yaml").write_text(yaml.safe_dump(params))
    shutil.rmtree("runs/small")
    write_snapshots(run)
    evaluate("small")
    rows = _rows("modes.csv")
    assert list(rows[0]) == ["kimg", "resolution", "modes20", "modes20_kl"]
    report = json.loads(Path("reports/evaluate/small.json").read_text())
    assert 1 <= report["modes20"] <= 20
    assert 0 <= report["digits_read_rightly"] <= 1
    assert "modes20" in report["reals"]
    params["train"]["runs"]["small"]["resolution"] = 16
    Path("params.yaml").write_text(yaml.safe_dump(params))
    with pytest.raises(ParamsError, match=r"counts digits in images of 32x32, but train\.runs\.small makes 16x16"):
        evaluate("small")


def test_a_resumed_evaluation_gives_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    evaluate("small")
    whole = _files()
    shutil.rmtree(OUT)
    measure, measured = Evaluator.measure_fakes, []

    def stop_after_the_first(self: Evaluator, snapshot: Any, kinds: Any) -> dict[str, float]:
        if measured:
            raise KeyboardInterrupt
        measured.append(snapshot.info.images_shown)
        return measure(self, snapshot, kinds)

    monkeypatch.setattr(Evaluator, "measure_fakes", stop_after_the_first)
    with pytest.raises(KeyboardInterrupt):
        evaluate("small")
    monkeypatch.setattr(Evaluator, "measure_fakes", measure)
    monkeypatch.setattr(stage.generate, "load", _recording(measured))
    evaluate("small")
    assert measured == [400, 1200]
    assert _files() == whole


def _recording(measured: list[int]) -> Any:
    load = stage.generate.load

    def recorded(path: Path, device: torch.device) -> Any:
        snapshot = load(path, device)
        measured.append(snapshot.info.images_shown)
        return snapshot

    return recorded


def test_an_unknown_run_is_refused_with_the_known_names() -> None:
    with pytest.raises(ParamsError, match="no run 'large'; it has small"):
        evaluate("large")


def test_a_run_without_snapshots_is_refused() -> None:
    shutil.rmtree("runs/small")
    with pytest.raises(NetworkError, match="dvc repro train@small"):
        evaluate("small")
