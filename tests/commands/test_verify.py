"""`celebahq verify`: every changed byte is found and named, and none in files that are whole."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from pipeline import checksums, manifest
from pipeline.container import writing_container
from pipeline.errors import ParamsError
from pipeline.manifest import Photograph, Sharded
from pipeline.shards import layout
from pipeline.shards.verify_set import faults_of_set
from pipeline.trust import verify as verification
from pipeline.trust.fault import Fault
from pipeline.trust.verify import Result, Task
from stages import trust
from stages.__main__ import app
from tests.commands.small_data_set import make_data_set

FLIPS = 12
"""Of the 200 of `python -m benchmarks.verify`."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_data_set(tmp_path_factory.mktemp("whole") / "set")


@pytest.fixture
def data_set(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "set"))


def _flip(path: Path, place: int, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1 << bit
    path.write_bytes(content)


def _flips(folder: Path, count: int, seed: int) -> Iterator[tuple[Path, int, int]]:
    random = np.random.default_rng(seed)
    files = [*sorted(folder.glob("shard-*.h5")), *(folder / n for n in ("dataset.h5", layout.LABELS, "shard.parquet"))]
    for number in range(count):
        path = files[number % len(files)]
        yield path, int(random.integers(path.stat().st_size)), int(random.integers(8))


def test_no_fault_is_found_in_a_whole_data_set(whole: Path) -> None:
    result = CliRunner().invoke(app, ["verify", str(whole)], catch_exceptions=False)
    assert (result.exit_code, "no fault; 7 files" in result.output) == (0, True), result.output
    found = json.loads(CliRunner().invoke(app, ["verify", str(whole), "--json"], catch_exceptions=False).stdout)
    assert found["faults"] == found["without_digests"] == found["unlisted"] == []


def test_each_changed_byte_is_found_and_its_file_named(data_set: Path) -> None:
    """In one run for all: each flip is in a copy of its own of the file, next to the others."""
    changed: list[Path] = []
    for number, (path, place, bit) in enumerate(_flips(data_set, FLIPS, seed=5)):
        copy = data_set.parent / f"{number}" / path.name
        copy.parent.mkdir()
        shutil.copy(path, copy)
        (copy.parent / checksums.FILE).write_text((data_set / checksums.FILE).read_text())
        _flip(copy, place, bit)
        changed.append(copy)
    result = Result(data_set.parent)
    tasks = [task for path in changed for task in trust.tasks_of_file(path, result)]
    verification.run([task for task in tasks if task.path in changed], result, workers=2)
    assert {fault.file for fault in result.faults if "SHA-256" in fault.problem} == {*changed}


def test_a_pixel_is_named_by_file_level_and_image_also_without_digests(data_set: Path) -> None:
    (data_set / checksums.FILE).unlink()
    with h5py.File(data_set / "shard-00000.h5", "r+") as file:
        file["data16x16"][1, 0, 3, 3] ^= 1
    with h5py.File(data_set / "shard-00001.h5", "r+") as file:
        file["data4x4"][2, 0, 0, 0] ^= 1
    result = trust.verify(data_set)
    assert result.without_digests == [data_set]
    named = {(fault.file.name, fault.level, fault.image) for fault in result.faults}
    assert named == {
        ("shard-00000.h5", "16x16", "1.jpg"),
        ("shard-00001.h5", "4x4", "6.jpg"),
    }


def _other_labels(folder: Path) -> None:
    labels = np.load(folder / layout.LABELS)
    labels[3, 0] = 0.5
    np.save(folder / layout.LABELS, labels)


def _other_row(folder: Path, **values: Any) -> None:
    rows = manifest.read_kept(folder / "shard.parquet", Sharded)
    rows[2] = manifest.extend(rows[2], Sharded, **values)
    manifest.write_rows(folder / "shard.parquet", Sharded, rows)


def _other_map(folder: Path) -> None:
    with h5py.File(folder / layout.VIEW, "r+") as view:
        plane = h5py.VirtualLayout((8, 1, 4, 4), np.uint8)
        for start in (0, 4):  # both times the first shard
            plane[start : start + 4] = h5py.VirtualSource("shard-00000.h5", "data4x4", (4, 3, 4, 4))[:, 1:2]
        del view["channels/data4x4/green"]
        view.create_virtual_dataset("channels/data4x4/green", plane, fillvalue=0)


@pytest.mark.parametrize(
    ("change", "file", "problem"),
    [
        (_other_labels, layout.LABELS, "image 3: has other labels than the shard"),
        (partial(_other_row, image_md5="f" * 32), "shard.parquet", "image 2.jpg: image_md5 is f"),
        (partial(_other_row, row=4), "shard.parquet", "image 2.jpg: row 4 of shard-00000.h5: there is no such image"),
        (partial(_other_row, row=None), "shard.parquet", "row None of shard-00000.h5: there is no such image"),
        (partial(_other_row, row=3), "shard.parquet", "row 3 of shard-00000.h5: another row has this place"),
        (_other_map, layout.VIEW, "level 4x4: channels/data4x4/green does not show the images of the shards"),
        (lambda folder: (folder / layout.LABELS).unlink(), layout.LABELS, "is missing"),
        (lambda folder: (folder / "shard-00001.h5").unlink(), layout.VIEW, "has 2 values, but the shards 1"),
    ],
)
def test_view_labels_and_table_are_held_to_the_shards(
    data_set: Path, change: Callable[[Path], None], file: str, problem: str
) -> None:
    change(data_set)
    found = [*faults_of_set(data_set)]
    assert any(fault.file.name == file and problem in str(fault) for fault in found), found


def test_what_is_missing_or_unlisted_is_named_with_status_1(data_set: Path) -> None:
    (data_set / "samples.png").unlink()
    (data_set / "own.txt").write_text("notes")
    result = CliRunner().invoke(app, ["verify", str(data_set / "samples.png")])
    assert isinstance(result.exception, ParamsError)
    result = CliRunner().invoke(app, ["verify", str(data_set)], catch_exceptions=False)
    assert result.exit_code == 1
    assert f"{data_set / 'samples.png'}: is missing, but SHA256SUMS lists it" in result.output
    assert f"no digest is listed of {data_set / 'own.txt'}" in result.output


def test_images_in_containers_are_held_to_their_table(tmp_path: Path) -> None:
    folder = tmp_path / "extract"
    with writing_container(folder / "extract-00000.tar", "extract/extract-00000.tar") as container:
        stored = [container.add(f"{number}.jpg", bytes([number]) * 600) for number in range(3)]
    rows = [Photograph(index=n, file=f"{n}.jpg", photograph=place) for n, place in enumerate(stored)]
    manifest.write_rows(folder / "extract.parquet", Photograph, rows)
    assert trust.verify(tmp_path).faults == []
    _flip(folder / "extract-00000.tar", stored[1].offset + 5, 3)
    (fault,) = trust.verify(folder).faults
    assert (fault.file.name, fault.image) == ("extract-00000.tar", "1.jpg")


def _kill(path: Path) -> list[Fault]:
    os.kill(os.getpid(), signal.SIGKILL)
    return []


def _never_end(path: Path) -> list[Fault]:
    while path.exists():
        pass
    return []


def test_a_file_on_which_reading_never_ends_is_a_fault(whole: Path) -> None:
    """HDF5 loops for ever on some damaged bytes."""
    result = Result(whole)
    endless = Task(whole / "samples.png", check=_never_end, cpu_seconds=0.2)
    verification.run([endless, Task(whole / "shard.parquet", "0" * 64)], result, workers=2)
    assert [(fault.file.name, fault.problem.split()[0]) for fault in result.faults] == [
        ("samples.png", "kills"),
        ("shard.parquet", "its"),
    ]


def test_a_file_that_kills_its_reader_is_a_fault_and_the_others_are_verified(whole: Path) -> None:
    result = Result(whole)
    tasks = [Task(whole / "samples.png", check=_kill), Task(whole / "shard.parquet", "0" * 64)]
    verification.run(tasks, result, workers=2)
    assert [(fault.file.name, fault.problem.split()[0]) for fault in result.faults] == [
        ("samples.png", "kills"),
        ("shard.parquet", "its"),
    ]


@pytest.mark.parametrize("name", ["a b.h5", "back\\slash", "new\nline"])
def test_digests_are_those_of_coreutils(tmp_path: Path, name: str) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / name).write_bytes(b"x")
    for later in ("timing.csv", "interpolation.mp4", "network-000014016.md"):  # other times, or made anew by commands
        (tmp_path / later).write_text("0.1")
    checksums.write(tmp_path)
    assert checksums.read(tmp_path) == {f"below/{name}": hashlib.sha256(b"x").hexdigest()}
    subprocess.run(["sha256sum", "-c", "--strict", "--quiet", checksums.FILE], cwd=tmp_path, check=True)


def test_an_empty_list_of_digests_is_a_fault(data_set: Path) -> None:
    os.truncate(data_set / "SHA256SUMS", 0)
    result = CliRunner().invoke(app, ["verify", str(data_set)], catch_exceptions=False)
    assert result.exit_code == 1
    assert f"{data_set / 'SHA256SUMS'}: lists no file" in result.output
