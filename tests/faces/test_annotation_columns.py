"""Annotation files read by columns give what they give row by row, and so do the faces joined with them."""

import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import manifest
from pipeline.errors import SourceError
from pipeline.faces import annotation_text, landmarks, suspicious
from pipeline.faces.alignment import Annotated, join_annotations, write_joined
from pipeline.faces.annotation_columns import Plain
from pipeline.manifest import Photograph, Stored
from tests.faces.test_alignment import aligning

NAMES = [f"{number:06d}.jpg" for number in range(1, 9)]
STORED = Stored(container="extract/extract-00000.tar", offset=512, size=7, md5="0" * 32)
FIELDS = {
    "landmarks": (10, ["0", "-0", "1.5", "40", "nan", "1e3", "inf", "x", ""]),
    "partition": (1, ["0", "1", "2", "train", "TEST", "3", ""]),
    "attributes": (3, ["1", "-1", "1", "-1", "0", "true", "no", "YES", "cat", ""]),
}


def _by_rows(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(landmarks, "read_plain", lambda rows, *_: Plain.none_of(rows))


@st.composite
def _texts(draw: st.DrawFn, kind: str) -> str:
    """A file of mostly good rows, in spaces or commas, with and without a header."""
    count, words = FIELDS[kind]
    good = st.sampled_from(words[: draw(st.sampled_from([2, 2, 4, len(words)]))])
    separator = draw(st.sampled_from([" ", "  ", "\t", ",", ";"]))
    names = draw(
        st.lists(
            st.sampled_from([*NAMES, "b 1.jpg", '"c.jpg"', "d"]), min_size=1, max_size=8, unique=draw(st.booleans())
        )
    )
    header = list(landmarks.LANDMARK_COLUMNS) if kind == "landmarks" else [f"L{place}" for place in range(count)]
    lines = [separator.join(["file", *header])] if draw(st.booleans()) else []
    for name in names:
        length = count if draw(st.integers(0, 7)) else draw(st.integers(0, count + 1))
        lines.append(separator.join([name, *(draw(good) for _ in range(length))]))
    return "\n".join(lines) + "\n"


def _read(read: Callable[[Path], Any], path: Path) -> Any:
    try:
        found = read(path)
    except SourceError as error:
        return str(error)
    values = {name: repr(value) for name, value in found.values.items()}  # NaN equals itself there
    return values, found.errors, found.columns, found.warnings, found.normalised


@pytest.mark.parametrize("kind", [*FIELDS])
def test_rows_by_columns_are_those_one_by_one(kind: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("texts") / f"{kind}.txt"
    read = getattr(landmarks, f"read_{kind}")

    @given(text=_texts(kind))
    def compare(text: str) -> None:
        path.write_text(text)
        found = _read(read, path)
        with pytest.MonkeyPatch.context() as patch:
            _by_rows(patch)
            assert _read(read, path) == found

    compare()


def _joined(folder: Path) -> tuple[Any, ...]:
    joined = join_annotations(folder / "extract.parquet", aligning(missing_attributes="unknown"))
    write_joined(folder / "joined.parquet", joined)
    table = manifest.read_columns(folder / "joined.parquet", manifest.schema_of(Annotated).names)
    return repr(table.to_pylist()), joined.warnings, joined.suspicions


def test_a_join_by_columns_is_that_of_rows(tmp_path: Path) -> None:
    """Of usual faces and of others: without a row, twice, of another name, without attributes, unreadable."""
    rows = [Photograph(index=place, file=file, photograph=STORED) for place, file in enumerate(NAMES)]
    manifest.write_rows(tmp_path / "extract.parquet", Photograph, rows)
    face = " ".join(map(str, range(10)))
    listed = [NAMES[0], *NAMES[2:6], "000007.png", "stranger.jpg", "000099.jpg"]
    texts = {
        "landmarks": [*(f"{name} {face}" for name in listed), f"{NAMES[3]} {face}1", f"{NAMES[7]} 1 2"],
        "partition": [f"{name} {place % 3}" for place, name in enumerate(NAMES[1:])],
        "attributes": [f"{name} 1 -1 1" for name in NAMES[:5]],
    }
    for without in (set[int](), {8}, {8, 9}):
        lines = {
            kind: [line for place, line in enumerate(found) if place not in without] for kind, found in texts.items()
        }
        for kind, found in lines.items():
            (tmp_path / f"{kind}.txt").write_text("\n".join(found))
        by_columns = _joined(tmp_path)
        with pytest.MonkeyPatch.context() as patch:
            _by_rows(patch)
            assert _joined(tmp_path) == by_columns
        plain = landmarks.read_landmarks(tmp_path / "landmarks.txt").values
        assert len(plain.numbers_NK) == (0 if not without else 8)


def test_a_line_longer_than_a_cell_of_csv_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "annotations.txt"
    path.write_text("a.jpg" + 27_000 * ",-1.0")
    with pytest.raises(SourceError, match=r"annotations\.txt"):
        landmarks.read_landmarks(path)


@given(text=st.text(st.sampled_from('ab,"\n\r\x0b\u2028 '), max_size=60), piece=st.integers(1, 9))
def test_lines_read_in_pieces_are_those_of_the_whole_text(text: str, piece: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(annotation_text, "CHARACTERS_AT_ONCE", piece)
        found = [*annotation_text.read_text(text, (1,), str.isdecimal).rows]
        patch.setattr(annotation_text, "CHARACTERS_AT_ONCE", len(text) + 1)
        assert [*annotation_text.read_text(text, (1,), str.isdecimal).rows] == found
    for row in found if '"' not in text else ():
        assert text.splitlines()[int(row.where.removeprefix("line ")) - 1].strip() == row.text


def test_a_quoted_line_break_may_stand_in_any_column() -> None:
    """Another separator, which is tried first, sees no quoted cell there."""
    found = annotation_text.read_text('0,"a\nb.jpg",1\n1,c.jpg,-1\n', (), {"1", "-1"}.__contains__)
    assert [(row.name, row.fields, row.where) for row in found.rows] == [
        ("a\nb.jpg", ["1"], "line 1"),
        ("c.jpg", ["-1"], "line 3"),
    ]


@given(st.lists(st.lists(st.sampled_from([0.0, -0.0, 1.5, math.inf, math.nan]), min_size=2, max_size=2), min_size=3))
def test_the_points_of_most_faces_are_found(pairs: list[list[float]]) -> None:
    """Equal points of whole numbers and infinities count, those that are no numbers do not."""
    points_N52 = np.array([pair * 5 for pair in pairs]).reshape(-1, 5, 2)
    found = suspicious.of_landmarks([*map(str, range(len(pairs)))], points_N52, normalised=True)
    counts = Counter(tuple(pair) for pair in pairs if not any(map(math.isnan, pair)))
    ((pair, count),) = counts.most_common(1) or [((), 0)]
    same = [each for each in found if each.kind == suspicious.SAME]
    assert [each.count for each in same] == ([count] if count >= suspicious.FEWEST else [])
    names = [str(place) for place, own in enumerate(pairs) if tuple(own) == pair]
    assert [each.examples for each in same] == ([names[:5]] if same else [])
