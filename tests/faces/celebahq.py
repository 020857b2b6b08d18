"""Where the golden vectors of the exact rebuild and the real photographs lie, and what to skip without them."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

_SHARED = Path(__file__).parents[3] / "shared"
VECTORS = Path(os.environ.get("CELEBAHQ_VECTORS", _SHARED / "vectors" / "celebahq"))
REAL = Path(os.environ.get("CELEBAHQ_REAL", _SHARED / "data"))


def cases() -> list[Any]:
    """One test parameter per golden case; a single skipped one without the vectors."""
    path = VECTORS / "cases.json"
    if not path.is_file():
        reason = f"no {path}; name the folder of the golden vectors in CELEBAHQ_VECTORS"
        return [pytest.param({}, id="none", marks=pytest.mark.skip(reason=reason))]
    return [pytest.param(case, id=case["id"]) for case in json.loads(path.read_text())["cases"]]


def real_photograph(name: str) -> Path:
    """A real photograph; skips the test without them."""
    path = REAL / "celeba" / "img_celeba" / name
    if not path.is_file():
        pytest.skip(f"no {path}; name the folder of the real data in CELEBAHQ_REAL")
    return path
