"""CelebA's annotation files as they are found: line ends, spaces, counts, and rows that cannot be read."""

import gzip
import json
import tarfile
from collections import Counter
from pathlib import Path, PurePosixPath

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import manifest
from pipeline.errors import DropReason, SourceError
from pipeline.faces import five_points
from pipeline.faces.landmarks import LANDMARK_COLUMNS, read_attributes, read_landmarks, read_partition
from pipeline.manifest import Detected, Drop, Stored
from tests.outside import REAL

HEAD = " ".join(LANDMARK_COLUMNS)
ROW = "69 109 106 113 77 142 73 152 108 154"
POINTS = (69.0, 109.0, 106.0, 113.0, 77.0, 142.0, 73.0, 152.0, 108.0, 154.0)


def _file(folder: Path, *lines: str, end: str = "\n") -> Path:
    path = folder / "annotations.txt"
    path.write_bytes("".join(line + end for line in lines).encode())
    return path


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("gap", [" ", "   ", "\t"])
@pytest.mark.parametrize("head", [("2", HEAD), ("2", HEAD + "  "), (HEAD,), ("2",), ()])
def test_every_known_layout_reads_the_same(tmp_path: Path, end: str, gap: str, head: tuple[str, ...]) -> None:
    row = ROW.replace(" ", gap)
    found = read_landmarks(_file(tmp_path, *head, f"000001.jpg{gap}{row} ", f"000002.jpg{gap}{row}", "", end=end))
    assert found.values == {"000001.jpg": (POINTS,), "000002.jpg": (POINTS,)}
    assert found.errors == {}
    assert found.warnings == ()
    assert found.columns in ((), LANDMARK_COLUMNS)


def test_the_last_line_needs_no_end_and_the_first_may_start_with_a_mark(tmp_path: Path) -> None:
    path = tmp_path / "annotations.txt"
    path.write_bytes(b"\xef\xbb\xbf1\n" + f"{HEAD}\n000001.jpg {ROW}".encode())
    assert read_landmarks(path).values == {"000001.jpg": (POINTS,)}


def test_a_wrong_count_is_a_warning(tmp_path: Path) -> None:
    found = read_landmarks(_file(tmp_path, "202599", HEAD, f"000001.jpg {ROW}"))
    assert len(found.values) == 1
    assert found.warnings == ("annotations.txt: line 1 says 202599 rows, found are 1",)


@pytest.mark.parametrize("fault", ["", "1 2 3", ROW + " 7", ROW.replace("142", "x"), ROW.replace("142", "1,5")])
def test_a_row_that_cannot_be_read_is_kept_as_a_fault(tmp_path: Path, fault: str) -> None:
    found = read_landmarks(_file(tmp_path, "2", HEAD, f"000001.jpg {ROW}", f"000002.jpg {fault}"))
    assert (list(found.values), list(found.errors)) == (["000001.jpg"], ["000002.jpg"])
    assert found.errors["000002.jpg"].startswith("annotations.txt, line 4: ")
    assert found.warnings == ()


def test_several_rows_of_a_photograph_are_faces_and_equal_rows_are_one(tmp_path: Path) -> None:
    other = ROW.replace("69", "70")
    rows = [f"a.jpg {ROW}", f"b.jpg {ROW}", f"a.jpg {other}", f"a.jpg {ROW}", "b.jpg 1 2"]
    found = read_landmarks(_file(tmp_path, "5", HEAD, *rows))
    assert found.values == {"a.jpg": (POINTS, (70.0, *POINTS[1:])), "b.jpg": (POINTS,)}
    assert list(found.errors) == ["b.jpg"]
    assert found.warnings == ("annotations.txt: 1 rows are there twice (a.jpg); each is used once",)


def test_unknown_columns_are_refused(tmp_path: Path) -> None:
    columns = ["chin_x", *LANDMARK_COLUMNS[1:]]
    with pytest.raises(SourceError, match=r"chin_x lefteye_y .* in any order"):
        read_landmarks(_file(tmp_path, "1", " ".join(columns), f"000001.jpg {ROW}"))


