"""`dvc repro` as a whole, on a smaller demo: kills, resumes, what runs again, and the same bytes.

One copy of the repository is built once, with Ctrl-C in `shard` and a SIGKILL in `train`; the tests
then look at it. They share the copy and run in the order in which they stand.
"""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
import yaml

from pipeline.restoration import networks_of_others
from pipeline.sources.fetch.terms import TERMS_VARIABLE
from pipeline.sources.lsun.published import PublishedCategory
from pipeline.sources.lsun.synthetic import make_category
from stages import RECORD, recipe_of
from tests.repo import DVC, ENVIRONMENT, Repo

sys.path.insert(0, str(Path(__file__).parent / "sources/fetch"))
from faulty_server import FaultyServer

pytestmark = [pytest.mark.repro, pytest.mark.timeout(600)]

SMALL_NETWORK = {"channels": 4, "blocks": 1, "steps": 4, "held_out_photographs": 2}
SMALL: dict[str, dict[str, Any]] = {
    "download": {"source": {"photographs": 16, "bad_photographs": 8, "face_pixels_max": 80}},
    "extract": {"photographs_per_container": 10, "max_dropped": 0.5},
    "align": {"resolution": 128, "photographs_per_chunk": 8, "max_dropped": 0.5},
    "crop": {"faces_per_chunk": 5, "max_dropped": 0.5},
    "fit_denoise": {"network": SMALL_NETWORK},
    "denoise": {"faces_per_chunk": 5},
    "fit_superres": {"network": SMALL_NETWORK},
    "superres": {"faces_per_chunk": 5, "previews": 4},
    "select": {"keep": 12},
    "shard": {"images_per_shard": 1},
    "lsun": {"source": {"records": 8}, "resolution": 64, "images_per_shard": 4, "max_dropped": 0.5},
    "evaluate": {"swd_images": 16, "swd_patches_per_image": 16, "swd_directions": 16, "msssim_pairs": 4, "threads": 1},
}
SMALL_RUN: dict[str, Any] = {
    "resolution": 16,
    "networks": {"fmap_base": 64, "fmap_max": 16, "latent_size": 16},
    "schedule": {"train_kimg": 0.2, "fade_kimg": 0.2, "minibatch": 8, "total_kimg": 1.12, "tick_kimg": 0.1},
    "snapshot_ticks": 2,
    "snapshot_swd": {"images": 16, "patches_per_image": 16, "directions": 16},
    "grid_columns": 4,
    "grid_rows": 2,
    "threads": 1,
}


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Repo]:
    repo = Repo.clone(tmp_path_factory.mktemp("repo"))
    root = repo.root
    repo.edit({**SMALL, "train": {"runs": {"demo": SMALL_RUN}}})
    repo.interrupt_when(["repro", "shard"], lambda: len(list(root.glob("data/.work/shard-*/shard-*.h5"))) >= 2)
    assert repo.messages.count("\nInterrupted. What is finished is kept") == 1
    assert "Traceback" not in repo.messages, repo.messages
    assert not (root / "data/shard").exists()
    repo.kill_when(["repro", "train@demo"], lambda: len(list(root.glob("data/.work/train@*/*.safetensors"))) >= 2)
    assert not (root / "runs/demo").exists()
    repo.dvc("repro")
    yield repo
    shutil.rmtree(root)


def test_all_stages_have_run_and_a_second_repro_with_other_workers_runs_nothing(repo: Repo) -> None:
    repo.edit({"cluster": {"workers": 1}})
    assert repo.dvc("repro") == [], "the section cluster changes no result"
    assert not list((repo.root / "data/.work").iterdir())


def test_a_clone_that_pulls_has_all_results_and_trains_on(repo: Repo, tmp_path: Path) -> None:
    clone = repo.push_and_clone(tmp_path)
    for folder in ("runs", "evaluations", "reports"):  # what is missing or other elsewhere, repro would make
        assert clone.digests(folder) == repo.digests(folder)
    pulled = clone.digests("runs/demo")
    clone.edit({"train": {"runs": {"demo": {"schedule": {"total_kimg": 1.216}}}}})
    assert clone.dvc("repro") == ["train@demo", "evaluate@demo", "report"]
    assert "resuming after 1.1 thousand images" in clone.messages
    networks = [name for name in pulled if name.startswith("network-")]
    assert {name: pulled[name] for name in networks}.items() <= clone.digests("runs/demo").items()

    changed = json.loads(clone.output_of_dvc("metrics", "diff", "--json"))["reports/metrics/runs/demo.json"]
    assert (changed["kimg"]["old"], changed["kimg"]["new"]) == (1.12, 1.216)
    assert "index.html" in clone.output_of_dvc("plots", "diff")
    assert clone.dvc("exp", "run", "--temp", "--name", "fewer", "select", "-S", "select.keep=11") == ["select"]
    changed = json.loads(clone.output_of_dvc("diff", "--json", "HEAD", "fewer"))["modified"]
    assert "reports/select.json" in {entry["path"] for entry in changed}


