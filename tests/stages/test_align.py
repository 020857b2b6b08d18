"""Stage align on a small source with every kind of bad input."""

import json
from pathlib import Path

import pytest

from pipeline import manifest
from pipeline.errors import TooManyDroppedError
from pipeline.manifest import Aligned
from stages.align import align
from tests.stages.faces import LANDMARKS, choose, photograph, write_extract

TABLE = Path("data/align/align.parquet")


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def _source() -> None:
    files = {f"{number:06d}.jpg": photograph(number) for number in range(1, 10)}
    files["000003.jpg"] = b"\xff\xd8\xffnot much of an image"
    files["000004.jpg"] = photograph(4)[:2000]
    rows = {f"{number:06d}.jpg": LANDMARKS for number in (1, 3, 4, 5, 6, 7, 8, 12)}
    rows["000005.jpg"] = "9999 70 100 74 80 90 62 110 92 114"
    rows["000006.jpg"] = "260 70 300 74 280 90 262 110 292 114"
    rows["000007.jpg"] = "60 70 64 70 62 72 60 74 64 74"
    rows["000008.jpg"] = "60 70 100"
    lines = "".join(f"{file}  {values}\r\n" for file, values in rows.items())
    write_extract(files, f"202599\r\n{lines}")


def test_every_input_is_kept_or_dropped_with_its_reason(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    _source()
    choose(address, align={"max_dropped": 0.9, "photographs_per_chunk": 2})
    align()
    kept = manifest.read_kept(TABLE, Aligned)
    assert [(row.index, row.file) for row in kept] == [(0, "000001.jpg"), (3, "000004.jpg")]
    assert (kept[0].width, kept[0].height) == (170, 190)
    assert kept[0].landmarks == tuple(map(float, LANDMARKS.split()))
    assert {row.file: row.reason.name for row in manifest.read_dropped(TABLE)} == {
        "000002.jpg": "NO_LANDMARKS",
        "000003.jpg": "UNDECODABLE",
        "000005.jpg": "ABSURD_LANDMARKS",
        "000006.jpg": "OUTSIDE_IMAGE",
        "000007.jpg": "TOO_SMALL",
        "000008.jpg": "ABSURD_LANDMARKS",
        "000009.jpg": "NO_LANDMARKS",
        "000012.jpg": "NO_PHOTOGRAPH",
    }
    report = json.loads(Path("reports/align.json").read_text())
    assert report["given"] == 10
    assert report["kept"] + sum(report["dropped"].values()) == report["given"]
    assert report["warnings"] == 1
    assert "202599" in capsys.readouterr().err
    assert {path.name for path in TABLE.parent.iterdir()} == {"align.parquet", "record.json", "suspicions.csv"}


def test_the_size_of_the_chunks_changes_no_byte(address: str) -> None:
    _source()
    contents: set[bytes] = set()
    for size in (1, 4, 256):
        choose(address, align={"max_dropped": 0.9, "photographs_per_chunk": size})
        align()
        contents.add(TABLE.read_bytes())
    assert len(contents) == 1


def test_too_many_drops_end_the_run_and_publish_nothing(address: str) -> None:
    _source()
    choose(address, align={"max_dropped": 0.5})
    with pytest.raises(TooManyDroppedError, match=r"[678] of 10"):  # it ends early
        align()
    assert not TABLE.exists()


def test_a_run_stopped_after_its_last_table_ends_the_same(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _source()
    choose(address, align={"max_dropped": 0.9})
    align()
    whole = TABLE.read_bytes()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("pipeline.atomic.publish", _stop)
        align()
    (left,) = Path("data/.work").glob("align-*/")
    assert (left / "align.parquet").exists()
    align()
    assert TABLE.read_bytes() == whole


def _stop(*_: object) -> None:
    raise KeyboardInterrupt


def test_images_that_are_square_already(address: str) -> None:
    sizes = {"a.png": (64, 64), "b.png": (256, 256), "c.png": (64, 65), "d.png": (32, 32), "e.png": (192, 192)}
    write_extract({name: photograph(1, "PNG", size) for name, size in sizes.items()}, "")
    Path("data/extract/landmarks.txt").unlink()
    choose(address, align={"rectangle": "whole", "resolution": 64, "max_dropped": 0.9}, superres={"method": "none"},
           fit_superres={"network": {"kind": "none"}})  # fmt: skip
    align()
    assert [(row.file, row.zoom) for row in manifest.read_kept(TABLE, Aligned)] == [("a.png", 1.0), ("b.png", 0.25)]
    reasons = {row.file: row.reason.name for row in manifest.read_dropped(TABLE)}
    assert reasons == {"c.png": "NOT_SQUARE", "d.png": "TOO_SMALL", "e.png": "WRONG_SIDE"}