VALUES = ROW.replace(" ", ",")
SHUFFLED = "righteye_x righteye_y lefteye_x lefteye_y nose_x nose_y rightmouth_y rightmouth_x leftmouth_x leftmouth_y"
SHUFFLED_ROW = "106 113 69 109 77 142 154 108 73 152"
NAMES = ("IMG 001.jpg", "b.jpg")
POINTS_52 = [list(pair) for pair in zip(POINTS[::2], POINTS[1::2], strict=True)]
NAMED = dict(zip(("left_eye", "right_eye", "nose", "mouth_left", "mouth_right"), POINTS_52, strict=True))


def _csv(head: str, row: str) -> str:
    return "\r\n".join([head, *(row.replace("NAME", name) for name in NAMES)]).lstrip()


TABLES: dict[str, str | bytes] = {
    "text": f"2\n{HEAD}\n" + "".join(f"{name}  {ROW}\n" for name in NAMES),
    "text, quoted": "".join(f'"{name}" {ROW}\n' for name in NAMES),
    "text, columns by header": "".join([f"image_id {SHUFFLED}\n", *(f"{name} {SHUFFLED_ROW}\n" for name in NAMES)]),
    "kaggle": _csv(f"image_id,{HEAD.replace(' ', ',')}", f"NAME,{VALUES}"),
    "no header": _csv("", f"NAME,{VALUES}"),
    "quoted": _csv(f'"file","{HEAD.replace(" ", chr(34) + "," + chr(34))}"', f'"NAME",{VALUES}'),
    "spaces after commas": _csv(f"file, {HEAD.replace(' ', ', ')}", f"NAME, {VALUES.replace(',', ', ')}"),
    "semicolons": _csv(f"file;{HEAD.replace(' ', ';')}", f"NAME;{VALUES.replace(',', ';')}"),
    "decimal commas": _csv(f"file;{HEAD.replace(' ', ';')}", f"NAME;{ROW.replace(' ', ',0;')},0"),
    "decimal commas, no header": _csv("", f"NAME;{ROW.replace(' ', ',0;')},0"),
    "tabs": _csv(f"file\t{HEAD.replace(' ', chr(9))}", f"NAME\t{ROW.replace(' ', chr(9))}"),
    "columns by header": _csv(f"{SHUFFLED.replace(' ', ',')},name", f"{SHUFFLED_ROW.replace(' ', ',')},NAME"),
    "other spellings": _csv(
        "FileName,Left_Eye_X,LeftEyeY,x_right_eye,right_eye_center_y,NoseTipX,nose_y,mouth_left_x,leftMouthCornerY,"
        "mouth_r_x,rmouth_y",
        f"NAME,{VALUES}",
    ),
    "numbered points": _csv("file,x1,y1,x2,y2,x3,y3,x4,y4,x5,y5", f"NAME,{VALUES}"),
    "a box before numbered points": _csv(
        "file,x1,y1,x2,y2," + ",".join(f"lm{point}_{axis}" for point in range(1, 6) for axis in "xy"),
        f"NAME,1,2,3,4,{VALUES}",
    ),
    "a box after numbered points": _csv(
        "file," + ",".join(f"lm{point}_{axis}" for point in range(1, 6) for axis in "xy") + ",x1,y1,x2,y2",
        f"NAME,{VALUES},1,2,3,4",
    ),
    "OpenFace, with points in space": _csv(
        "file," + ",".join(f"{axis}_{point}" for axis in "xyXYZ" for point in range(5)),
        "NAME," + ",".join(f"{value:g}" for value in (*POINTS[::2], *POINTS[1::2], *range(15))),
    ),
    "x before y": _csv(
        "file,x_0,x_1,x_2,x_3,x_4,y_0,y_1,y_2,y_3,y_4",
        "NAME," + ",".join(f"{value:g}" for value in (*POINTS[::2], *POINTS[1::2])),
    ),
    "pandas, numbered columns": _csv("file,0,1,2,3,4,5,6,7,8,9", f"NAME,{VALUES}"),
    "pandas, names as index": _csv(f",{HEAD.replace(' ', ',')}", f"NAME,{VALUES}"),
    "pandas, other columns": _csv(f"Unnamed: 0,face,score,file,{HEAD.replace(' ', ',')}", f"7,0,0.9,NAME,{VALUES}"),
    "pandas, index without header": f"0,{NAMES[0]},{VALUES}\n1,{NAMES[1]},{VALUES}\n",
    "separators at the ends of rows": _csv("", f"NAME,{VALUES},"),
    "separators at the ends, not of the header": _csv(f"file,{HEAD.replace(' ', ',')}", f"NAME,{VALUES},"),
    "a last column without values": _csv(f"file,{HEAD.replace(' ', ',')},note", f"NAME,{VALUES},"),
    "quoted decimal commas": _csv("", "NAME," + ",".join(f'"{value},0"' for value in ROW.split())),
    "bars": _csv("", f"NAME|{ROW.replace(' ', '|')}"),
    "Excel's first line": _csv(f"sep=;\r\nfile;{HEAD.replace(' ', ';')}", f"NAME;{ROW.replace(' ', ';')}"),
    "comments and a header": f"# by me\n# 2 faces, 5 points\n#image_id {HEAD}\n{NAMES[0]} {ROW}\n{NAMES[1]} {ROW}\n",
    "comments, a count and a header": f"# by me\n# again\n2\n{HEAD}\n{NAMES[0]} {ROW}\n{NAMES[1]} {ROW}\n",
    "a mark": b"\xef\xbb\xbf" + _csv("", f"NAME,{VALUES}").encode(),
    "PowerShell": f"{NAMES[0]} {ROW}\r\n{NAMES[1]} {ROW}\r\n".encode("utf-16"),
    "UTF-16, no mark": _csv("", f"NAME,{VALUES}").encode("utf-16-le"),
    "JSON lines": "".join(json.dumps({"file": name, "landmarks": list(POINTS)}) + "\n" for name in NAMES),
    "JSON, by name": json.dumps(dict.fromkeys(NAMES, POINTS_52)),
    "JSON, a list": json.dumps([{"image_id": name, "landmarks": POINTS_52} for name in NAMES], indent=1),
    "JSON, columns": json.dumps([{"path": name} | dict(zip(LANDMARK_COLUMNS, POINTS, strict=True)) for name in NAMES]),
    "MTCNN": json.dumps({name: [{"box": [1, 2, 3, 4], "confidence": 1.0, "keypoints": NAMED}] for name in NAMES}),
    "RetinaFace": json.dumps({name: {"face_1": {"facial_area": [1, 2, 3, 4], "landmarks": NAMED}} for name in NAMES}),
    "pandas, JSON of columns": json.dumps(
        {column: dict.fromkeys(NAMES, value) for column, value in zip(LANDMARK_COLUMNS, POINTS, strict=True)}
    ),
    "pandas, JSON split": json.dumps(
        {"columns": LANDMARK_COLUMNS, "index": NAMES, "data": [list(POINTS), list(POINTS)]}
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", TABLES)
def test_tables_as_people_have_them_read_the_same(tmp_path: Path, form: str) -> None:
    content = TABLES[form]
    path = tmp_path / "landmarks"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    found = read_landmarks(path)
    assert found.values == dict.fromkeys(NAMES, (POINTS,))
    assert (found.errors, found.warnings, found.normalised) == ({}, (), False)


@pytest.mark.parametrize("row", [f"NAME,{VALUES},0.98", f"NAME,1,2,3,4,{VALUES}", f"NAME {ROW} 0.98"])
def test_without_a_header_other_numbers_are_no_part_of_the_name(tmp_path: Path, row: str) -> None:
    with pytest.raises(SourceError, match="is not a file name and 10 or"):
        read_landmarks(_file(tmp_path, _csv("", row)))


def test_names_may_hold_line_breaks_in_quotes(tmp_path: Path) -> None:
    found = read_landmarks(_file(tmp_path, f'"a\nb.jpg",{VALUES}', f"c.jpg,{VALUES}"))
    assert list(found.values) == ["a\nb.jpg", "c.jpg"]
    found = read_landmarks(_file(tmp_path, _csv("", f"NAME,{VALUES}"), f'"c.jpg,{VALUES}', f"d.jpg,{VALUES}"))
    assert {*NAMES, "d.jpg"} <= found.values.keys()


def test_tables_of_parquet(tmp_path: Path) -> None:
    columns = dict(zip(LANDMARK_COLUMNS, ([value, value] for value in POINTS), strict=True))
    pq.write_table(pa.table({"image_id": NAMES, **columns}), tmp_path / "columns")
    pq.write_table(pa.table({**columns, "__index_level_0__": NAMES}), tmp_path / "pandas")
    stored = Stored(container="a.tar", offset=0, size=1, md5="")
    faces = [
        Detected(index=place, file=file, face=face, photograph=stored, box=(1, 2, 3, 4), score=0.5,
                 landmarks=(*POINTS[:9], 154.0 + face), orientation=1)
        for place, file in enumerate(NAMES) for face in (0, 1)
    ]  # fmt: skip
    none = Drop(index=2, file="c.jpg", reason=DropReason.NOT_AN_IMAGE, detail="")
    manifest.write_rows(tmp_path / "detected", Detected, [*faces, none])
    for name in ("columns", "pandas"):
        assert read_landmarks(tmp_path / name).values == dict.fromkeys(NAMES, (POINTS,))
    both = (POINTS, (*POINTS[:9], 155.0))
    assert read_landmarks(tmp_path / "detected").values == dict.fromkeys(NAMES, both)


def _more_points(count: int) -> tuple[list[list[float]], tuple[float, ...]]:
    """Points that detectors of `count` points give, of which the five are known."""
    points = np.random.default_rng(count).integers(0, 900, (count, 2)).astype(float) / 2
    if count == 68:
        groups = [range(36, 42), range(42, 48), [30], [48], [54]]
    elif count == 468:
        groups = [five_points.POINTS[468][0], five_points.POINTS[468][1], [1], [61], [291]]
        assert {33, 133} < set(groups[0])
        assert {263, 362} < set(groups[1])
    else:
        groups = [[468], [473], [1], [61], [291]]
    return points.tolist(), tuple(np.array([points[list(group)].mean(axis=0) for group in groups]).ravel().tolist())


@pytest.mark.parametrize("count", [68, 468, 478])
def test_five_of_more_points(tmp_path: Path, count: int) -> None:
    points, five = _more_points(count)
    flat = [value for point in points for value in point]
    numbers = " ".join(map(str, flat))
    heads = ",".join(f"x_{place},y_{place}" for place in range(count))
    forms = {
        "text": f"IMG 1.jpg {numbers}\n",
        "csv": f"IMG 1.jpg,{numbers.replace(' ', ',')}\n",
        "header": f"file,{heads}\nIMG 1.jpg,{numbers.replace(' ', ',')}\n",
        "json": json.dumps({"IMG 1.jpg": points}),
        "depth": json.dumps({"IMG 1.jpg": [{"x": x, "y": y, "z": 0.5} for x, y in points]}),
        "flat, depth": json.dumps({"IMG 1.jpg": [value for x, y in points for value in (x, y, -1.5)]}),
    }
    for form, content in forms.items():
        (tmp_path / form).write_text(content)
        (face,) = read_landmarks(tmp_path / form).values["IMG 1.jpg"]
        assert face == pytest.approx(five, abs=1e-9), form


def test_points_of_ibug_count_from_one(tmp_path: Path) -> None:
    points, five = _more_points(68)
    lines = "\n".join(f"{x + 1} {y + 1}" for x, y in points)
    folder = tmp_path / "points"
    for name in ("a.pts", "set1/IMG 2.pts"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"version: 1\nn_points:  68\n{{\n{lines}\n}}\n")
    (folder / "a.jpg").write_bytes(b"the photograph")
    with tarfile.open(tmp_path / "points.tar", "w") as archive:
        archive.add(folder, ".")
    for path in (folder, tmp_path / "points.tar"):
        found = read_landmarks(path)
        assert [PurePosixPath(name).as_posix() for name in sorted(found.values)] == ["a", "set1/IMG 2"]
        assert found.values["a" if path == folder else "./a"][0] == pytest.approx(five)
    assert list(read_landmarks(folder / "a.pts").values) == ["a"]
    (folder / "a.pts").write_text("version: 1\nn_points: 2\n{\n1 2\n3 4\n}\n")
    assert list(read_landmarks(folder).errors) == ["a"]


def test_fractions_of_the_size_are_recognised(tmp_path: Path) -> None:
    fractions = " ".join(f"{value / 200:.4f}" for value in POINTS)
    whole = " ".join("1" if value > 100 else "0" for value in POINTS)
    outside = fractions.replace("0.3450", "-0.0450")
    for rows, normalised in (
        ([fractions, outside], True),
        ([whole], False),  # pixels of the corner, not a face in all of the photograph
        ([ROW, ROW.replace("69", "70"), fractions], False),
        ([fractions, ROW], False),
    ):
        lines = [f"{number}.jpg {row}" for number, row in enumerate(rows)]
        assert read_landmarks(_file(tmp_path, *lines)).normalised is normalised, rows


@pytest.mark.parametrize("content", [b"", b"7\n", b"\x89PNG\r\n\x1a\n\xff\xfe", b"1\n" + HEAD.encode()])
def test_a_file_of_something_else_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "annotations.txt"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=str(path)):
        read_landmarks(path)
    with pytest.raises(SourceError, match="nowhere"):
        read_landmarks(tmp_path / "nowhere.txt")


@given(st.dictionaries(st.integers(1, 999999), st.tuples(*[st.integers(-9999, 9999)] * 10), min_size=1, max_size=8))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, rows: dict[int, tuple[int, ...]]) -> None:
    lines = [f"{number:06d}.jpg  {'  '.join(f'{v:4d}' for v in values)}" for number, values in rows.items()]
    found = read_landmarks(_file(tmp_path_factory.mktemp("rows"), str(len(rows)), HEAD, *lines, end="\r\n"))
    assert found.values == {f"{number:06d}.jpg": (values,) for number, values in rows.items()}


