"""The celebahq command (stages/__main__.py)."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from pipeline import manifest
from pipeline.errors import DropReason, ParamsError
from pipeline.manifest import Aligned, Drop
from stages import profiles, read_params
from stages.__main__ import app

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _a_copy_of_the_profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree("profiles", tmp_path / "profiles")
    shutil.copytree("manifests", tmp_path / "manifests")
    shutil.copy("params.yaml", tmp_path)
    shutil.copy("dvc.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)


def test_a_profile_takes_the_place_of_params_and_the_difference_is_shown() -> None:
    result = CliRunner().invoke(app, ["profile", "lsun"], catch_exceptions=False)
    assert Path("params.yaml").read_text() == profiles.content_of("lsun")
    assert "--- params.yaml" in result.output
    assert "+++ profiles/lsun.yaml" in result.output
    assert not Path("params.previous.yaml").exists()


def test_an_edited_params_file_is_kept() -> None:
    edited = Path("params.yaml").read_text().replace("keep: 64", "keep: 63")
    Path("params.yaml").write_text(edited)
    CliRunner().invoke(app, ["profile", "demo"], catch_exceptions=False)
    assert Path("params.previous.yaml").read_text() == edited


def test_a_lost_params_file_is_written_anew() -> None:
    Path("params.yaml").unlink()
    CliRunner().invoke(app, ["profile", "demo"], catch_exceptions=False)
    assert Path("params.yaml").read_text() == profiles.content_of("demo")


@pytest.mark.parametrize("words", [["summary"], ["terms"], ["profile", "demo"], ["drops"], ["unpack", "x"]])
def test_another_folder_than_the_root_is_named(
    words: list[str], tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    monkeypatch.chdir(elsewhere)
    with pytest.raises(ParamsError, match=rf"{elsewhere}: has no .*Run celebahq {words[0]} in the root of the reposit"):
        CliRunner().invoke(app, words, catch_exceptions=False)


def test_packages_of_other_projects_do_no_harm(tmp_path: Path) -> None:
    """Those of the user's PYTHONPATH come before the installed ones."""
    for name in ("pipeline", "stages", "training"):
        (tmp_path / "stylegan" / name).mkdir(parents=True)
        (tmp_path / "stylegan" / name / "__init__.py").touch()
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "stylegan")}
    installed = f"import sys; sys.path.append({str(ROOT)!r}); import celebahq; celebahq.command_line()"
    command = [sys.executable, "-P", "-c", installed, "terms"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "CelebA" in result.stdout


def test_an_unknown_profile_is_answered_with_the_names() -> None:
    with pytest.raises(ParamsError, match=r"no such profile.*demo.*lsun"):
        CliRunner().invoke(app, ["profile", "celeba-hq"], catch_exceptions=False)


def test_an_invalid_profile_changes_nothing() -> None:
    before = Path("params.yaml").read_bytes()
    Path("profiles/bad.yaml").write_text("cluster: 3\n")
    with pytest.raises(ParamsError, match=r"profiles/bad\.yaml"):
        CliRunner().invoke(app, ["profile", "bad"], catch_exceptions=False)
    assert Path("params.yaml").read_bytes() == before


BASE = """# of all
cluster: {scheduler: null, workers: 2}
source:
  kind: folder
  attributes: null
  images: here
train:
  runs:
    first:
      seed: 1 # any
      schedule:
        minibatch_at: {4: 16, 8: 8}
"""
DERIVED = """# of one
base: all
source:
  kind: synthetic
train:
  runs:
    second:
      schedule:
        minibatch_at: {4: 2}
"""


def test_a_profile_with_a_base_says_only_what_differs() -> None:
    Path("profiles/all.yaml").write_text(BASE)
    Path("profiles/one.yaml").write_text(DERIVED)
    text = profiles.content_of("one")
    assert yaml.safe_load(text) == {
        "cluster": {"scheduler": None, "workers": 2},
        "source": {"kind": "synthetic"},
        "train": {"runs": {"second": {"seed": 1, "schedule": {"minibatch_at": {4: 2}}}}},
    }
    assert text.startswith("# of one\n\ncluster: {scheduler: null")
    assert "seed: 1 # any" in text


def test_a_profile_that_is_its_own_base_is_refused() -> None:
    Path("profiles/one.yaml").write_text("base: two\n")
    Path("profiles/two.yaml").write_text("base: one\n")
    with pytest.raises(ParamsError, match=r"one\.yaml: its base leads back to itself \(one <- two <- one\)"):
        profiles.content_of("one")


def test_a_profile_with_a_base_is_put_in_place_complete() -> None:
    CliRunner().invoke(app, ["profile", "v2-8gpu"], catch_exceptions=False)
    (run,) = read_params().train.runs.items()
    assert (run[0], run[1].schedule.devices, run[1].networks.fmap_base) == ("celebahq_v2_8gpu", 8, 8192)


def test_the_plan_of_a_profile_is_a_table_with_what_is_missing() -> None:
    lines = CliRunner().invoke(app, ["plan", "celebahq-network", "--quick"], catch_exceptions=False).output.splitlines()
    assert lines[0].split() == ["stage", "items", "time", "memory", "disk", "now", "result", "peak", "from"]
    rows = {line.split()[0]: line.split() for line in lines[1:14]}
    assert rows["denoise"][:3] == ["denoise", "202599", "-"]
    assert rows["denoise"][6:8] == ["95.3", "GB"]
    assert rows["all"][-2:] == ["213.2", "GB"]
    assert any(re.search(r" are free below .*: (enough|[\d.]+ [GM]B are missing)\.", line) for line in lines)
    found = CliRunner().invoke(app, ["plan", "celebahq-network", "--quick", "--json"], catch_exceptions=False)
    assert {need["stage"]: need["items"] for need in json.loads(found.stdout)}["denoise"] == 202599


def test_the_summary_names_each_stage_in_order_with_what_it_dropped() -> None:
    reports = {
        "train/demo": {"images": 12000, "loss/generator": 1.9912345},
        "align": {"given": 5, "kept": 3, "dropped": {"too small": 2}, "warnings": 0},
        "evaluate/demo": {"reals": {"swd256_32": 14.98691}},
    }
    for name, report in reports.items():
        path = Path("reports") / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(report))
    lines = CliRunner().invoke(app, ["summary"], catch_exceptions=False).output.splitlines()
    assert [line.split()[0] for line in lines if not line.startswith(" ")] == ["align", "train@demo", "evaluate@demo"]
    assert lines[0].split(maxsplit=1)[1] == "kept 3 of 5, dropped 2 too small"
    assert "loss/generator 1.9912" in lines[3]
    assert "reals.swd256_32 14.987" in lines[5]


