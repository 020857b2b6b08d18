"""The benchmarks of large tables, on small ones."""

import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from benchmarks import lsun_index, rehearsal, rehearsal_stage, tables
from pipeline import manifest
from pipeline.faces import suspicious
from pipeline.faces.alignment import Annotated, join_annotations, write_joined
from pipeline.faces.formats import check_picture
from pipeline.faces.landmarks import read_attributes
from pipeline.params import SyntheticSource
from stages import plan, read_params

ROOT = Path(__file__).parents[2]
DRAWN = rehearsal_stage.DRAWN


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_steps_of_a_large_lsun_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lsun_index, "PER_SHARD", 70)
    lsun_index.make(tmp_path / "data.mdb", 200)
    lsun_index.index(tmp_path)
    lsun_index.look_up(tmp_path)
    lsun_index.order(tmp_path)
    lsun_index.join(tmp_path)
    assert len(list((tmp_path / "parts").iterdir())) == 3
    assert manifest.account(tmp_path / "lsun.parquet").given == 200


def test_photographs_of_a_rehearsal_are_distinct_and_good() -> None:
    source = SyntheticSource(
        kind="synthetic", photographs=600, bad_photographs=1, face_pixels_min=24, face_pixels_max=25, seed=1
    )
    items = [rehearsal_stage.varied(source, number) for number in (3, 3 + DRAWN, 3 + 2 * DRAWN)]
    assert len({item.content for item in items}) == len({item.landmarks for item in items}) == 3
    for item in items:
        check_picture(item.content or b"")


@pytest.mark.parametrize("networks", [False, True])
def test_the_params_of_a_rehearsal_are_planned(networks: bool) -> None:
    for folder in ("profiles", "manifests"):
        Path(folder).symlink_to(ROOT / folder)
    params = rehearsal.params_of(202_599, 64, networks=networks, workers=2, scheduler=None)
    needs = plan.disk_needs(params)
    items = {need.stage: need.items for need in needs}
    assert items["crop"] == 202_599
    assert items["shard"] == 30_000
    took = {"processor_seconds": 190.0, "serial_seconds": 10.0, "stage_seconds": 125.0, "bytes": 2_000_000}
    said = [plan.Need("crop", 9, 0, 1_000_000, 1_000_000, seconds=50.0), plan.Need("train@demo", 1, 0, 0, 0)]
    assert rehearsal.compared(params, said, {"crop": took}) == {
        "crop seconds plan by measured": 0.4,
        "crop processor seconds plan by measured": 0.5,
        "crop bytes plan by measured": 0.5,
    }


def test_memory_of_this_process_is_watched() -> None:
    with rehearsal.Watched(os.getpid(), {}) as watched:
        held = bytearray(os.urandom(1 << 20)) * 64
        while not watched.samples:
            pass
    assert watched.peak("main") >= len(held) >> 20
    assert watched.course("main") == []
    assert rehearsal.growth([]) is None


def test_the_memory_of_a_long_stage_is_shown_over_its_time() -> None:
    watched = rehearsal.Watched(1, {})
    begin = [1.0] * rehearsal.FIRST
    watched.parts = {1: "main", 2: "worker", 3: "worker"}
    watched.samples = {1: begin, 2: begin + [100.0] * 200, 3: begin + [100.0] * 100 + [150.0] * 100}
    course = watched.course("worker")
    assert course == [100.0] * 10 + [150.0] * 10
    assert rehearsal.growth(course) == 1.5


def test_drawn_tables_are_joined_with_their_annotations() -> None:
    tables.draw(50)
    joined = join_annotations(Path("data/extract/extract.parquet"), read_params().align)
    write_joined(Path("joined.parquet"), joined)
    faces = manifest.read_kept(Path("joined.parquet"), Annotated)
    assert len(faces) == 50
    assert all(face.landmarks and face.split and len(face.attributes or ()) == 40 for face in faces)


def test_rows_of_annotations_are_made_one_by_one(tmp_path: Path) -> None:
    """All rows of CelebA's 40 attributes at once would take half a gigabyte."""
    file = tmp_path / "attributes.txt"
    file.write_text("\n".join(f"{number:06d}.jpg " + " ".join(["-1", " 1", "-1"] * 13) for number in range(9000)))
    tracemalloc.start()
    found = read_attributes(file)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found.values) == 9000 and peak < 4 * file.stat().st_size


def test_what_landmarks_show_is_found_with_little_memory(tmp_path: Path) -> None:
    """Sorted as bytes, with an inverse, five points took four times their own memory more."""
    count = 20_000
    points_N52 = np.random.default_rng(1).normal(50, 9, (count, 5, 2))
    files = [*map(str, range(count))]
    tracemalloc.start()
    suspicious.of_landmarks(files, points_N52, normalised=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.5 * points_N52.nbytes
