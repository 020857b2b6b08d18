"""What the check of a GPU does that a CPU can do as well."""

from argparse import Namespace
from pathlib import Path

import pytest
import torch

from benchmarks import gpu_check
from tests.training.small import make_run

TRAINED = {"train_kimg": 0.04, "fade_kimg": 0.04, "tick_kimg": 0.04, "total_kimg": 0.16}


def test_its_training_reports_speeds_and_the_distances_of_its_snapshots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_check, "TRAINED_RESOLUTION", 8)
    monkeypatch.setattr(gpu_check, "TRAINED_IMAGES", 32)
    monkeypatch.setattr(gpu_check, "TRAINED", TRAINED)
    run = tmp_path / "run.json"
    run.write_text(make_run(tmp_path).model_dump_json())
    options = Namespace(run=str(run), minutes=1.0, dataset=None, training_seconds=60.0, out=tmp_path / "out")
    found = gpu_check.training(gpu_check.Check(options, torch.device("cpu")))
    assert found["images"] == 32
    assert len(found["ticks"]) == len(found["images_per_second"]) > 1
    assert all(speed > 0 for speed in found["images_per_second"])
    assert found["ticks"][0]["resolution"] == 4
    assert any(name.startswith("swd") for name in found["ticks"][-1])  # measured after its tick
