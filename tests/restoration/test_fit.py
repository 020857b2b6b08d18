import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline.errors import NetworkError
from pipeline.params import AdversarialPhase, TrainedNetwork
from pipeline.restoration import fit as fitting_module
from pipeline.restoration.checkpoint import FitCheckpoint
from pipeline.restoration.degradations import CONTEXT
from pipeline.restoration.fit import fit, learning_rate
from pipeline.restoration.networks import Architecture, NetworkSpec
from pipeline.restoration.patches import PatchSampler
from pipeline.restoration.weights import describe, load_network
from tests.restoration.photographs import SMALL, fitting

PHASES = SMALL.model_copy(
    update={"adversarial": AdversarialPhase(begin=0.5, weight=0.1, feature_weight=0.1), "jpeg_twice": 0.5}
)
FILES = {"network.safetensors", "network.json", "history.csv", "before_after.png"}


def _fit(
    table: Path, work: Path, params: TrainedNetwork, architecture: Architecture = "arresnet", **values: Any
) -> dict[str, bytes]:
    fit(architecture, params, work=work, **fitting(table, **values))
    return {path.name: path.read_bytes() for path in work.iterdir()}


@pytest.mark.parametrize("architecture", ["arresnet", "srresnet"])
def test_a_resumed_fit_gives_the_bytes_of_an_uninterrupted_one(
    architecture: Architecture, small_table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = _fit(small_table, tmp_path / "whole", PHASES, architecture)
    assert set(whole) == FILES
    assert _fit(small_table, tmp_path / "again", PHASES, architecture, workers=2) == whole

    monkeypatch.setattr(fitting_module, "CHECKPOINT_SECONDS", 0.0)
    sample = PatchSampler.__getitem__

    def killed_at_step_8(sampler: PatchSampler, step: int) -> tuple[np.ndarray, np.ndarray]:
        if step == 8:
            raise KeyboardInterrupt
        return sample(sampler, step)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(PatchSampler, "__getitem__", killed_at_step_8)
        _fit(small_table, tmp_path / "killed", PHASES, architecture)
    assert [path.name for path in (tmp_path / "killed").iterdir()] == ["checkpoint.pt"]
    steps: list[int] = []
    monkeypatch.setattr(PatchSampler, "__getitem__", lambda sampler, step: steps.append(step) or sample(sampler, step))
    assert _fit(small_table, tmp_path / "killed", PHASES, architecture) == whole
    assert steps == [*range(8, PHASES.steps)]


def test_a_checkpoint_needs_no_unrestricted_unpickling(
    small_table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "unlink", lambda path, missing_ok: None)
    _fit(small_table, tmp_path, SMALL)
    content = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert content["step"] == SMALL.steps


def test_the_files_of_a_fit(small_table: Path, tmp_path: Path) -> None:
    report = fit("srresnet", SMALL, work=tmp_path, **fitting(small_table))
    assert report["psnr_gain"] == pytest.approx(report["psnr_after"] - report["psnr_before"])
    assert report["photographs"] == {
        "training": 4,
        "regions": 4,
        "held_out": 2,
        "skipped": {"too small": 1, "truncated image": 1},
    }
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


@pytest.mark.parametrize(("architecture", "gain"), [("arresnet", 0.15), ("srresnet", 0.1)])
def test_a_fit_improves_held_out_photographs(
    architecture: Architecture, gain: float, small_table: Path, tmp_path: Path
) -> None:
    more = {"channels": 10, "steps": 160, "minibatch": 4, "learning_rate": 0.006}
    params = SMALL.model_copy(update=more)
    report = fit(architecture, params, work=tmp_path, **fitting(small_table))
    assert report["psnr_gain"] > gain


def test_the_adversarial_phase_begins_after_its_share_and_leaves_no_weights(small_table: Path, tmp_path: Path) -> None:
    def network(begin: float | None) -> bytes:
        phase = None if begin is None else AdversarialPhase(begin=begin, weight=0.1, feature_weight=0.1)
        return _fit(small_table, tmp_path / str(begin), SMALL.model_copy(update={"adversarial": phase}))[
            "network.safetensors"
        ]

    assert network(None) == network(1.0) != network(0.9) != network(0.5)
    assert set(load_network(tmp_path / "0.5" / "network.safetensors").state_dict()) == set(
        load_network(tmp_path / "None" / "network.safetensors").state_dict()
    )


def test_the_network_learns_from_what_the_restoration_before_makes(small_table: Path, tmp_path: Path) -> None:
    shapes: list[tuple[int, ...]] = []

    def before(images_HWC: Sequence[np.ndarray]) -> list[np.ndarray]:
        shapes.extend(image_HWC.shape for image_HWC in images_HWC)
        return [255 - image_HWC for image_HWC in images_HWC]

    plain = _fit(small_table, tmp_path / "plain", SMALL, "srresnet")
    inverted = _fit(small_table, tmp_path / "inverted", SMALL, "srresnet", before=before)
    assert plain["network.safetensors"] != inverted["network.safetensors"]
    assert shapes.count((SMALL.patch_pixels + 2 * CONTEXT,) * 2 + (3,)) == SMALL.steps * SMALL.minibatch
    before_db = [describe(tmp_path / name)["report"]["psnr_before"] for name in ("plain", "inverted")]
    assert before_db[1] < before_db[0] - 5


def test_the_network_is_the_average_of_the_weights(small_table: Path, tmp_path: Path) -> None:
    networks = [_fit(small_table, tmp_path / str(d), SMALL.model_copy(update={"ema_decay": d})) for d in (0.0, 0.9)]
    assert networks[0]["network.safetensors"] != networks[1]["network.safetensors"]
    checkpoint = FitCheckpoint.initial(NetworkSpec(architecture="arresnet", channels=4, blocks=1), SMALL)
    with torch.no_grad():
        first = next(iter(checkpoint.average.parameters())).clone()
        for weights in checkpoint.network.parameters():
            weights.add_(1.0)
    checkpoint.step = 1000
    checkpoint.update_average(0.9)
    assert torch.allclose(next(iter(checkpoint.average.parameters())), first + 0.1, atol=1e-6)


def test_a_diverged_fit_is_an_error(small_table: Path, tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match="Lower learning_rate"):
        _fit(small_table, tmp_path, SMALL.model_copy(update={"learning_rate": 1e30}))


def test_the_learning_rate_rises_and_falls() -> None:
    params = SMALL.model_copy(update={"steps": 100})
    rates = [learning_rate(params, step) for step in range(100)]
    assert rates == [*sorted(rates[:5]), *sorted(rates[5:], reverse=True)]
    assert 0 < rates[0] < 0.25 * params.learning_rate
    assert math.isclose(max(rates), params.learning_rate, rel_tol=0.05)
    assert 0 < rates[-1] < 0.01 * params.learning_rate


def test_the_global_random_state_has_no_influence() -> None:
    spec = NetworkSpec(architecture="arresnet", channels=4, blocks=2)
    torch.manual_seed(1)
    one = FitCheckpoint.initial(spec, SMALL)
    torch.manual_seed(2)
    two = FitCheckpoint.initial(spec, SMALL)
    for a, b in ((one.network, two.network), (one.discriminator, two.discriminator)):
        assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))