def test_splits_have_names(tmp_path: Path) -> None:
    found = read_partition(_file(tmp_path, "000001.jpg 0", "000002.jpg 1", "000003.jpg 2", "000004.jpg 3"))
    assert found.values == {"000001.jpg": "train", "000002.jpg": "validation", "000003.jpg": "test"}
    assert list(found.errors) == ["000004.jpg"]


def test_attributes_are_signs_as_many_as_columns(tmp_path: Path) -> None:
    rows = ["000001.jpg -1  1  1", "000002.jpg  1 -1", "000003.jpg  1 -1 0"]
    found = read_attributes(_file(tmp_path, "3", "Bald Smiling Young ", *rows))
    assert found.values == {"000001.jpg": (-1, 1, 1)}
    assert list(found.errors) == ["000002.jpg", "000003.jpg"]
    assert found.columns == ("Bald", "Smiling", "Young")


@pytest.mark.parametrize(
    ("content", "split"),
    [
        ("image_id,partition\r\nIMG 1.jpg,2\r\nb.jpg,0\r\n", "test"),
        ("IMG 1.jpg;1\nb.jpg;0\n", "validation"),
        ("file\tsplit\nIMG 1.jpg\tval\nb.jpg\ttrain\n", "validation"),
        ("2\nIMG 1.jpg 0\nb.jpg 1\n", "train"),
        ('{"file": "IMG 1.jpg", "split": "test"}\n{"file": "b.jpg", "split": "train"}\n', "test"),
        ('{"IMG 1.jpg": 2, "b.jpg": 0}', "test"),
        (",partition\nIMG 1.jpg,2\nb.jpg,0\n", "test"),
    ],
)
def test_tables_of_splits(tmp_path: Path, content: str, split: str) -> None:
    (tmp_path / "split").write_bytes(content.encode())
    found = read_partition(tmp_path / "split")
    assert list(found.values) == ["IMG 1.jpg", "b.jpg"]
    assert (found.values["IMG 1.jpg"], found.errors) == (split, {})


