"""What tests need and users do not have: golden vectors and real data, found by environment variables.

Without one the tests that need it are skipped, each with the path and the variable.
"""

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

_SHARED = Path(__file__).parents[2] / "shared"


class Outside:
    """A folder that an environment variable names."""

    def __init__(self, variable: str, default: Path) -> None:
        self.variable = variable
        self.folder = Path(os.environ.get(variable, default)).resolve()

    def __truediv__(self, name: str) -> Path:
        return self.folder / name

    def absent(self, name: str) -> str | None:
        """Why tests of `name` are skipped; None where it is there."""
        return None if (self / name).exists() else f"no {self / name}; {self.variable} names the folder of {name}"

    def needed(self, name: str) -> Path:
        """A file or folder in it; skips the test without it."""
        if reason := self.absent(name):
            pytest.skip(reason)
        return self / name

    def parameters(self, name: str, read: Callable[[Path], Iterable[Any]], label: Callable[[Any], str]) -> list[Any]:
        """One test parameter per item that `read` finds in `name`; a single skipped one where that is absent."""
        if reason := self.absent(name):
            return [pytest.param(None, id="absent", marks=pytest.mark.skip(reason=reason))]
        return [pytest.param(item, id=label(item)) for item in read(self / name)]


VECTORS = Outside("CELEBAHQ_VECTORS", _SHARED / "vectors/celebahq")
"""Golden vectors of the exact rebuild."""
REAL = Outside("CELEBAHQ_REAL", _SHARED / "data")
"""Real photographs and published lists."""
CASES = Outside("CELEBAHQ_CASES", _SHARED / "cases")
"""The script that makes small inputs that go wrong."""
PGGAN = Outside("PGGAN_VECTORS", _SHARED / "vectors/pggan")
"""Golden vectors of the progressive GAN."""


def cases() -> list[Any]:
    """One test parameter per golden case of the exact rebuild."""
    return VECTORS.parameters("cases.json", lambda path: json.loads(path.read_text())["cases"], lambda case: case["id"])
