"""What all stages do alike (stages/__init__.py)."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import stages
from pipeline import atomic, checksums, manifest, provenance
from pipeline.errors import DropReason, SourceError, TooManyDroppedError
from pipeline.manifest import Drop, Input
from stages import _ended, stage_run

ROOT = Path(__file__).parents[2]
SMALL = DropReason.TOO_SMALL


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("input.bin").write_bytes(b"1")
    monkeypatch.setattr(stages, "recipe_of", lambda stage: 1)


def _run(content: str, *, params: int = 1, identity: dict[str, int] | None = None, fail: bool = False) -> bool:
    with stage_run(
        "probe",
        params={"probe.value": params},
        inputs=[Path("input.bin")],
        identity=identity,
    ) as run:
        resumed = any(run.work.glob("*.txt"))
        (run.work / f"{content}.txt").write_text(content)
        if fail:
            raise SourceError("stop")
        run.report["content"] = content
        return resumed


def test_a_stage_publishes_its_folder_with_its_record_and_a_report() -> None:
    assert not _run("one")
    assert _published() == ["one"]
    report = json.loads(Path("reports/probe.json").read_text())
    assert set(report) == {"content", "seconds"}
    content = Path("data/probe/record.json").read_bytes()
    record = json.loads(content)
    assert record["params"] == {"probe.value": 1}
    assert record["report"] == {"content": "one"}
    assert set(record) == {"params", "inputs", "recipe", "code", "libraries", "digest", "report"}
    assert not list(Path("data/.work").iterdir())
    time.sleep(0.01)
    _run("one")
    assert Path("data/probe/record.json").read_bytes() == content, "DVC sees that the result is the same"


def _published() -> list[str]:
    return sorted(path.stem for path in Path("data/probe").glob("*.txt"))


def test_a_stopped_run_publishes_nothing_and_is_resumed(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SourceError):
        _run("half", fail=True)
    assert not Path("data/probe").exists()
    assert not Path("reports/probe.json").exists()
    (work,) = Path("data/.work").glob("probe-*/")
    (work / checksums.FILE).write_text("of a published run that is made longer")
    with pytest.raises(SourceError):
        _run("half", fail=True)
    assert not (work / checksums.FILE).exists(), "it is not true of unfinished work"
    left = Path("reports/probe.json.0123abcd.partial")
    left.parent.mkdir(exist_ok=True)
    left.write_bytes(b"of a killed process")
    monkeypatch.setattr(atomic, "ABANDONED_SECONDS", -1)
    assert _run("rest")
    assert not left.exists()
    assert _published() == ["half", "rest"]


@pytest.mark.parametrize("change", ["params", "input", "recipe"])
def test_stale_work_is_never_resumed(change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SourceError):
        _run("half", fail=True)
    if change == "input":
        Path("input.bin").write_bytes(b"2")
    if change == "recipe":
        monkeypatch.setattr(stages, "recipe_of", lambda stage: 2)
    assert not _run("whole", params=2 if change == "params" else 1)
    assert _published() == ["whole"]
    assert not list(Path("data/.work").iterdir())


def test_work_is_resumed_after_an_upgrade_which_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SourceError):
        _run("begun", fail=True)
    assert _resumed_message(capsys) == ""
    newer = {**provenance.library_versions(), "numpy": "9.9"}
    old = provenance.library_versions()["numpy"]
    monkeypatch.setattr(provenance, "library_versions", lambda: newer)
    monkeypatch.setattr(provenance, "code_digest", lambda: "other")
    assert _run("rest")
    assert f"changed since this work was begun: the project's code, numpy {old} -> 9.9\n" in _resumed_message(capsys)
    assert _published() == ["begun", "rest"]
    assert json.loads(Path("data/probe/record.json").read_text())["libraries"] == newer


def _resumed_message(capsys: pytest.CaptureFixture[str]) -> str:
    return "".join(line for line in capsys.readouterr().err.splitlines(True) if "changed" in line)


def test_work_with_an_identity_outlives_recipe_params_and_inputs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SourceError):
        _run("begun", identity={"run": 1}, fail=True)
    Path("input.bin").write_bytes(b"2")
    monkeypatch.setattr(stages, "recipe_of", lambda stage: 2)
    with pytest.raises(SourceError):
        _run("another", params=2, identity={"run": 2}, fail=True)
    assert _run("rest", params=2, identity={"run": 1})
    assert "changed since this work was begun: the stage's recipe 1 -> 2\n" in _resumed_message(capsys)
    assert _published() == ["begun", "rest"]
    (kept,) = stages.work_folders("probe")
    assert kept == stages.work_folder("probe", {"run": 2})


def test_terms_and_downloads_are_those_of_the_checkout_whose_experiment_runs() -> None:
    """DVC runs `dvc exp run --temp` in another folder, and names the user's in DVC_ROOT."""
    print_paths = (
        "import stages; from pipeline.sources.fetch import terms; "
        "print(stages.DOWNLOADS, stages.CHECKOUT / terms.FILE, sep='\\n')"
    )
    environment = {**os.environ, "DVC_ROOT": "/home/me/faces"}
    command = [sys.executable, "-c", print_paths]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["/home/me/faces/data/.downloads", "/home/me/faces/accepted-terms.json"]


def test_work_of_a_stage_with_a_longer_name_is_not_touched() -> None:
    other = Path("data/.work/probe-of-another-0123456789abcdef")
    other.mkdir(parents=True)
    _run("one")
    assert other.exists()


def test_counts_are_reported_before_they_are_judged() -> None:
    with (
        pytest.raises(TooManyDroppedError),
        stage_run("probe", params={}, inputs=[]) as run,
    ):
        outcomes = [Input(index=0, file="0"), *(Drop(index=n, file="n", reason=SMALL, detail="") for n in (1, 2, 3))]
        run.count(manifest.write_rows(run.table, Input, outcomes), 0.5)
    assert run.report == {"given": 4, "kept": 1, "dropped": {"too small": 3}}


def test_a_named_error_ends_the_command_with_its_message_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def stage(item: str) -> None:
        raise SourceError(f"{item} is gone")

    monkeypatch.setattr(sys, "argv", ["probe", "thing"])
    with pytest.raises(SystemExit, match="SourceError: thing is gone"):
        stages.main(stage)


def test_the_end_of_a_stage_says_what_was_kept_and_dropped_and_how_long_it_took() -> None:
    report = {"given": 9, "kept": 6, "dropped": {"too small": 1, "truncated image": 2}, "decoder": "pillow"}
    assert _ended("crop", report, 7500) == (
        "crop: kept 6 of 9 inputs, dropped 3 (2 truncated image, 1 too small), in 2.1 h"
    )
    assert _ended("align", {"given": 2, "kept": 2, "dropped": {}}, 30) == "align: kept 2 of 2 inputs, in 30 s"
    assert _ended("train@demo", {}, 90) == "train@demo: done in 1.5 min"
