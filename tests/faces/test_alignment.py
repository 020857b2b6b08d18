"""Photographs joined with annotations, and their rectangles: every input comes out once, each drop with its reason."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import columns, drops, manifest
from pipeline.errors import DropReason, RejectedInputError, SourceError
from pipeline.faces.alignment import (
    Annotated,
    Joined,
    Measured,
    align_photograph,
    join_annotations,
    keep_only,
    measure,
    write_joined,
)
from pipeline.manifest import Accounting, Detected, Drop, Photograph, Stored
from pipeline.params import AlignParams
from pipeline.suspicions import Suspicion

STORED = Stored(container="extract/extract-00000.tar", offset=512, size=7, md5="0" * 32)
FACE = (40.0, 40.0, 60.0, 40.0, 50.0, 50.0, 42.0, 62.0, 58.0, 62.0)
ROW = " ".join(f"{value:g}" for value in FACE)


def aligning(**values: object) -> AlignParams:
    """Params of align; `values` in place of the standard ones."""
    standard = {
        "photographs": "all",
        "rectangle": "landmarks",
        "enlarge": False,
        "resolution": 1024,
        "min_side_pixels": 32,
        "max_landmark_distance": 1.0,
        "max_megapixels": 100.0,
        "missing_attributes": "drop",
        "photographs_per_chunk": 8,
        "max_dropped": 0.5,
        "max_suspicious": 0.5,
    }
    return AlignParams.model_validate(standard | values)


def _join(
    folder: Path,
    files: dict[int, str],
    annotations: dict[str, str],
    rectangle: str = "landmarks",
    missing_attributes: str = "drop",
) -> "Result":
    table = folder / "extract.parquet"
    broken = Drop(index=77, file="000078.jpg", reason=DropReason.NOT_AN_IMAGE, detail="text")
    rows = [Photograph(index=index, file=file, photograph=STORED) for index, file in files.items()]
    manifest.write_rows(table, Photograph, [*rows, broken])
    for name, content in annotations.items():
        (folder / name).write_text(content)
    return Result.of(join_annotations(table, aligning(rectangle=rectangle, missing_attributes=missing_attributes)))


class Result(NamedTuple):
    """All that a join gives."""

    annotated: list[Annotated]
    dropped: list[Drop]
    warnings: Sequence[str]
    suspicions: Sequence[Suspicion]

    @classmethod
    def of(cls, joined: Joined) -> Self:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "joined.parquet")
            write_joined(path, joined)
            found = manifest.read_kept(path, Annotated), manifest.read_dropped(path)
            assert [*Path(folder).iterdir()] == [path]
        return cls(*found, joined.warnings, joined.suspicions)


def _measured(landmarks: tuple[float, ...] | None, width: int, height: int) -> Measured:
    values = {"index": 0, "file": "000001.jpg", "photograph": STORED, "split": None, "attributes": None}
    return Measured(**values, landmarks=landmarks, width=width, height=height)


def _reason(landmarks: tuple[float, ...] | None, width: int, height: int, **values: object) -> DropReason:
    with pytest.raises(RejectedInputError) as caught:
        align_photograph(_measured(landmarks, width, height), aligning(**values))
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


OTHER = " ".join(f"{value + 100:g}" for value in FACE)
SWAPPED = " ".join(f"{FACE[place]:g}" for place in (2, 3, 0, 1, 4, 5, 8, 9, 6, 7))


def test_several_rows_are_faces_and_each_comes_out_once(tmp_path: Path) -> None:
    files = {0: "000001.jpg", 1: "000002.jpg", 2: "000003.jpg"}
    rows = [("000001.jpg", OTHER), ("000002.jpg", ROW), ("000001.jpg", ROW), ("000001.jpg", "1 2"),
            ("000003.jpg", SWAPPED), ("000003.jpg", ROW), ("000009.jpg", ROW), ("000009.jpg", OTHER),
            ("000077.jpg", "1 2")]  # fmt: skip
    joined = _join(tmp_path, files, {"landmarks.txt": "".join(f"{file} {row}\n" for file, row in rows)})
    kept = [(row.index, row.face) for row in joined.annotated]
    assert kept == [(0, 0), (0, 1), (1, 0), (2, 0), (2, 1)]
    assert joined.annotated[1].landmarks == FACE
    assert [(drop.file, drop.index, drop.face, drop.reason) for drop in joined.dropped] == [
        ("000001.jpg", 0, 2, DropReason.ABSURD_LANDMARKS),
        ("000009.jpg", 8, 0, DropReason.NO_PHOTOGRAPH),
        ("000009.jpg", 8, 1, DropReason.NO_PHOTOGRAPH),
        ("000077.jpg", 76, 0, DropReason.NO_PHOTOGRAPH),
    ]
    assert [str(found) for found in joined.suspicions] == [
        "the first eye lies right of the second (the subject's left for the viewer's, or y before x?): "
        "1 of 5 (000003.jpg)",
        "the same five points in several photographs: 3 of 5 (000001.jpg, 000002.jpg, 000003.jpg)",
    ]


def test_eyes_in_the_other_order_are_mirrored_whichever_way_the_face_is_turned() -> None:
    points = np.array(FACE).reshape(5, 2) - 50
    for degrees in range(0, 360, 45):
        angle = np.radians(degrees)
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        turned = points @ turn + 50
        assert align_photograph(_measured(tuple(turned.ravel().tolist()), 100, 90), aligning()).zoom > 0
        swapped = tuple(turned[[1, 0, 2, 4, 3]].ravel().tolist())
        assert _reason(swapped, 100, 90) is DropReason.MIRRORED
    flipped = tuple((np.array(FACE).reshape(5, 2) * (1, -1) + (0, 90)).ravel().tolist())
    with pytest.raises(RejectedInputError, match=r"mirrored.*the mouth lies above the eyes"):
        align_photograph(_measured(flipped, 100, 90), aligning())
    swapped = tuple(map(float, SWAPPED.split()))  # of published photographs the pixels are known
    assert align_photograph(_measured(swapped, 100, 90), aligning(photographs="published")).zoom > 0


def test_rows_of_other_names_are_used_and_counted(tmp_path: Path) -> None:
    files = {0: "set1/000001.png", 1: "set1/IMG 2.JPG", 2: "set1/c.jpg"}
    annotations = {
        "landmarks.txt": f"000001.jpg {ROW}\nimg 2.jpg {ROW}\nc.jpg {OTHER}\n",
        "attributes.txt": "file,Young\nset1/000001,1\nset1/img 2,0\nc,1\n",
    }
    joined = _join(tmp_path, files, annotations)
    assert [(row.file, row.attributes) for row in joined.annotated] == [
        ("set1/000001.png", (1,)), ("set1/IMG 2.JPG", (-1,)), ("set1/c.jpg", (1,)),
    ]  # fmt: skip
    assert joined.dropped == []
    assert all(found.harmless for found in joined.suspicions)
    assert [str(found) for found in joined.suspicions] == [
        f"rows of {name} matched to photographs of another name ({kind}): 1 of 3 ({example})"
        for name, kind, example in (
            ("landmarks", "folder and suffix", "set1/000001.png = 000001.jpg"),
            ("landmarks", "folder and case", "set1/IMG 2.JPG = img 2.jpg"),
            ("landmarks", "folder", "set1/c.jpg = c.jpg"),
            ("attributes", "suffix", "set1/000001.png = set1/000001"),
            ("attributes", "suffix and case", "set1/IMG 2.JPG = set1/img 2"),
            ("attributes", "folder and suffix", "set1/c.jpg = c"),
        )
    ]


def test_fractions_become_pixels(tmp_path: Path) -> None:
    fractions = " ".join(str(value / side) for value, side in zip(FACE, (100, 80) * 5, strict=True))
    (row,) = _join(tmp_path, {0: "000001.jpg"}, {"landmarks.txt": f"000001.jpg {fractions}\n"}).annotated
    assert measure(row, 100, 80).landmarks == pytest.approx(FACE, abs=1e-4)
    (row,) = _join(tmp_path, {0: "000001.jpg"}, {"landmarks.txt": f"000001.jpg {ROW}\n"}).annotated
    assert measure(row, 100, 80).landmarks == FACE


def test_landmarks_of_the_stage_detect(tmp_path: Path) -> None:
    files = {0: "a.jpg", 1: "b.jpg", 2: "c.jpg", 3: "d.jpg"}
    photographs = [Photograph(index=index, file=file, photograph=STORED) for index, file in files.items()]
    manifest.write_rows(tmp_path / "extract.parquet", Photograph, photographs)
    found = {"box": (1.0, 2.0, 3.0, 4.0), "score": 0.9, "landmarks": FACE, "orientation": 1}
    detected = [
        manifest.extend(photographs[place], Detected, **found, face=face) for place, face in ((0, 0), (0, 2), (1, 0))
    ]
    none = Drop.of(photographs[2], RejectedInputError(DropReason.NO_LANDMARKS, "no face"))
    manifest.write_rows(tmp_path / "detect.parquet", Detected, [*detected, none])
    (tmp_path / "attributes.txt").write_text("a.jpg 1 -1\nc.jpg 1 1\nd.jpg 1 1\n")
    joined = Result.of(join_annotations(tmp_path / "extract.parquet", aligning(), tmp_path / "detect.parquet"))
    assert [(row.file, row.face, row.landmarks, row.attributes) for row in joined.annotated] == [
        ("a.jpg", 0, FACE, (1, -1)), ("a.jpg", 2, FACE, (1, -1)),
    ]  # fmt: skip
    assert [(drop.file, drop.reason) for drop in joined.dropped] == [
        ("b.jpg", DropReason.NO_ATTRIBUTES),
        ("d.jpg", DropReason.NO_LANDMARKS),
    ]


@pytest.mark.parametrize("seed", range(4))
def test_faces_of_detect_are_those_of_their_photographs(seed: int, tmp_path: Path) -> None:
    """In row groups that end anywhere; of photographs with faces, dropped, unknown there, and without attributes."""
    random = np.random.default_rng(seed)
    counts = {index: int(random.integers(-2, 4)) for index in range(0, 60, 2)}  # faces; -1: dropped, -2: unknown
    with_attributes = [index for index in counts if random.random() < 0.8]
    photographs = [Photograph(index=index, file=f"{index}.jpg", photograph=STORED) for index in counts]
    none = RejectedInputError(DropReason.NO_FACE, "no face")
    detected: list[Detected | Drop] = [Drop.of(row, none) for row in photographs if counts[row.index] == -1]
    values = {"box": (1.0, 2.0, 3.0, 4.0), "score": 0.9, "orientation": 1}
    for row in photographs:
        counts[row.index] = counts[row.index] or 1
        for face in range(counts[row.index]):
            landmarks = tuple(float(row.index * 8 + face + value) for value in range(10))
            detected.append(manifest.extend(row, Detected, **values, landmarks=landmarks, face=face))
    lines = [*(f"{index}.jpg 1 -1\n" for index in with_attributes), "oops\n"]
    (tmp_path / "attributes.txt").write_text("".join(lines))
    (tmp_path / "partition.txt").write_text("0.jpg 0\noops\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(columns, "ROWS_PER_GROUP", 1 + seed * 3)
        manifest.write_rows(tmp_path / "extract.parquet", Photograph, photographs)
        manifest.write_rows(tmp_path / "detect.parquet", Detected, detected)
        joined = Result.of(join_annotations(tmp_path / "extract.parquet", aligning(), tmp_path / "detect.parquet"))
    kept = [(index, face) for index in with_attributes for face in range(counts[index])]
    assert [(row.index, row.face) for row in joined.annotated] == kept
    assert [(row.landmarks or (0,))[0] for row in joined.annotated] == [index * 8 + face for index, face in kept]
    assert {drop.index: drop.reason for drop in joined.dropped} == {
        index: DropReason.NO_LANDMARKS if index in with_attributes else DropReason.NO_ATTRIBUTES
        for index, count in counts.items()
        if count == -2 or (count > 0 and index not in with_attributes)
    }


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
    row = align_photograph(_measured(FACE, 100, 90), aligning())
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


def test_the_limits_are_those_of_thealigning() -> None:
    far = (-99, *FACE[1:])
    assert align_photograph(_measured(far, 100, 90), aligning()).zoom > 0
    assert _reason(far, 100, 90, max_landmark_distance=0.5) is DropReason.ABSURD_LANDMARKS
    assert align_photograph(_measured(FACE, 100, 90), aligning(min_side_pixels=80)).zoom > 0
    assert _reason(FACE, 100, 90, min_side_pixels=81) is DropReason.TOO_SMALL


@pytest.mark.parametrize(
    ("width", "height", "reason"),
    [(64, 63, DropReason.NOT_SQUARE), (32, 32, DropReason.TOO_SMALL), (96, 96, DropReason.WRONG_SIDE),
     (100, 100, DropReason.WRONG_SIDE)],
)  # fmt: skip
def test_whole_images_of_other_shapes_are_dropped(width: int, height: int, reason: DropReason) -> None:
    assert _reason(None, width, height, rectangle="whole", resolution=64) is reason


@pytest.mark.parametrize(("width", "height"), [(64, 63), (96, 96)])
def test_other_shapes_name_the_option_that_takes_them(width: int, height: int) -> None:
    with pytest.raises(RejectedInputError, match=r"align\.rectangle: centre"):
        align_photograph(_measured(None, width, height), aligning(rectangle="whole", resolution=64))


@pytest.mark.parametrize(
    ("width", "height", "quad"),
    [
        (500, 500, (0, 0, 0, 500, 500, 500, 500, 0)),
        (178, 218, (0, 20, 0, 198, 178, 198, 178, 20)),
        (601, 400, (100, 0, 100, 400, 500, 400, 500, 0)),
        (64, 64, (0, 0, 0, 64, 64, 64, 64, 0)),
    ],
)
def test_the_largest_square_in_the_middle(width: int, height: int, quad: tuple[int, ...]) -> None:
    row = align_photograph(_measured(None, width, height), aligning(rectangle="centre", resolution=64))
    assert row.quad == quad
    assert row.zoom == 64 / min(width, height)


def test_small_squares_are_enlarged_only_where_params_say_so() -> None:
    assert _reason(None, 63, 90, rectangle="centre", resolution=64) is DropReason.TOO_SMALL
    row = align_photograph(_measured(None, 63, 90), aligning(rectangle="centre", resolution=64, enlarge=True))
    assert row.quad == (0, 13, 0, 76, 63, 76, 63, 13)
    assert _reason(None, 31, 90, rectangle="centre", resolution=64, enlarge=True) is DropReason.TOO_SMALL


@given(st.sampled_from([4, 64, 1024]), st.integers(0, 4))
def test_a_whole_image_is_its_own_rectangle(resolution: int, doublings: int) -> None:
    side = resolution << doublings
    row = align_photograph(_measured(None, side, side), aligning(rectangle="whole", resolution=resolution))
    assert row.quad == (0, 0, 0, side, side, side, side, 0)
    assert row.zoom == resolution / side


def test_only_photographs_of_the_list_go_on_and_the_others_are_not_faults(tmp_path: Path) -> None:
    files = {0: "000001.jpg", 1: "000002.jpg", 2: "000003.jpg"}
    rows = f"000001.jpg {ROW}\n000002.jpg {ROW}\n000005.jpg {ROW}\n000006.jpg {ROW}\n"
    joined = _join(tmp_path, files, {"landmarks.txt": rows})
    table = manifest.table_of(Annotated, [*joined.annotated, *joined.dropped])
    found = keep_only(table, {"000001.jpg", "000003.jpg", "000005.jpg"})
    assert found["index"].to_pylist() == table["index"].to_pylist()
    assert found.filter(found["drop_reason"].is_null())["file"].to_pylist() == ["000001.jpg"]
    manifest.write_tables(tmp_path / "kept.parquet", Annotated, [found])
    dropped = manifest.read_dropped(tmp_path / "kept.parquet")
    assert {drop.file: drop.reason for drop in dropped} == {
        "000002.jpg": DropReason.NOT_PUBLISHED,
        "000003.jpg": DropReason.NO_LANDMARKS,
        "000005.jpg": DropReason.NO_PHOTOGRAPH,
        "000006.jpg": DropReason.NOT_PUBLISHED,
    }
    reasons = {drop.reason.value: 1 for drop in dropped}
    account = Accounting(given=10, kept=2, dropped=reasons | {DropReason.NOT_PUBLISHED.value: 8})
    drops.check("align", account, 0.0, tmp_path / "align.parquet")
