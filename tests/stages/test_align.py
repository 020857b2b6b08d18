"""Stage align on a small source with every kind of bad input."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from pipeline import manifest
from pipeline.errors import SuspiciousInputError, TooManyDroppedError
from pipeline.faces import suspicious
from pipeline.faces.suspicious import ONE_PLACE
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
        "000003.jpg": "TRUNCATED",
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
    names = {path.name for path in TABLE.parent.iterdir()}
    assert names == {"align.parquet", "record.json", "SHA256SUMS", "suspicions.csv"}


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
    for earlier in ("measured.parquet", "measured.chunks/measured-000000/rows.parquet"):  # without rectangles
        (left / earlier).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(left / "align.parquet", left / earlier)
    align()
    assert TABLE.read_bytes() == whole
    assert not [*TABLE.parent.glob("measured*")]


def _stop(*_: object) -> None:
    raise KeyboardInterrupt


def test_landmarks_of_other_photographs_are_refused_before_any_rectangle(
    address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    aligned = ["69 109 106 113 77 142 73 152 108 154", "69 110 107 112 81 135 70 151 108 153",
               "76 112 104 106 108 128 74 156 98 158", "72 113 108 108 101 138 71 155 101 151"]  # fmt: skip
    sizes = [(178, 218)] * 4
    files = [f"{number:06d}.jpg" for number in range(1, 5)]

    def run(rows: list[str], sizes: list[tuple[int, int]]) -> None:
        shown = {file: photograph(1, "JPEG", size) for file, size in zip(files, sizes, strict=True)}
        write_extract(shown, "".join(f"{file} {row}\n" for file, row in zip(files, rows, strict=True)))
        choose(address, align={"max_dropped": 0.9, "max_suspicious": 0.5})
        align()

    run(aligned, sizes)
    assert "suspicions" not in capsys.readouterr().err, "a set of aligned images is as it should be"
    assert Path("data/align/suspicions.csv").read_text() == "kind,count,of,examples\n"
    wild = [(300, 400), (520, 400), (409, 687), (200, 300)]
    for rows, others, words in (
        (aligned, wild, "nearly the same five points, those of CelebA's aligned images .*: 4 of 4"),
        (aligned, [(260, 300)] * 4, "nearly the same five points, those of CelebA's aligned images .*: 4 of 4"),
        ([aligned[0]] * 4, [(260, 300)] * 4, "the same five points in several photographs: 4 of 4"),
        (["165 184 244 176 196 249 194 271 266 260", "140 204 220 204 168 254 146 289 226 289",
          "244 104 264 105 263 121 235 134 251 140", "100 100 140 104 120 130 102 150 142 152"],
         sizes, "photographs of 178 x 218 pixels.*: 4 of 4"),
        ([" ".join(str(float(v) + 300) for v in row.split()) for row in aligned], [(400, 300)] * 4,
         "most of the five points lie outside the photograph: 4 of 4"),
        (["60 70 100 74 80 90 62 110 92 114", "61 70 101 75 80 91 63 111 92 115",
          "59 71 100 74 81 90 62 109 91 114", "60 69 99 74 80 89 61 110 92 113"], wild,
         "nearly the same five points in photographs of different sizes: 4 of 4"),
    ):  # fmt: skip
        with pytest.raises(SuspiciousInputError, match=f"{words}.*align.max_suspicious"):
            run(rows, others)


def test_near_points_are_suspicious_only_in_photographs_of_several_sizes() -> None:
    """43 of 112 were reported, all of one size: 20 copies of a photograph, and a series of one face."""
    random = np.random.default_rng(1)
    face_52 = np.array([(160, 270), (300, 272), (230, 374), (162, 410), (292, 414)], np.float64)
    sizes_N2 = np.full((60, 2), 468.0) + np.arange(0.0, 60)[:, None] // 2 * np.array([[1.0, 2.0]])
    points_N52 = face_52 + np.linspace(-150, 150, 60)[:, None, None]
    files = [f"{number}.jpg" for number in range(60)]

    def found() -> list[str]:
        return [str(one) for one in suspicious.with_sizes(files, points_N52, sizes_N2) if one.kind == ONE_PLACE]

    points_N52[20:45], sizes_N2[20:45] = face_52 + random.random((25, 1, 1)), (468, 700)
    assert found() == []
    points_N52[20:40] = face_52
    sizes_N2[20:30] = (512, 700)
    assert found() == [], "two photographs and their copies are as few as two"
    sizes_N2[20:45, 0] += np.arange(25)
    assert found() == [f"{ONE_PLACE}: 25 of 60 (20.jpg, 21.jpg, 22.jpg, 23.jpg, 24.jpg, ...)"]


def test_squares_in_the_middle(address: str) -> None:
    sizes = {"a.png": (100, 100), "b.png": (178, 218), "c.png": (64, 40)}
    write_extract({name: photograph(1, "PNG", size) for name, size in sizes.items()}, "")
    Path("data/extract/landmarks.txt").unlink()
    choose(address, align={"rectangle": "centre", "resolution": 64, "max_dropped": 0.9}, superres={"method": "none"},
           fit_superres={"network": {"kind": "none"}})  # fmt: skip
    align()
    kept = [(row.file, row.quad[:2], row.zoom) for row in manifest.read_kept(TABLE, Aligned)]
    assert kept == [("a.png", (0, 0), 0.64), ("b.png", (0, 20), 64 / 178)]
    assert {row.file: row.reason.name for row in manifest.read_dropped(TABLE)} == {"c.png": "TOO_SMALL"}


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