def test_the_summary_leaves_out_what_was_made_with_other_params() -> None:
    for name in ("align", "crop", "select", "lsun/cat", "train/cifar10"):
        path = Path("reports") / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('{"images": 3}')
    params = {"align.resolution": 1024, "align.max_megapixels": 1.0e2}
    stages = {
        "align": {"params": {"params.yaml": params}, "outs": [{"path": "data/align"}]},
        "crop": {"params": {"params.yaml": {"align.resolution": 9}}, "outs": [{"path": "data/crop"}]},
        "select": {"deps": [{"path": "data/crop/crop.parquet"}]},
    }
    Path("dvc.lock").write_text(yaml.safe_dump({"stages": stages}))
    output = CliRunner().invoke(app, ["summary"], catch_exceptions=False).output
    assert [line.split()[0] for line in output.splitlines() if line and line[0] not in " N"] == ["align"]
    assert "made with other params than those in params.yaml: crop, select, lsun@cat, train@cifar10" in output


def test_a_damaged_report_is_named_with_its_stage() -> None:
    for name, content in (("superres", "{"), ("lsun/bedroom", "[]"), ("crop", "\xff")):
        path = Path("reports") / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="latin-1")
        for words in (["summary"], ["summary", "--json"]):
            repro = f"dvc repro {name.replace('/', '@')}"
            with pytest.raises(ParamsError, match=rf"^{path}: damaged \(.*\)\. Make it again: {repro}\.$"):
                CliRunner().invoke(app, words, catch_exceptions=False)
        path.unlink()


@pytest.mark.parametrize("words", [["summary"], ["drops"]])
def test_before_anything_has_run_it_says_what_to_run(words: list[str]) -> None:
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert re.fullmatch(r"No stage has left .*: dvc repro runs them\.\n", result.output)
    assert json.loads(CliRunner().invoke(app, [*words, "--json"], catch_exceptions=False).stdout) == {}