def test_bad_input_is_dropped_with_a_reason_and_counted(repo: Repo) -> None:
    reasons: dict[str, int] = {}
    given = repo.report("extract")["given"]
    for stage in ("extract", "align", "crop", "denoise", "superres", "select"):
        report = repo.report(stage)
        assert report["given"] == report["kept"] + sum(report["dropped"].values())
        for reason, count in report["dropped"].items():
            reasons[reason] = reasons.get(reason, 0) + count
    expected = {
        "truncated image",
        "no landmark row",
        "landmark row without photograph",
        "not an image",
        "absurd landmarks",
        "face outside the image",
        "too small",
    }
    assert expected <= set(reasons)
    added_by_landmark_rows = reasons["landmark row without photograph"]
    assert given + added_by_landmark_rows == 16 + 8
    assert repo.report("select")["kept"] == 12


def test_the_original_reader_sees_one_file_with_all_levels(repo: Repo) -> None:
    with h5py.File(repo.root / "data/shard/dataset.h5", "r") as file:
        for level in (128, 64, 32, 16, 8, 4, 2, 1):
            assert file[f"data{level}x{level}"].shape == (12, 3, level, level)
            assert file[f"data{level}x{level}"].dtype == np.uint8
        top = file["data128x128"][:]
        half = file["data64x64"][:]
    mean = top.reshape(12, 3, 64, 2, 64, 2).astype(np.float32).mean(axis=(3, 5))
    np.testing.assert_array_equal(half, np.rint(mean))
    assert np.load(repo.root / "data/shard/dataset-labels.npy").shape == (12, 40)


def test_the_killed_runs_gave_the_bytes_of_undisturbed_ones_with_one_worker(repo: Repo) -> None:
    folders = [*(f"data/{name}" for name in ("align", "crop", "denoise", "superres", "select", "shard"))]
    folders += ["data/lsun/bedroom", "runs/demo"]
    before = {folder: _results(repo, folder) for folder in folders}
    assert len(before["runs/demo"]) >= 2
    repo.edit({"cluster": {"workers": 1}})
    shutil.rmtree(repo.root / "runs/demo")  # else the stage would take the finished run up again
    names = [folder.removeprefix("data/").replace("runs/", "train@").replace("/", "@") for folder in folders]
    assert repo.dvc("repro", "--force", "--single-item", "--no-run-cache", *names) == names
    for folder in folders:
        assert _results(repo, folder) == before[folder], folder


def _results(repo: Repo, folder: str) -> dict[str, str]:
    """The digests of the files of a stage; of a run those of its networks, since the others have times."""
    return {
        name: digest
        for name, digest in repo.digests(folder).items()
        if folder != "runs/demo" or name.endswith(".safetensors")
    }


def test_a_change_of_code_runs_nothing_until_the_recipe_is_raised(repo: Repo) -> None:
    names = ("pipeline/errors.py", "stages/denoise.py", "stages/recipes.yaml")
    errors, denoise, recipes = (repo.root / name for name in names)
    errors.write_text(errors.read_text() + "# a comment\n")
    text = denoise.read_text()
    assert "params.png_level" in text
    denoise.write_text(text.replace("params.png_level", "9"))
    assert repo.dvc("repro", "shard", "lsun", "train@demo") == []
    before = recipes.read_text()
    recipes.write_text(before.replace(f"\ndenoise: {recipe_of('denoise')}", "\ndenoise: 99"))
    # the files of the regions change, the pixels do not: DVC stops where all that a stage reads is equal again
    ran = set(repo.dvc("repro")) - {"evaluate@demo"}  # which the test before asks for: the run has new times
    assert ran == {"denoise", "superres", "select", "shard", "report"}


def test_a_change_runs_exactly_what_depends_on_it(repo: Repo) -> None:
    """Of a run's params and of categories: in the tests of the clone and of categories."""
    repo.edit({"select": {"keep": 10}})
    assert sorted(repo.dvc("repro")) == ["evaluate@demo", "report", "select", "shard", "train@demo"]


