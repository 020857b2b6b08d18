"""CelebA's annotation files as they are found: line ends, spaces, counts, and rows that cannot be read."""

import gzip
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import SourceError
from pipeline.faces.landmarks import LANDMARK_COLUMNS, read_attributes, read_landmarks, read_partition
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
    assert found.values == {"000001.jpg": POINTS, "000002.jpg": POINTS}
    assert found.errors == {}
    assert found.warnings == ()
    assert found.columns in ((), LANDMARK_COLUMNS)


def test_the_last_line_needs_no_end_and_the_first_may_start_with_a_mark(tmp_path: Path) -> None:
    path = tmp_path / "annotations.txt"
    path.write_bytes(b"\xef\xbb\xbf1\n" + f"{HEAD}\n000001.jpg {ROW}".encode())
    assert read_landmarks(path).values == {"000001.jpg": POINTS}


def test_a_wrong_count_is_a_warning(tmp_path: Path) -> None:
    found = read_landmarks(_file(tmp_path, "202599", HEAD, f"000001.jpg {ROW}"))
    assert len(found.values) == 1
    assert found.warnings == ("annotations.txt: line 1 says 202599 rows, found are 1",)


@pytest.mark.parametrize("fault", ["", "1 2 3", ROW + " 7", ROW.replace("142", "x"), ROW.replace("142", "1,5")])
def test_a_row_that_cannot_be_read_is_kept_as_a_fault(tmp_path: Path, fault: str) -> None:
    found = read_landmarks(_file(tmp_path, "2", HEAD, f"000001.jpg {ROW}", f"000002.jpg {fault}"))
    assert list(found.values) == ["000001.jpg"]
    assert list(found.errors) == ["000002.jpg"]
    assert found.errors["000002.jpg"].startswith("annotations.txt, line 4: ")
    assert found.warnings == ()


def test_a_photograph_with_two_rows_is_a_fault(tmp_path: Path) -> None:
    rows = [f"{name} {ROW}" for name in ("000001.jpg", "000002.jpg", "000001.jpg", "000001.jpg")]
    found = read_landmarks(_file(tmp_path, "4", HEAD, *rows))
    assert list(found.values) == ["000002.jpg"]
    assert "another row" in found.errors["000001.jpg"]


def test_columns_in_another_order_are_refused(tmp_path: Path) -> None:
    columns = [*LANDMARK_COLUMNS[2:4], *LANDMARK_COLUMNS[:2], *LANDMARK_COLUMNS[4:]]
    with pytest.raises(SourceError, match="righteye_x righteye_y lefteye_x"):
        read_landmarks(_file(tmp_path, "1", " ".join(columns), f"000001.jpg {ROW}"))


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
    assert found.values == {f"{number:06d}.jpg": values for number, values in rows.items()}


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
