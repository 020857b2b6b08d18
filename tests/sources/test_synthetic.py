"""The synthetic set: CelebA's layout, bad files of every kind, the same bytes each time."""

import os
from pathlib import Path

import pytest

from pipeline.demo import annotations
from pipeline.demo.faults import QUOTA_PAGE, Fault
from pipeline.demo.person import ATTRIBUTES
from pipeline.params import SyntheticSource
from pipeline.sources import archive
from pipeline.sources.synthetic import Synthetic, plan

SOURCE = SyntheticSource(
    kind="synthetic", photographs=4, bad_photographs=9, face_pixels_min=40, face_pixels_max=60, seed=5
)
FIRST = "Img/img_celeba.7z/img_celeba.7z.001"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic")
    Synthetic(SOURCE).fill(SOURCE, None, folder)
    return folder


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _marks(folder: Path) -> dict[str, list[int]]:
    lines = (folder / "Anno/list_landmarks_celeba.txt").read_text().splitlines()
    return {row.split()[0]: [int(value) for value in row.split()[1:]] for row in lines[2:]}


def test_the_tree_is_celebas_and_its_bytes_repeat(folder: Path, tmp_path: Path) -> None:
    before = os.umask(0o077)
    contents = Synthetic(SOURCE).fill(SOURCE, None, tmp_path)
    os.umask(before)
    assert (contents.images, contents.numbering) == (FIRST, "celeba")
    assert _files(tmp_path) == _files(folder)
    assert set(_files(folder)) == {
        FIRST, "Anno/list_landmarks_celeba.txt", "Anno/list_attr_celeba.txt", "Eval/list_eval_partition.txt",
    }  # fmt: skip


def test_each_fault_is_in_the_set(folder: Path) -> None:
    names = archive.list_members(folder / FIRST)
    members = {n.removeprefix("img_celeba/"): content for n, content in archive.read_members(folder / FIRST, names)}
    marks = _marks(folder)
    every = {f"{number:06d}.jpg" for number in range(1, 14)}
    assert len(every - members.keys()) == 1
    assert len(every - marks.keys()) == 1
    assert list(members.values()).count(QUOTA_PAGE) == 1
    assert list(members.values()).count(b"") == 1
    assert sum(row == [99999] * 10 for row in marks.values()) == 1
    assert sum(max(row[::2]) < 0 for row in marks.values()) == 1
    assert sum(0 < row[2] - row[0] < 8 for row in marks.values()) == 1
    whole = [content.endswith(b"\xff\xd9") for content in members.values() if content.startswith(b"\xff\xd8")]
    assert whole.count(False) == 2


def test_every_file_has_a_split_and_attributes(folder: Path) -> None:
    splits = (folder / "Eval/list_eval_partition.txt").read_bytes().decode().split("\r\n")
    wanted = [0] * 11 + [1, 2]
    assert splits[:-1] == [f"{number:06d}.jpg {split}" for number, split in enumerate(wanted, start=1)]
    lines = (folder / "Anno/list_attr_celeba.txt").read_text().splitlines()
    assert lines[0] == "13"
    assert lines[1].split() == list(ATTRIBUTES)
    assert all(len(line.split()) == 41 for line in lines[2:])


def test_the_plan_cycles_through_all_faults_at_places_that_the_seed_decides() -> None:
    source = SOURCE.model_copy(update={"photographs": 100, "bad_photographs": 20})
    planned = plan(source)
    assert len(planned) == 20
    assert set(planned) <= set(range(1, 121))
    assert sorted(occurrence for fault, occurrence in planned.values() if fault is Fault.ABSURD_LANDMARKS) == [0, 1]
    assert {fault for fault, _ in planned.values()} == set(Fault)
    assert set(plan(source.model_copy(update={"seed": 6}))) != set(planned)


def test_a_good_photograph_does_not_depend_on_how_many_there_are(folder: Path, tmp_path: Path) -> None:
    more = SOURCE.model_copy(update={"photographs": 2, "bad_photographs": 0})
    Synthetic(more).fill(more, None, tmp_path)
    marks = _marks(folder)
    bad = set(plan(SOURCE))
    same = [n for n in (1, 2) if n not in bad]
    assert all(_marks(tmp_path)[f"{n:06d}.jpg"] == marks[f"{n:06d}.jpg"] for n in same)


def test_text_forms_are_the_published_ones() -> None:
    row = (165, 184, 244, 176, 196, 249, 194, 271, 266, 60)
    text = annotations.landmarks_text({"000001.jpg": row}).decode()
    assert text.split("\r\n")[0] == "1"
    assert text.split("\r\n")[2] == "000001.jpg 165  184  244  176  196  249  194  271  266  60"
    attributes = annotations.attributes_text({"000001.jpg": [1, -1] * 20}).decode()
    assert attributes.split("\n")[2].startswith("000001.jpg  1 -1  1 -1")
