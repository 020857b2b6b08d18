"""The parts of the benchmarks that decide what they say; their figures are for quiet machines, not for tests."""

import json
import shutil
from pathlib import Path

import pytest

from benchmarks import extraction, result, stages, workers
from pipeline.sources.archive import read_members

NAMES = [f"{number:06d}.jpg" for number in (1, 2, 3)]


def test_stages_are_listed_slowest_first_with_their_speed(tmp_path: Path) -> None:
    records = {"crop.json": (4.0, {"given": 80}), "train/demo.json": (50.0, {"loss": 1.0}), "shard.json": (0.0, {})}
    for name, (seconds, report) in records.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(json.dumps({"seconds": seconds, "report": report}))
    rows = stages.read(tmp_path)
    assert [(row["stage"], row["items"], row["items_per_second"]) for row in rows] == [
        ("train@demo", None, None),
        ("crop", 80, 20.0),
        ("shard", None, None),
    ]


def test_files_that_differ_or_are_missing_are_named() -> None:
    first, second = {"a": "1", "b": "1", "c": "1"}, {"a": "1", "b": "2", "d": "1"}
    assert workers.differing(first, second) == ["b", "c", "d"]
    assert workers.differing(first, dict(first)) == []


def test_digests_cover_what_is_published_and_not_what_is_in_work(tmp_path: Path) -> None:
    for name in ("data/crop/crop.parquet", "data/.work/crop-1/x", "reports/crop.json", "records/crop.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    assert sorted(workers.digests(tmp_path)) == ["data/crop/crop.parquet", "reports/crop.json"]


def test_a_result_names_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = result.keep("probe", {"seconds": 1.5})
    assert path.parent == result.RESULTS
    kept = json.loads(path.read_text())
    assert kept["seconds"] == 1.5
    assert kept["machine"] == result.machine()
    assert kept["machine"]["cores"] >= 1


def test_our_side_of_the_extraction_benchmark_extracts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert extraction.make(tmp_path / "img", 3, 40) == sum(p.stat().st_size for p in (tmp_path / "img").iterdir())
    contents = {path.read_bytes() for path in (tmp_path / "img").iterdir()}
    assert len(contents) == 3
    archive = Path(shutil.make_archive(str(tmp_path / "images"), "zip", tmp_path, "img"))
    extraction.extract_ours(archive, tmp_path / "out")
    assert 0 < float(capsys.readouterr().out) < 60
    assert {member.content for member in read_members(tmp_path / "out/extract-00000.tar", NAMES)} == contents
