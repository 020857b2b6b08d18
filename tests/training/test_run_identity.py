from pathlib import Path
from typing import Any

import pytest

from tests.training.small import make_run
from training import run_identity
from training.run_identity import SavedRun, deciding, fault, identity

RUN = make_run(Path("data"))
OPTIONS: dict[str, Any] = RUN.model_dump(mode="json")


@pytest.mark.parametrize(
    "changes",
    [
        {"dataset": Path("elsewhere"), "ram_mib": 0, "threads": 2, "deterministic": True, "alarms": None},
        {"speed__precision": "bfloat16", "speed__samples_at_once": {8: 4}, "schedule__total_kimg": 9.0},
        {"schedule__tick_kimg": 9.0, "schedule__tick_kimg_at": {8: 1.0}, "snapshot_ticks": 1, "snapshot_swd": None},
        {"grid_columns": 1, "grid_rows": 1, "grid_cell_pixels": 8},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_what_decides_no_weight_is_no_part_of_the_identity(changes: dict[str, Any]) -> None:
    assert identity(make_run(**{"dataset": Path("data"), **changes}), "images") == identity(RUN, "images")


@pytest.mark.parametrize(
    "changes",
    [{"seed": 2}, {"schedule__learning_rate_at": {8: 0.1}}, {"schedule__minibatch_repeats": 1}, {"ema_decay": 0.5}],
    ids=lambda changes: next(iter(changes)),
)
def test_what_decides_the_weights_is(changes: dict[str, Any]) -> None:
    other = make_run(Path("data"), **changes)
    assert identity(other, "images") != identity(RUN, "images")
    assert (fault(SavedRun(0, OPTIONS, "images"), other, "images") or "").startswith("different: ")


def test_images_are_compared_where_they_are_stated() -> None:
    assert fault(SavedRun(0, OPTIONS, "images"), RUN, "images") is None
    assert fault(SavedRun(0, OPTIONS, None), RUN, "images") is None
    assert fault(SavedRun(0, OPTIONS, "others"), RUN, "images") == "trained on other images than those of data"
    assert fault(SavedRun(0, None, "images"), RUN, "images") == "its networks were trained elsewhere"


def test_an_option_added_later_decides_only_where_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(run_identity.BEFORE, "loss.added", 0.0)
    monkeypatch.setitem(run_identity.BEFORE, "schedule.added_at", {})
    unused = OPTIONS | {
        "loss": OPTIONS["loss"] | {"added": 0.0},
        "schedule": OPTIONS["schedule"] | {"added_at": {}},
    }
    assert deciding(unused) == deciding(OPTIONS)
    used = OPTIONS | {"schedule": OPTIONS["schedule"] | {"added_at": {"8": 1}}}
    assert run_identity.differences(deciding(OPTIONS), deciding(used)) == ["schedule.added_at.8 absent -> 1"]