SIGNS = "Bald Smiling Young"


@pytest.mark.parametrize(
    "content",
    [
        f"2\n{SIGNS} \nIMG 1.jpg -1  1  1\nb.jpg  1 -1 -1\n",
        "image_id,Bald,Smiling,Young\nIMG 1.jpg,-1,1,1\nb.jpg,1,-1,-1\n",
        "image_id,Bald,Smiling,Young\nIMG 1.jpg,0,1,1\nb.jpg,1,0,0\n",
        "image_id;Bald;Smiling;Young\nIMG 1.jpg;False;TRUE;True\nb.jpg;true;false;no\n",
        "Unnamed: 0,Bald,Smiling,file,Young\n0,0,1,IMG 1.jpg,1\n1,1,0,b.jpg,0\n",
        json.dumps([{"file": "IMG 1.jpg", "Bald": False, "Smiling": True, "Young": True},
                    {"file": "b.jpg", "Bald": True, "Smiling": False, "Young": False}]),
        json.dumps({"IMG 1.jpg": {"Bald": 0, "Smiling": 1, "Young": 1},
                    "b.jpg": {"Bald": 1, "Smiling": 0, "Young": 0}}),
        "IMG 1.jpg,-1,1,1\nb.jpg,1,-1,-1\n",
        "id,filename,Bald,Smiling,Young\n7,IMG 1.jpg,0,1,1\n8,b.jpg,1,0,0\n",
        "path,name,Bald,Smiling,Young\nIMG 1.jpg,Ann,0,1,1\nb.jpg,Bob,1,0,0\n",
    ],
)  # fmt: skip
def test_tables_of_attributes(tmp_path: Path, content: str) -> None:
    (tmp_path / "attributes").write_text(content)
    found = read_attributes(tmp_path / "attributes")
    assert found.values == {"IMG 1.jpg": (-1, 1, 1), "b.jpg": (1, -1, -1)}
    assert (found.errors, found.warnings) == ({}, ())
    assert found.columns in ((), ("Bald", "Smiling", "Young"))