def test_drops_are_listed_of_the_unfinished_run_or_else_of_the_table() -> None:
    def drop(path: str, file: str) -> None:
        Path(path).parent.mkdir(parents=True)
        row = Drop(index=0, file=file, reason=DropReason.TOO_SMALL, detail="3 pixels")
        manifest.write_rows(Path(path), Aligned, [row])

    drop("data/align/align.parquet", "1.jpg")
    drop("data/lsun/cat/lsun.parquet", "2.jpg")
    drop("data/crop/crop.parquet", "3.jpg")
    drop("data/.work/crop-0123456789abcdef/crop.chunks/crop-000000/rows.parquet", "4.jpg")
    drop("data/.work/superres-0123456789abcdef/superres.parquet", "5.jpg")
    listed = [f"{stage}\t{file}.jpg\ttoo small\t3 pixels" for stage, file in (
        ("align", 1), ("crop", 4), ("superres", 5), ("lsun@cat", 2),
    )]  # fmt: skip
    assert CliRunner().invoke(app, ["drops"], catch_exceptions=False).stdout.splitlines() == listed
    assert CliRunner().invoke(app, ["drops", "crop"], catch_exceptions=False).stdout.splitlines() == [listed[1]]
    drop("data/lsun/dog/lsun.parquet", "6.jpg")
    listed = [listed[3], "lsun@dog\t6.jpg\ttoo small\t3 pixels"]
    assert CliRunner().invoke(app, ["drops", "lsun"], catch_exceptions=False).stdout.splitlines() == listed
    assert CliRunner().invoke(app, ["drops", "lsun@dog"], catch_exceptions=False).stdout.splitlines() == listed[1:]
    found = json.loads(CliRunner().invoke(app, ["drops", "lsun", "--json"], catch_exceptions=False).stdout)
    assert {name: [drop["file"] for drop in drops] for name, drops in found.items()} == {
        "lsun@cat": ["2.jpg"],
        "lsun@dog": ["6.jpg"],
    }
    for name, message in (("crops", "no stage; there are download"), ("denoise", "dvc repro denoise")):
        with pytest.raises(ParamsError, match=message):
            CliRunner().invoke(app, ["drops", name], catch_exceptions=False)


def test_terms_are_shown_and_what_is_accepted_is_kept() -> None:
    shown = CliRunner().invoke(app, ["terms"], catch_exceptions=False).output
    assert all(name in shown for name in ("celeba: CelebA", "celebahq-deltas:", "lsun: LSUN", "cifar10:", "mnist:"))
    assert "licence: CC BY-NC 4.0; https://" in shown
    assert "not known: size and hash of every file" in shown
    assert "accepted by" not in shown
    assert not Path("accepted-terms.json").exists()
    given = ["--accept-terms", "celeba", "--accept-terms", "celebahq-deltas", "--accept-unverified", "celebahq-deltas"]
    CliRunner().invoke(app, ["terms", *given], catch_exceptions=False)
    shown = CliRunner().invoke(app, ["terms", "--accept-terms", "lsun"], catch_exceptions=False).output
    assert shown.count("  terms accepted by") == 3
    assert shown.count("  files without a published hash accepted by") == 1
    kept = json.loads(Path("accepted-terms.json").read_text())
    assert (sorted(kept["terms"]), sorted(kept["unverified"])) == (
        ["celeba", "celebahq-deltas", "lsun"],
        ["celebahq-deltas"],
    )


def test_terms_of_an_unknown_data_set_are_answered_with_the_names() -> None:
    with pytest.raises(ParamsError, match=r"'imagenet' is no data set.*celeba, celebahq-deltas, cifar10, lsun, mnist"):
        CliRunner().invoke(app, ["terms", "--accept-terms", "imagenet"], catch_exceptions=False)
    assert not Path("accepted-terms.json").exists()


def test_a_snapshot_of_the_original_is_converted_and_makes_images() -> None:
    snapshot = Path(__file__).parents[1] / "golden/pggan/snapshot_b.pkl"
    result = CliRunner().invoke(app, ["convert", str(snapshot), "network.safetensors"], catch_exceptions=False)
    assert "makes images of 8x8" in result.output
    for seed in ("1", "2"):
        arguments = ["generate", "network.safetensors", f"images/{seed}", "--count", "10", "--seed", seed]
        CliRunner().invoke(app, arguments, catch_exceptions=False)
    images = {seed: [path.read_bytes() for path in sorted(Path(f"images/{seed}").iterdir())] for seed in ("1", "2")}
    assert len(images["1"]) == len(set(images["1"])) == 10
    assert not set(images["1"]) & set(images["2"])
    assert Path("images/1/000009.png").is_file()
