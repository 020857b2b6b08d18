"""Photographs joined with annotations, and their rectangles: every input comes out once, each drop with its reason."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import drops, manifest
from pipeline.errors import DropReason, RejectedInputError, SourceError
from pipeline.faces.alignment import Annotated, Joined, align_photograph, join_annotations, keep_only
from pipeline.manifest import Accounting, Drop, Photograph, Stored
from pipeline.params import AlignParams

STORED = Stored(container="extract/extract-00000.tar", offset=512, size=7, md5="0" * 32)
FACE = (40.0, 40.0, 60.0, 40.0, 50.0, 50.0, 42.0, 62.0, 58.0, 62.0)
ROW = " ".join(f"{value:g}" for value in FACE)


def _params(**values: object) -> AlignParams:
    standard = {
        "photographs": "all",
        "rectangle": "landmarks",
        "resolution": 1024,
        "min_side_pixels": 32,
        "max_landmark_distance": 1.0,
        "max_megapixels": 100.0,
        "missing_attributes": "drop",
        "photographs_per_chunk": 8,
        "max_dropped": 0.5,
    }
    return AlignParams.model_validate(standard | values)


def _join(
    folder: Path,
    files: dict[int, str],
    annotations: dict[str, str],
    rectangle: str = "landmarks",
    missing_attributes: str = "drop",
) -> Joined:
    table = folder / "extract.parquet"
    broken = Drop(index=77, file="000078.jpg", reason=DropReason.NOT_AN_IMAGE, detail="text")
    rows = [Photograph(index=index, file=file, photograph=STORED) for index, file in files.items()]
    manifest.write_rows(table, Photograph, [*rows, broken])
    for name, content in annotations.items():
        (folder / name).write_text(content)
    return join_annotations(table, _params(rectangle=rectangle, missing_attributes=missing_attributes))


def _annotated(landmarks: tuple[float, ...] | None) -> Annotated:
    return Annotated(index=0, file="000001.jpg", photograph=STORED, split=None, attributes=None, landmarks=landmarks)


def _reason(landmarks: tuple[float, ...] | None, width: int, height: int, **values: object) -> DropReason:
    with pytest.raises(RejectedInputError) as caught:
        align_photograph(_annotated(landmarks), width, height, _params(**values))
    assert caught.value.detail
    return caught.value.reason


def test_every_photograph_and_every_row_without_one_comes_out_once(tmp_path: Path) -> None:
    files = {0: "000001.jpg", 1: "000002.jpg", 2: "000003.jpg", 4: "000005.jpg", 5: "portrait.jpg"}
    rows = {"000001.jpg": ROW, "000003.jpg": "1 2 3", "000005.jpg": ROW, "000078.jpg": ROW, "000009.jpg": ROW}
    lines = "".join(f"{file} {values}\n" for file, values in rows.items())
    joined = _join(tmp_path, files, {"landmarks.txt": lines + f"000006.jpg 1 2\nstranger.jpg {ROW}\n"})
    assert [(row.index, row.landmarks) for row in joined.annotated] == [(0, FACE), (4, FACE)]
    dropped = {row.file: (row.index, row.reason) for row in joined.dropped}
    assert len(dropped) == len(joined.dropped)
    assert dropped == {
        "000002.jpg": (1, DropReason.NO_LANDMARKS),
        "portrait.jpg": (5, DropReason.NO_LANDMARKS),
        "000003.jpg": (2, DropReason.ABSURD_LANDMARKS),
        "000009.jpg": (8, DropReason.NO_PHOTOGRAPH),  # its CelebA number
        "000006.jpg": (78, DropReason.NO_PHOTOGRAPH),  # its number is taken by portrait.jpg
        "stranger.jpg": (79, DropReason.NO_PHOTOGRAPH),
    }
    details = {row.file: row.detail for row in joined.dropped}
    assert "landmarks.txt, line 2" in details["000003.jpg"]
    assert "000009.jpg" in details["000009.jpg"]


@pytest.mark.parametrize("rectangle", ["landmarks", "whole"])
def test_split_and_attributes_go_with_the_photograph(tmp_path: Path, rectangle: str) -> None:
    files = {index: f"00000{index + 1}.jpg" for index in range(5)}
    annotations = {
        "landmarks.txt": "".join(f"{file} {ROW}\n" for file in files.values()),
        "partition.txt": "000001.jpg 2\n000002.jpg x\n",
        "attributes.txt": "9\n000001.jpg -1  1\n000003.jpg 1 2\n000004.jpg 1\n000005.jpg 1 1\n",
    }
    joined = _join(tmp_path, files, annotations, rectangle)
    assert [(row.index, row.split, row.attributes) for row in joined.annotated] == [
        (0, "test", (-1, 1)),
        (4, None, (1, 1)),
    ]
    assert {drop.file: drop.reason for drop in joined.dropped} == dict.fromkeys(
        ("000002.jpg", "000003.jpg", "000004.jpg"), DropReason.NO_ATTRIBUTES
    )
    details = [drop.detail for drop in joined.dropped]
    assert details[0] == "attributes.txt has no row 000002.jpg"
    assert details[1].startswith("attributes.txt, line 3: '000003.jpg 1 2' is not")
    assert details[2] == "attributes.txt: the row of 000004.jpg has 1 attributes, others have 2"
    assert [warning.split(":")[0] for warning in joined.warnings] == ["attributes.txt", "partition.txt, line 2"]

    unknown = _join(tmp_path, files, annotations, rectangle, missing_attributes="unknown")
    assert [row.attributes for row in unknown.annotated] == [(-1, 1), (0, 0), (0, 0), (0, 0), (1, 1)]
    assert unknown.dropped == []
    assert len(unknown.warnings) == 4


def test_whole_images_need_no_landmarks(tmp_path: Path) -> None:
    joined = _join(tmp_path, {0: "a.png", 1: "b.png"}, {"partition.txt": "a.png 0\n"}, "whole")
    assert [(row.file, row.split, row.landmarks) for row in joined.annotated] == [
        ("a.png", "train", None),
        ("b.png", None, None),
    ]
    assert joined.dropped == []


def test_a_source_without_landmarks_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"align\.rectangle"):
        _join(tmp_path, {0: "a.png"}, {})


def test_a_face_gets_its_rectangle() -> None:
    row = align_photograph(_annotated(FACE), 100, 90, _params())
    assert (row.width, row.height, row.landmarks) == (100, 90, FACE)
    assert row.zoom == pytest.approx(1024 / 80)
    assert np.array(row.quad).reshape(4, 2).mean(axis=0) == pytest.approx([50.5, 42.7], abs=1e-4)


def _moved(x: float, y: float) -> tuple[float, ...]:
    return tuple((np.array(FACE).reshape(5, 2) + np.array([x, y])).ravel().tolist())


@pytest.mark.parametrize(
    ("landmarks", "reason"),
    [
        ((float("nan"), *FACE[1:]), DropReason.ABSURD_LANDMARKS),
        ((float("inf"), *FACE[1:]), DropReason.ABSURD_LANDMARKS),
        ((3e38, *FACE[1:]), DropReason.ABSURD_LANDMARKS),
        ((-101, *FACE[1:]), DropReason.ABSURD_LANDMARKS),
        ((*FACE[:5], 201, *FACE[6:]), DropReason.ABSURD_LANDMARKS),
        ((*FACE[:2], *FACE[:2], *FACE[4:]), DropReason.ABSURD_LANDMARKS),
        (_moved(70, 0), DropReason.OUTSIDE_IMAGE),
        (_moved(0, -80), DropReason.OUTSIDE_IMAGE),
    ],
)
def test_landmarks_that_cannot_be_are_dropped(landmarks: tuple[float, ...], reason: DropReason) -> None:
    assert _reason(landmarks, 100, 90) is reason


def test_the_limits_are_those_of_the_params() -> None:
    far = (-99, *FACE[1:])
    assert align_photograph(_annotated(far), 100, 90, _params()).zoom > 0
    assert _reason(far, 100, 90, max_landmark_distance=0.5) is DropReason.ABSURD_LANDMARKS
    assert align_photograph(_annotated(FACE), 100, 90, _params(min_side_pixels=80)).zoom > 0
    assert _reason(FACE, 100, 90, min_side_pixels=81) is DropReason.TOO_SMALL


@pytest.mark.parametrize(
    ("width", "height", "reason"),
    [(64, 63, DropReason.NOT_SQUARE), (32, 32, DropReason.TOO_SMALL), (96, 96, DropReason.WRONG_SIDE),
     (100, 100, DropReason.WRONG_SIDE)],
)  # fmt: skip
def test_whole_images_of_other_shapes_are_dropped(width: int, height: int, reason: DropReason) -> None:
    assert _reason(None, width, height, rectangle="whole", resolution=64) is reason


@given(st.sampled_from([4, 64, 1024]), st.integers(0, 4))
def test_a_whole_image_is_its_own_rectangle(resolution: int, doublings: int) -> None:
    side = resolution << doublings
    row = align_photograph(_annotated(None), side, side, _params(rectangle="whole", resolution=resolution))
    assert row.quad == (0, 0, 0, side, side, side, side, 0)
    assert row.zoom == resolution / side


def test_only_photographs_of_the_list_go_on_and_the_others_are_not_faults(tmp_path: Path) -> None:
    files = {0: "000001.jpg", 1: "000002.jpg", 2: "000003.jpg"}
    rows = f"000001.jpg {ROW}\n000002.jpg {ROW}\n000005.jpg {ROW}\n000006.jpg {ROW}\n"
    joined = keep_only(_join(tmp_path, files, {"landmarks.txt": rows}), {"000001.jpg", "000003.jpg", "000005.jpg"})
    assert [row.file for row in joined.annotated] == ["000001.jpg"]
    assert {drop.file: drop.reason for drop in joined.dropped} == {
        "000002.jpg": DropReason.NOT_PUBLISHED,
        "000003.jpg": DropReason.NO_LANDMARKS,
        "000005.jpg": DropReason.NO_PHOTOGRAPH,
        "000006.jpg": DropReason.NOT_PUBLISHED,
    }
    reasons = {drop.reason.value: 1 for drop in joined.dropped}
    account = Accounting(given=10, kept=2, dropped=reasons | {DropReason.NOT_PUBLISHED.value: 8})
    drops.check("align", account, 0.0, tmp_path / "align.parquet")
