"""`celebahq progress`, and what stages say about the time after them."""

import json
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pipeline import atomic, manifest, progress
from pipeline.errors import DropReason, SourceError
from pipeline.manifest import Drop, Input
from pipeline.params import Params
from pipeline.progress import State
from stages import RATES, WORK, plan, read_params, remaining, stage_run, table
from stages.remaining import DONE, RUNNING, STOPPED, TO_COME, Progress
from tests.stages.faces import choose

BEFORE = {"align": Path("input.txt"), "crop": table("align"), "denoise": table("crop")}


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("input.txt").write_text("photographs")
    choose("")
    monkeypatch.setattr(progress, "SECONDS_PUBLISHED", 0.0)
    monkeypatch.delenv(progress.QUIET, raising=False)


def _run(stage: str, given: int, dropped: int = 0, params: Mapping[str, Any] | None = None) -> None:
    """Publish a table of a stage, as stages do."""
    values = {f"{stage}": getattr(read_params(), stage).deciding(), **(params or {})}
    with stage_run(stage, params=values, inputs=[BEFORE[stage]]) as run:
        rows = [
            Drop(index=index, file="x", reason=DropReason.TOO_SMALL, detail="")
            if index < dropped
            else Input(index=index, file="x")
            for index in range(given)
        ]
        run.count(manifest.write_rows(run.table, Input, rows), 1.0)


def _plan(**seconds: float) -> None:
    needs = [plan.Need(stage, 100, now=0, result=0, peak=0, seconds=each) for stage, each in seconds.items()]
    plan.keep(read_params(), needs)


def _found() -> dict[str, Progress]:
    found = remaining.progress_of_all(read_params())
    lines = remaining.lines(found)
    assert all(len(line) <= 80 for line in lines), lines
    return {one.stage: one for one in found}


def _states() -> list[str]:
    found = _found()
    return [found[stage].state for stage in BEFORE]


def test_where_nothing_has_run_all_is_to_come_and_no_time_is_known() -> None:
    found = _found()
    assert list(found) == [*remaining.STAGES, "lsun@bedroom", "train@demo", "evaluate@demo"]
    assert {one.state for one in found.values()} == {TO_COME}
    assert {one.left for one in found.values()} == {None}
    text = "\n".join(remaining.lines([*found.values()]))
    assert "0 of 14 stages are done; 0 inputs dropped so far" in text
    assert "celebahq plan measures" in text
    assert "No stage is running: dvc repro begins" in text


def test_a_plan_says_how_long_each_takes_and_counts_correct_it(capsys: pytest.CaptureFixture[str]) -> None:
    _plan(align=10, crop=100, superres=7200, shard=50)
    _run("align", 100, dropped=10)
    err = capsys.readouterr().err
    assert "align: stage 4 of 14; after it about 2.0 h, and download, extract and 8 more of unknown time\n" in err
    assert re.search(r"dropped 10 \(10 too small\), in \d+ s; stage 4 of 14; after it about 1.8 h, and ", err)
    found = _found()
    assert (found["align"].given, found["align"].kept, found["align"].dropped) == (100, 90, 10)
    assert (found["crop"].state, found["crop"].given, found["crop"].left) == (TO_COME, 90, 90)
    assert (found["superres"].left, found["shard"].given) == (6480, read_params().select.keep)
    assert found["shard"].left == 50 * 64 / 100
    text = remaining.lines([*found.values()])
    assert any(line.startswith("About 1.8 h are left: until ") for line in text)
    assert any("; 10 inputs dropped so far, select not counted." in line for line in text)


def test_an_earlier_run_of_equal_params_says_it_better_than_a_plan() -> None:
    _plan(crop=7)
    took = {
        "params": {"photographs": {"decoder": "libjpeg-8d"}},
        "seconds": 30.0,
        "items": 10,
        "workers": 4,
        "memory": 1,
    }
    atomic.write_json(RATES / "crop.json", took)
    assert _found()["crop"].left == 30 * 10 * 4 / 2, "two workers, 100 faces by the plan"
    assert remaining.seconds_of(took, 100, 1) == 30 * 10 * 4
    assert remaining.seconds_of(took, 100, None) == 30 * 10, "a stage without workers"
    atomic.write_json(RATES / "crop.json", {"seconds": 1.0})
    assert _found()["crop"].left == 7, "a record without params"
    atomic.write_json(RATES / "crop.json", took | {"params": {"photographs": {"decoder": "pillow"}}})
    assert _found()["crop"].left == 7


def test_a_plan_of_other_params_is_not_used_and_a_shorter_plan_forgets_nothing() -> None:
    _plan(crop=7, align=5)
    _plan(align=6)
    assert (_found()["crop"].left, _found()["align"].left) == (7, 6)
    choose("", select={"keep": 3})
    assert _found()["crop"].left is None