@pytest.mark.parametrize(
    ("content", "classes"),
    [
        ("file,label\na b.jpg,cat\nb.jpg,big dog\nc.jpg,cat\n", ("big dog", "cat")),
        ("file,id\na b.jpg,10\nb.jpg,9\nc.jpg,10\n", ("9", "10")),
        ("a b.jpg,cat\nb.jpg,big dog\nc.jpg,cat\n", ("big dog", "cat")),
        ("file,label\na b.jpg,10\nb.jpg,9\nc.jpg,10\n", ("9", "10")),
        ('{"labels": [["a b.jpg", 10], ["b.jpg", 9], ["c.jpg", 10]]}', ("9", "10")),
    ],
)
def test_a_single_column_of_names_or_numbers_is_a_class(tmp_path: Path, content: str, classes: tuple[str, ...]) -> None:
    (tmp_path / "classes").write_text(content)
    found = read_attributes(tmp_path / "classes")
    assert found.columns == classes
    one_is_second = {"a b.jpg": (-1, 1), "b.jpg": (1, -1), "c.jpg": (-1, 1)}
    assert found.values == one_is_second


@pytest.mark.parametrize("missing", ["", "NA", "nan", "NULL"])
@pytest.mark.parametrize(("yes", "no", "labels"), [("1", "0", 1), ("True", "False", 1), ("no one", "Ann", 2)])
def test_no_value_is_no_class(tmp_path: Path, yes: str, no: str, labels: int, missing: str) -> None:
    found = read_attributes(_file(tmp_path, "file,A", f"a.jpg,{yes}", f"b.jpg,{missing}", f"c.jpg,{no}"))
    assert (list(found.values), list(found.errors), len(found.columns)) == (["a.jpg", "c.jpg"], ["b.jpg"], labels)


