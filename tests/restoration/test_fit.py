import csv
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline.errors import NetworkError
from pipeline.faces.decode import AS_PUBLISHED
from pipeline.params import TrainedNetwork
from pipeline.restoration import fit as fitting
from pipeline.restoration.checkpoint import FitCheckpoint
from pipeline.restoration.fit import fit, learning_rate
from pipeline.restoration.networks import Architecture, NetworkSpec
from pipeline.restoration.patches import PatchSampler
from pipeline.restoration.weights import describe, load_network
from tests.restoration.photographs import SMALL

FILES = {"network.safetensors", "network.json", "history.csv", "before_after.png"}


def _fit(table: Path, work: Path, params: TrainedNetwork, architecture: Architecture = "rednet") -> dict[str, bytes]:
    fit(architecture, params, table=table, data=table.parents[1], how=AS_PUBLISHED, work=work)
    return {path.name: path.read_bytes() for path in work.iterdir()}


@pytest.mark.parametrize("architecture", ["rednet", "srresnet"])
def test_a_resumed_fit_gives_the_bytes_of_an_uninterrupted_one(
    architecture: Architecture, small_table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = _fit(small_table, tmp_path / "whole", SMALL, architecture)
    assert set(whole) == FILES
    assert _fit(small_table, tmp_path / "again", SMALL, architecture) == whole

    monkeypatch.setattr(fitting, "CHECKPOINT_STEPS", 4)
    sample = PatchSampler.__call__

    def killed_at_step_6(sampler: PatchSampler, step: int) -> tuple[np.ndarray, np.ndarray]:
        if step == 6:
            raise KeyboardInterrupt
        return sample(sampler, step)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(PatchSampler, "__call__", killed_at_step_6)
        _fit(small_table, tmp_path / "killed", SMALL, architecture)
    assert [path.name for path in (tmp_path / "killed").iterdir()] == ["checkpoint.pt"]
    steps: list[int] = []
    monkeypatch.setattr(PatchSampler, "__call__", lambda sampler, step: steps.append(step) or sample(sampler, step))
    assert _fit(small_table, tmp_path / "killed", SMALL, architecture) == whole
    assert steps == [*range(4, SMALL.steps)]


def test_a_checkpoint_needs_no_unrestricted_unpickling(
    small_table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "unlink", lambda path, missing_ok: None)
    _fit(small_table, tmp_path, SMALL)
    content = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert content["step"] == SMALL.steps


def test_the_files_of_a_fit(small_table: Path, tmp_path: Path) -> None:
    report = fit("srresnet", SMALL, table=small_table, data=small_table.parents[1], how=AS_PUBLISHED, work=tmp_path)
    assert report["psnr_gain"] == pytest.approx(report["psnr_after"] - report["psnr_before"])
    assert report["photographs"] == {"training": 4, "held_out": 2, "skipped": {"too small": 1, "truncated image": 1}}
    description = describe(tmp_path)
    assert (description["kind"], description["architecture"], description["scale"]) == ("train", "srresnet", 4)
    assert load_network(tmp_path / "network.safetensors").scale == 4
    with (tmp_path / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert int(rows[-1]["step"]) == SMALL.steps
    assert float(rows[-1]["psnr"]) == pytest.approx(report["psnr_after"], abs=1e-3)
    assert [float(row["psnr_before"]) for row in rows] == pytest.approx([report["psnr_before"]] * len(rows), abs=1e-3)
    with Image.open(tmp_path / "before_after.png") as sheet:
        assert sheet.width % 3 == 0
        assert np.asarray(sheet).std() > 10


@pytest.mark.parametrize(("architecture", "gain"), [("rednet", 0.3), ("srresnet", 0.1)])
def test_a_fit_improves_held_out_photographs(
    architecture: Architecture, gain: float, small_table: Path, tmp_path: Path
) -> None:
    more = {"channels": 10, "steps": 160, "minibatch": 4, "learning_rate": 0.003, "adversarial_weight": 0.0}
    params = SMALL.model_copy(update=more)
    report = fit(architecture, params, table=small_table, data=small_table.parents[1], how=AS_PUBLISHED, work=tmp_path)
    assert report["psnr_gain"] > gain


def test_the_adversarial_weight_changes_the_network(small_table: Path, tmp_path: Path) -> None:
    without = _fit(small_table, tmp_path / "without", SMALL.model_copy(update={"adversarial_weight": 0.0}))
    with_it = _fit(small_table, tmp_path / "with", SMALL)
    assert without["network.safetensors"] != with_it["network.safetensors"]


def test_a_diverged_fit_is_an_error(small_table: Path, tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match="Lower learning_rate"):
        _fit(small_table, tmp_path, SMALL.model_copy(update={"learning_rate": 1e30}))


def test_the_learning_rate_rises_and_falls() -> None:
    params = SMALL.model_copy(update={"steps": 100})
    rates = [learning_rate(params, step) for step in range(100)]
    assert rates == [*sorted(rates[:10]), *sorted(rates[10:], reverse=True)]
    assert 0 < rates[0] < 0.15 * params.learning_rate
    assert math.isclose(max(rates), params.learning_rate, rel_tol=0.05)
    assert 0 < rates[-1] < 0.01 * params.learning_rate


def test_the_global_random_state_has_no_influence() -> None:
    spec = NetworkSpec(architecture="rednet", channels=4, blocks=2)
    torch.manual_seed(1)
    one = FitCheckpoint.initial(spec, SMALL)
    torch.manual_seed(2)
    two = FitCheckpoint.initial(spec, SMALL)
    for a, b in ((one.network, two.network), (one.discriminator, two.discriminator)):
        assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))