def test_a_running_stage_is_seen_from_outside_and_a_stopped_one_too() -> None:
    _run("align", 50)
    with pytest.raises(SourceError), stage_run("crop", params={}, inputs=[table("align")]):
        assert _found()["crop"].state == RUNNING
        with progress.progress(total=50, initial=10, unit="row") as bar:
            bar.set_dropped(2)
            time.sleep(0.03)
            bar.update(10)
            one = _found()["crop"]
            assert (one.given, one.kept, one.dropped, one.share) == (50, 18, 2, 0.4)
            assert one.left is not None
            assert 0 < one.left < 5, "three times what ten rows took"
        raise SourceError("stop")
    one = _found()["crop"]
    assert (one.state, one.kept, one.share, one.left) == (STOPPED, 18, 0.4, None)
    _plan(crop=200)
    assert _found()["crop"].left == 200 * 50 / 100 * 0.6
    record = next(WORK.glob("crop-*")) / "record.json"
    kept = record.read_text()
    atomic.write_json(record, {"params": {"photographs": {"decoder": "pillow"}}})
    assert _found()["crop"].state == TO_COME, "what was done does not count with other params"
    record.write_text(kept)
    _run("crop", 50)
    assert _found()["crop"].state == DONE


@pytest.mark.parametrize("edited", [b"align: {}", b"align: [", b"note: 2026-11-28", b"note: \xff"])
def test_params_that_are_edited_meanwhile_fail_no_stage(capsys: pytest.CaptureFixture[str], edited: bytes) -> None:
    _plan(crop=7)
    with stage_run("align", params={}, inputs=[]) as run:
        run.count(manifest.write_rows(run.table, Input, [Input(index=0, file="x")]), 1.0)
        Path("params.yaml").write_bytes(edited)
    assert table("align").is_file()
    assert "what is left is not known (" in capsys.readouterr().err


def test_the_first_rows_do_not_decide_the_time_left_where_a_plan_does() -> None:
    _plan(crop=100)
    with atomic.locked(WORK / "crop.lock", "crop"), progress.published(WORK / "crop.progress.json"):
        progress.publish(State(done=1, total=1000, unit="row", left=1e6))
        assert _found()["crop"].left == pytest.approx(100 * 10 * 0.999)
        progress.publish(State(done=100, total=1000, unit="row", left=77))
        assert _found()["crop"].left == pytest.approx(77, abs=5)


def test_a_stage_is_done_only_with_the_params_and_inputs_at_hand() -> None:
    for stage in BEFORE:
        _run(stage, 5)
    assert _states() == [DONE, DONE, DONE]
    choose("", denoise={"tile_pixels": 128})
    assert _states() == [DONE, DONE, TO_COME]
    choose("", crop={"faces_per_chunk": 3})
    assert _states() == [DONE, DONE, DONE], "it decides no result"
    content = table("align").read_bytes()
    time.sleep(0.01)
    table("align").write_bytes(content)
    assert _states() == [DONE, DONE, DONE], "the same bytes"
    with atomic.locked(WORK / "align.lock", "align"):
        assert _states() == [RUNNING, TO_COME, TO_COME]
    table("align").write_bytes(content + b"other")
    assert _states() == [DONE, TO_COME, TO_COME]
    table("align").unlink()
    assert _states() == [DONE, TO_COME, TO_COME]


def test_a_longer_training_is_to_come(monkeypatch: pytest.MonkeyPatch) -> None:
    params = read_params()
    folder = remaining.output("train@demo")
    run = params.train.runs["demo"].model_dump(mode="json")
    monkeypatch.setattr(remaining, "recipe_of", lambda stage: 3)
    options = {"seed": 1, "schedule.learning_rate_at.4": 0.01, "loss.kind": "wgan-gp"}
    record = {"recipe": 3, "params": {"train.runs.demo": options}, "inputs": {}, "run": run}
    atomic.write_json(folder / "record.json", record)
    atomic.write_json(Path("reports/train/demo.json"), {"seconds": 60.0})
    assert (_found()["train@demo"].state, _found()["train@demo"].seconds) == (DONE, 60)
    took = {"params": record["params"], "seconds": 60.0, "items": 14_000, "workers": 2}
    atomic.write_json(RATES / "train/demo.json", took)
    run["schedule"]["total_kimg"] *= 2
    longer = remaining.progress_of_all(_changed(params, run))[-2]
    assert (longer.state, longer.left) == (TO_COME, 120)


def _changed(params: Params, run: Mapping[str, Any]) -> Params:
    values = params.model_dump(mode="json")
    values["train"]["runs"]["demo"] = run
    return Params.model_validate_json(json.dumps(values))