def test_a_column_of_measurements_is_no_class(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"a\.jpg,0\.93"):
        read_attributes(_file(tmp_path, "file,smile", "a.jpg,0.93", "b.jpg,0.2"))


@pytest.mark.vectors
def test_real_points_of_ibug() -> None:
    (face,) = read_landmarks(REAL.needed("photos/portraits/einstein.pts")).values["einstein"]
    eyes, mouth = np.array(face).reshape(5, 2)[:2], np.array(face).reshape(5, 2)[3:]
    assert eyes[0][0] < eyes[1][0]
    assert mouth[0][0] < mouth[1][0]
    assert mouth.mean(axis=0)[1] > eyes.mean(axis=0)[1] + 20
    aligned = read_landmarks(REAL.needed("celeba/list_landmarks_align_celeba.first88.csv"))
    assert (len(aligned.values), aligned.errors) == (88, {})
    assert aligned.values["000001.jpg"] == (POINTS,)


@pytest.mark.vectors
def test_celebas_own_files(tmp_path: Path) -> None:
    folder = REAL.needed("celeba")
    sample = read_landmarks(folder / "list_landmarks_celeba.sample.txt")
    assert len(sample.values) == 9
    assert (sample.errors, sample.warnings) == ({}, ())
    for name in ("list_eval_partition.txt", "list_attr_celeba.first20000.txt"):
        (tmp_path / name).write_bytes(gzip.decompress((folder / f"{name}.gz").read_bytes()))
    partition = read_partition(tmp_path / "list_eval_partition.txt")
    assert Counter(partition.values.values()) == {"train": 162770, "validation": 19867, "test": 19962}
    attributes = read_attributes(tmp_path / "list_attr_celeba.first20000.txt")
    assert len(attributes.columns) == 40
    assert len(attributes.values) == 20000
    assert not attributes.errors
    assert "202599" in attributes.warnings[0]
