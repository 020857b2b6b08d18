"""Networks and runs that earlier versions left (tests/golden/training)."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.shards.reader import DataSet
from tests.golden.training.make import KINDS, RUNS, make_dataset, results
from tests.training.small import run_of_today
from tests.training.test_loop import CPU, ListReporter
from training.data.real_images import Reals
from training.loop import train

GOLDEN = Path(__file__).parents[1] / "golden/training"
FORMATS = sorted(path.name for path in GOLDEN.glob("format*"))
EXPECTED: dict[str, dict[str, Any]] = {
    name: json.loads((GOLDEN / name / "expected.json").read_text()) for name in FORMATS
}

NEAR = 6
"""Ticks whose figures are compared: those up to the checkpoint, that which it interrupts, and one more. After that,
another processor's rounding may have grown in the runs that are trained badly on purpose."""


def clock(row: dict[str, float]) -> tuple[float, ...]:
    return row["images"], row["lod"], row["minibatch"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("version", FORMATS)
def test_a_network_file_of_an_earlier_version_gives_the_same_images_and_scores(version: str, kind: str) -> None:
    found = results(GOLDEN / version / "networks" / f"{kind}.safetensors")
    expected = dict(EXPECTED[version]["networks"][kind])
    assert np.abs(np.subtract(found.pop("images"), expected.pop("images"))).max() <= 1
    np.testing.assert_allclose(found.pop("scores"), expected.pop("scores"), rtol=0.01, atol=0.01)
    assert found == expected


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("dataset"))


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("version", FORMATS)
def test_a_run_of_an_earlier_version_is_resumed(version: str, name: str, dataset: Path, tmp_path: Path) -> None:
    run = run_of_today(EXPECTED[version]["runs"][name] | {"dataset": str(dataset)})
    folder, reporter = shutil.copytree(GOLDEN / version / name, tmp_path / name), ListReporter()
    train(run, Reals(DataSet(dataset), run), folder, reporter, CPU)
    expected = EXPECTED[version]["figures"][name]
    for row, before in zip(reporter.rows[:NEAR], expected[:NEAR], strict=True):
        assert row.keys() == before.keys()
        rtol = 0.01 if name == "float16" else 1e-3
        np.testing.assert_allclose(list(row.values()), [before[key] for key in row], rtol=rtol, atol=rtol / 100)
    assert [clock(row) for row in reporter.rows] == [clock(row) for row in expected]
