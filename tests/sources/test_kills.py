"""SIGKILL at many moments of an extraction: it is continued each time, and the result is that of an undisturbed one.

`CELEBAHQ_KILLS=30 pytest tests/sources/test_kills.py` kills more often.
"""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import packing
import pytest

from pipeline.sources.source import Contents

ROOT = Path(__file__).parents[2]
KILLS = int(os.environ.get("CELEBAHQ_KILLS", "8"))


def _parts(folder: Path, members: Mapping[str, bytes]) -> Path:
    return packing.sevenzip_parts(folder, members, 60_000)


@pytest.mark.parametrize("pack", [packing.zipped, packing.tar_gz, _parts])
def test_kills_leave_no_trace(pack: packing.Pack, tmp_path: Path) -> None:
    random = np.random.default_rng(7)
    download = tmp_path / "download"
    download.mkdir()
    members = {f"img/{n:06d}.jpg": b"\xff\xd8\xff" + random.bytes(900) for n in random.permutation(250).tolist()}
    images = pack(download, {**members, "img/Thumbs.db": b"no image"})
    (download / "attributes.txt").write_bytes(b"attributes")
    contents = Contents(
        images=images.name, numbering="celeba", landmarks=None, partition=None, attributes="attributes.txt"
    )
    moments = random.integers(1, 28, KILLS).tolist()
    parts = _extract(download, contents, tmp_path / "killed", moments)
    assert _extract(download, contents, tmp_path / "whole", []) == []
    assert _digests(tmp_path / "killed") == _digests(tmp_path / "whole")
    assert parts == sorted(parts), "a finished container is never made again"
    assert parts[-1] > KILLS // 3


def _extract(download: Path, contents: Contents, work: Path, moments: list[int]) -> list[int]:
    script = Path(__file__).with_name("killed_extraction.py")
    words = [sys.executable, script, download, contents.model_dump_json(), work, *map(str, moments)]
    result = subprocess.run(
        words,
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return json.loads(result.stdout)


def _digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}
