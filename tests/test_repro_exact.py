"""`dvc repro` with the exact profile on a tiny CelebA with deltas: the published bytes, a ledger of the rest."""

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline.manifest import Selected, Sharded, read_kept
from pipeline.published.image_list import read_list
from stages import profiles, read_params
from stages.shard import _positions
from tests.data.celebahq.make import make
from tests.repo import DVC, ENVIRONMENT, Repo

pytestmark = [pytest.mark.repro, pytest.mark.timeout(600)]

CHOSEN: dict[str, dict[str, Any]] = {
    "cluster": {"workers": 1},
    "exact": {"image_list": "given/list"},
    "download": {
        "watch": "given",
        "source": {
            "images": "given/celeba/img_celeba",
            "landmarks": "given/celeba/list_landmarks.txt",
            "partition": None,
            "attributes": None,
            "deltas": "given/deltas",
        },
    },
    "crop": {"faces_per_chunk": 3},
    "superres": {"faces_per_chunk": 3, "previews": 2},
    "shard": {"images_per_shard": 2},
}


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Repo:
    repo = Repo.clone(tmp_path_factory.mktemp("exact"))
    make(repo.root / "given")
    (repo.root / "params.yaml").write_text(profiles.content_of("celebahq"))
    repo.edit(CHOSEN)
    return repo


def _ledger(path: Path) -> list[dict[str, Any]]:
    return pq.read_table(path).to_pylist()


def test_exact_profile_requires_every_image_and_reports_the_missing_ones(repo: Repo) -> None:
    run = subprocess.run(
        [DVC, "repro", "shard"], cwd=repo.root, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    output = run.stdout + run.stderr
    assert run.returncode != 0
    assert "3 of 8 images equal the published ones" in output, output[-3000:]
    assert "3 match, 1 proc mismatch, 1 final mismatch, 1 missing input, 2 undecodable" in output
    assert not (repo.root / "data" / "shard").exists()


def test_exact_images_have_the_published_md5_and_the_rest_a_verdict(repo: Repo) -> None:
    (left,) = (repo.root / "data" / ".work").glob("shard-*/")
    made = {path.name: path.stat().st_mtime_ns for path in left.glob("*.h5")}
    assert made
    repo.edit({"exact": {"min_match": 0.375}})
    assert repo.dvc("repro", "shard") == ["shard"]
    folder = repo.root / "data" / "shard"
    assert {name: (folder / name).stat().st_mtime_ns for name in made} == made, "finished shards are not written again"

    published = read_list(repo.root / "given" / "list")
    expected = json.loads((repo.root / "given" / "expected.json").read_text())
    ledger = _ledger(folder / "ledger.parquet")
    assert [row["verdict"] for row in ledger] == expected
    assert [row["file"] for row in ledger] == [image.file for image in published]
    assert all((row["detail"] is None) == (row["verdict"] == "match") for row in ledger)
    assert "delta" in ledger[3]["detail"] and "not an image" in ledger[7]["detail"]

    with h5py.File(folder / "dataset.h5") as file:
        images_NCHW = file["data1024x1024"][:]
    found = [hashlib.md5(image_CHW.tobytes()).hexdigest() for image_CHW in images_NCHW]
    matches = [row for row in ledger if row["verdict"] == "match"]
    assert found == [row["final_md5"] for row in matches], "in the order of the published list"
    assert [row["position"] for row in matches] == list(range(len(matches)))
    rows = {row.file: row for row in read_kept(folder / "shard.parquet", Sharded)}
    assert [rows[row["file"]].image_md5 for row in matches] == found
    assert repo.report("shard")["exact"] == {
        "match": 3, "proc mismatch": 1, "final mismatch": 1, "missing input": 1, "undecodable": 2
    }  # fmt: skip
    assert repo.report("align")["dropped"]["not in the published list"] == 2


def test_exact_shuffled_order_is_that_of_the_whole_list(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    """The order in which the stage renders; what it drops then leaves no gap, as above."""
    monkeypatch.chdir(repo.root)
    repo.edit({"shard": {"order": "shuffled", "seed": 1}})
    idx_of_row = [row.rank for row in read_kept(Path("data/select/select.parquet"), Selected)]
    order = np.arange(8)
    np.random.RandomState(1).shuffle(order)
    shuffled = [idx_of_row[row] for row in _positions(read_params())]
    assert shuffled == [idx for idx in order if idx in idx_of_row]
    assert len(shuffled) < len(order), "some are missing"
    assert shuffled != sorted(shuffled)
