"""The repository's DVC settings: a file takes its space once: the user's, as fetched, as an output, in the cache."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

DVC = Path(sys.executable).with_name("dvc")
CONFIG = Path(__file__).parents[1] / ".dvc/config"
STAGES = """
stages:
  download:
    cmd: mkdir -p data/.downloads data/download && ln mine/big.zip data/.downloads/big.zip &&
      ln data/.downloads/big.zip data/download/big.zip
    outs: [data/download]
  extract:
    cmd: mkdir data/extract && tar cf data/extract/big.tar data/download
    deps: [data/download]
    outs: [data/extract]
"""


def test_outputs_and_their_sources_take_their_space_once(tmp_path: Path) -> None:
    (tmp_path / "probe").write_bytes(b"")
    try:
        os.link(tmp_path / "probe", tmp_path / "link")
    except OSError:
        pytest.skip("this file system has no hard links")
    for command in (["git", "init", "-q"], [DVC, "init", "-q"]):
        subprocess.run(command, cwd=tmp_path, check=True)
    shutil.copyfile(CONFIG, tmp_path / ".dvc/config")
    (tmp_path / "mine").mkdir()
    mine = tmp_path / "mine/big.zip"
    mine.write_bytes(os.urandom(10_000))
    (tmp_path / "dvc.yaml").write_text(STAGES)
    subprocess.run([DVC, "repro", "-q"], cwd=tmp_path, check=True)
    assert (tmp_path / "data/download/big.zip").samefile(mine)
    assert mine.stat().st_nlink == 4, "the user's, data/.downloads, data/download and DVC's cache"
    assert (tmp_path / "data/extract/big.tar").stat().st_nlink == 2, "data/extract and DVC's cache"
    assert mine.stat().st_mode & 0o222 == 0, "DVC protects what its cache shares"
