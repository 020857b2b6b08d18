"""`celebahq runs`: every state in which a folder of a run may be found."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from pipeline.params import TrainRun
from stages.__main__ import app
from tests.golden.training import make as golden
from tests.training.small import ROOT, run_of_today
from training import checkpoint, run_folders
from training.runtime.run_lock import run_lock

GOLDEN = ROOT / "tests/golden/training/format5"
OPTIONS: dict[str, Any] = json.loads((GOLDEN / "expected.json").read_text())["runs"]["wgan_labels"]
RUN = run_of_today(OPTIONS | {"dataset": "data/shard"})
WORK = Path("data/.work/train@small-0123456789abcdef")
NETWORK = "network-000000208.safetensors"


@pytest.fixture(autouse=True)
def _a_stopped_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project with one run, stopped after 208 images."""
    monkeypatch.chdir(tmp_path)
    golden.make_dataset(Path("data/shard"))
    shutil.copytree(GOLDEN / "wgan_labels", WORK)
    write_params(RUN)


def write_params(run: TrainRun, name: str = "small") -> None:
    params = yaml.safe_load((ROOT / "profiles/demo.yaml").read_text())
    params["train"]["runs"] = {name: run.model_dump(mode="json")}
    Path("params.yaml").write_text(yaml.safe_dump(params))


def listed() -> list[dict[str, Any]]:
    before = sorted(Path().rglob("*"))
    result = CliRunner().invoke(app, ["runs", "--json"], catch_exceptions=False)
    assert sorted(Path().rglob("*")) == before
    return json.loads(result.stdout)


def state() -> tuple[bool, str]:
    (fact,) = listed()
    return fact["resumable"], fact["state"]


def test_a_stopped_run_is_listed_with_what_it_holds() -> None:
    (WORK / "live").mkdir()
    (WORK / "live/metrics.json").write_text(json.dumps({"step": 256, "resolution": 8}))
    (fact,) = listed()
    assert fact == {
        "run": "small", "folder": str(WORK), "kimg": 0.256, "total_kimg": 0.48, "resolution": 8, "full_resolution": 8,
        "networks": [f"{WORK}/{NETWORK}"], "best": None, "resumable": True, "state": "resumable after 0.208 kimg",
        "bytes": sum(path.stat().st_size for path in WORK.rglob("*") if path.is_file()),
    }  # fmt: skip
    printed = CliRunner().invoke(app, ["runs"], catch_exceptions=False).stdout
    assert printed.splitlines()[0].startswith(f"small: {WORK}, 0.256 of 0.48 kimg, 8 of 8 px, ")
    assert printed.splitlines()[1:] == [f"  1 network file to {NETWORK}", "  resumable after 0.208 kimg"]


def test_why_a_run_is_not_resumed() -> None:
    write_params(RUN.model_copy(update={"seed": 9}))
    assert state() == (False, f"another run than that of params.yaml (different: seed {RUN.seed} -> 9)")
    write_params(RUN.model_copy(update={"dataset": Path("data/absent")}))
    resumable, why = state()
    assert not resumable
    assert why.startswith("cannot be compared: data/absent/dataset.h5: no such file")
    write_params(RUN, "other")
    assert state() == (False, "train.runs of params.yaml has no run small")
    Path("params.yaml").unlink()
    assert state() == (False, "has a checkpoint after 0.208 kimg; no params.yaml to compare it with")
    (WORK / "state-000000208.pt").write_bytes(b"")
    assert state() == (False, "no intact checkpoint: 1 damaged or incomplete")
    (WORK / "checkpoint-000000208.json").unlink()
    assert state()[1] == "network files without a checkpoint: a run can start from them (train.runs.NAME.start)"
    shutil.rmtree(WORK)
    assert listed() == []
    assert "no training runs in" in CliRunner().invoke(app, ["runs"]).stdout


def test_a_published_run_is_listed_too_and_a_finished_one_is_named_so() -> None:
    shutil.copytree(WORK, "runs/small")
    write_params(RUN.model_copy(update={"schedule": RUN.schedule.model_copy(update={"total_kimg": 0.2})}))
    facts = listed()
    assert [fact["folder"] for fact in facts] == ["runs/small", str(WORK)]
    assert {fact["state"] for fact in facts} == {"finished; a larger schedule.total_kimg goes on"}
    best = {"network": f"runs/elsewhere/{NETWORK}", "swd256": 1.0}  # of the last network, which the checkpoint precedes
    for images, expected in ((208, f"runs/small/{NETWORK}"), (100, None)):  # the second: it was made longer since then
        Path("runs/small/record.json").write_text(json.dumps({"report": {"best": best, "images": images}}))
        assert [fact["best"] for fact in listed()] == [expected, None]


def test_a_run_in_training_is_listed_while_its_files_come_and_go(monkeypatch: pytest.MonkeyPatch) -> None:
    read, failures = checkpoint.saved_run, iter([True])

    def removed_meanwhile(folder: Path) -> Any:
        if next(failures, False):
            raise FileNotFoundError(folder / "checkpoint-000000112.json")
        return read(folder)

    monkeypatch.setattr(run_folders.checkpoint, "saved_run", removed_meanwhile)
    with run_lock(WORK, print):
        assert state() == (True, f"training now (process {os.getpid()})")
    assert state() == (True, "resumable after 0.208 kimg")


def test_a_damaged_network_file_is_named_and_the_list_goes_on() -> None:
    published = Path("runs/other")
    shutil.copytree(WORK, published)
    os.truncate(published / NETWORK, 1000)
    os.truncate(WORK / NETWORK, 0)
    other, small = listed()
    assert (other["run"], other["state"].split("; ")[-1]) == ("other", f"damaged: {NETWORK}")
    assert (small["kimg"], small["resolution"]) == (0.0, None)
    assert small["state"] == f"no intact checkpoint: 1 damaged or incomplete; damaged: {NETWORK}"