def test_categories_are_fetched_and_built_each_for_itself(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENVIRONMENT, TERMS_VARIABLE, "lsun")
    with FaultyServer() as server:
        _publish(server, repo.root, ["cat", "churchoutdoor"])
        network = {"mirrors": [server.url], "attempts": 2}
        repo.edit({"lsun": {"categories": ["cat"], "source": {"kind": "network"}}, "network": network})
        assert repo.dvc("repro", "lsun@cat") == ["lsun@cat"]
        before = repo.digests("data/lsun/cat")
        record = json.loads((repo.root / "data/lsun/cat" / RECORD).read_text())
        assert record["accepted"]["lsun"]["terms"]["by"].endswith(TERMS_VARIABLE)
        # terms and files in the user's folder serve experiments in temporary folders
        monkeypatch.delitem(ENVIRONMENT, TERMS_VARIABLE)
        assert "TermsError" in _failure(repo, "exp", "run", "--temp", "lsun@cat", "-S", "lsun.resolution=32")
        terms = [sys.executable, "-m", "stages", "terms", "--accept-terms", "lsun"]
        subprocess.run(terms, cwd=repo.root, env=ENVIRONMENT, check=True, stdout=subprocess.DEVNULL)
        assert repo.dvc("exp", "run", "--temp", "lsun@cat", "-S", "lsun.resolution=32") == ["lsun@cat"]
        assert len(server.requests) == 1
        repo.edit({"lsun": {"categories": ["church_outdoor"]}})
        assert repo.dvc("repro") == ["lsun@church_outdoor", "report"]
        assert len(server.requests) == 2
    assert (repo.root / "reports/metrics/lsun/church_outdoor.json").is_file()
    assert h5py.File(repo.root / "data/lsun/church_outdoor/dataset.h5")["data64x64"].shape == (6, 3, 64, 64)
    repo.edit({"lsun": {"categories": ["cat", "church_outdoor"]}})
    assert repo.dvc("repro") == ["report"], "no category is built again"
    assert repo.digests("data/lsun/cat") == before


def _publish(server: FaultyServer, root: Path, categories: list[str]) -> None:
    """Serve zips as LSUN's authors name them, with six small scenes each; write them into the manifest."""
    path = root / "manifests/lsun.yaml"
    content = yaml.safe_load(path.read_text())
    for name in categories:
        known = PublishedCategory.model_validate(content["categories"][name])
        packed = make_category(root / "mirror", name, known, records=6, bad_records=0, seed=2).read_bytes()
        server.put(f"/lsun/{known.zip}", packed)
        facts = {"bytes": len(packed), "sha256": hashlib.sha256(packed).hexdigest(), "images": 6}
        content["categories"][name] |= facts
    path.write_text(yaml.safe_dump(content))


def test_a_network_of_others_is_taken_by_path(repo: Repo) -> None:
    """A small SRVGG with random weights, as its authors publish them, in place of the trained x4 network."""
    path = repo.root / "theirs.pth"
    networks_of_others._spandrel(path)
    from spandrel.architectures.Compact import Compact  # noqa: PLC0415

    with torch.random.fork_rng():
        torch.manual_seed(1)
        torch.save({"params_ema": Compact(num_in_ch=3, num_out_ch=3, num_feat=4, num_conv=1).state_dict()}, path)
    network = {"kind": "spandrel", "path": "theirs.pth", "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    repo.edit({"fit_superres": {"network": network}})
    assert repo.dvc("repro", "superres") == ["fit_superres", "superres"]
    assert repo.report("fit_superres")["architecture"] == "RealESRGAN Compact 4nf 1nc"
    report = repo.report("superres")
    assert "network x4" in report["enlarged"]
    assert "spandrel" in json.loads((repo.root / "data/superres/record.json").read_text())["libraries"]
    assert sum(report["enlarged"].values()) == report["kept"]


def test_a_misspelt_category_fails_at_once_with_the_names(repo: Repo) -> None:
    repo.edit({"lsun": {"categories": ["bedrom"]}})
    message = _failure(repo, "repro")
    assert "lsun.categories" in message
    assert "'tvmonitor'" in message


def _failure(repo: Repo, *words: str) -> str:
    result = subprocess.run([DVC, *words], cwd=repo.root, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert result.returncode != 0
    return result.stdout + result.stderr
