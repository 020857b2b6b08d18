"""What all commands have in common: quick help, version, completion, errors in one sentence, exit status."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from stages import TRACEBACK, main
from stages.__main__ import app
from tests.repo import hear_interrupts

ROOT = Path(__file__).parents[2]
HEAVY = {"torch", "dask", "distributed", "cv2", "pyarrow", "scipy", "matplotlib", "h5py", "requests"}


def test_help_loads_nothing_that_takes_long_and_tables_load_no_pandas() -> None:
    """Help took 6 s when it loaded torch and dask; pyarrow loads pandas with the first value that it converts."""
    code = f"""
import sys, stages.__main__
print(sorted({HEAVY} & set(sys.modules)))
import pyarrow, pipeline.columns
stages.main(lambda *_: print(pyarrow.array([1.5]).to_pylist(), "pandas" in sys.modules))
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert found.stdout.splitlines() == ["[]", "[1.5] False"]


def test_help_states_the_exit_status_and_the_options_of_all() -> None:
    text = CliRunner().invoke(app, ["--help"]).output
    for words in ("Exit status: 0", "--version", "--install-completion"):
        assert words in text
    assert CliRunner().invoke(app, ["--version"]).output.split()[0] == "celebahq"


def test_wrong_usage_is_status_2() -> None:
    assert CliRunner().invoke(app, ["drops", "--nonsense"]).exit_code == 2
    assert CliRunner().invoke(app, ["nonsense"]).exit_code == 2


@pytest.mark.parametrize("words", [["drops"], ["progress"], ["summary"], ["terms"]])
def test_facts_are_printed_as_json(words: list[str]) -> None:
    result = CliRunner().invoke(app, [*words, "--json"], catch_exceptions=False)
    assert isinstance(json.loads(result.stdout), (dict, list))


def test_an_error_of_the_system_is_one_sentence_that_names_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(TRACEBACK, raising=False)
    (tmp_path / "file").touch()
    for path, error in (("nowhere", FileNotFoundError), (".", IsADirectoryError), ("file/x", NotADirectoryError)):

        def read(*_: str, path: Path = tmp_path / path) -> None:
            path.read_text()

        with pytest.raises(SystemExit, match=rf"^\n{error.__name__}: {tmp_path / path}: [^\n]*\.\)$"):
            main(read)
        monkeypatch.setenv(TRACEBACK, "1")
        with pytest.raises(error):
            main(read)
        monkeypatch.delenv(TRACEBACK)


def test_too_little_memory_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(*_: str) -> None:
        np.empty(2**62, np.uint8)

    monkeypatch.delenv(TRACEBACK, raising=False)
    with pytest.raises(SystemExit, match=r"^\nMemoryError: Unable to allocate [^\n]*memory[^\n]*\.$"):
        main(ask)
    monkeypatch.setenv(TRACEBACK, "1")
    with pytest.raises(MemoryError):
        main(ask)


def test_an_interrupt_ends_a_command_with_one_sentence(tmp_path: Path) -> None:
    for name in ("manifests", "profiles"):
        (tmp_path / name).mkdir()
    os.mkfifo(tmp_path / "params.yaml")
    words = [sys.executable, "-m", "stages", "summary"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    hear_interrupts()
    with subprocess.Popen(words, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None:  # until it reads the params
            with suppress(OSError):
                descriptor = os.open(tmp_path / "params.yaml", os.O_WRONLY | os.O_NONBLOCK)
                break
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    os.close(descriptor)
    assert process.returncode == 130
    assert errors == "\nInterrupted. What is finished is kept, and the same command goes on from there.\n"
