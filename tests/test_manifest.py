from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import manifest
from pipeline.errors import DropReason, TableError
from pipeline.manifest import Accounting, Aligned, Drop, Photograph, Stored

STORED = Stored(container="extract/extract-00000.tar", offset=512, size=7, md5="0" * 32)


def aligned(index: int, number: float = 0.1) -> Aligned:
    return Aligned(
        index=index,
        file=f"{index + 1:06d}.jpg",
        photograph=STORED,
        width=100,
        height=200,
        split=None,
        attributes=(1, -1),
        landmarks=None,
        quad=(number,) * 8,
        zoom=number,
    )


def drop(index: int) -> Drop:
    return Drop(index=index, file="x.jpg", reason=DropReason.TRUNCATED, detail="ends at byte 9")


@settings(deadline=None, max_examples=25)
@given(st.lists(st.booleans(), max_size=20), st.floats(-1e4, 1e4, width=32))
def test_rows_survive_the_file_and_add_up(
    tmp_path_factory: pytest.TempPathFactory, kinds: list[bool], number: float
) -> None:
    path = tmp_path_factory.mktemp("table") / "align.parquet"
    outcomes = [aligned(i, number) if keep else drop(i) for i, keep in enumerate(kinds)]
    account = manifest.write_rows(path, Aligned, reversed(outcomes))
    assert manifest.read_kept(path, Aligned) == [row for row in outcomes if isinstance(row, Aligned)]
    assert manifest.read_dropped(path) == [row for row in outcomes if isinstance(row, Drop)]
    assert account == manifest.account(path)
    assert account.given == len(kinds) == account.kept + sum(account.dropped.values())


def test_a_slice_counts_kept_rows_only(tmp_path: Path) -> None:
    path = tmp_path / "align.parquet"
    manifest.write_rows(path, Aligned, [aligned(0), drop(1), aligned(2), aligned(3)])
    assert [row.index for row in manifest.read_kept(path, Aligned, 1, 3)] == [2, 3]


def test_the_drops_of_some_files_may_be_those_of_none(tmp_path: Path) -> None:
    path = tmp_path / "align.parquet"
    manifest.write_rows(path, Aligned, [aligned(0), drop(1)])
    assert list(manifest.iterate_dropped(path, ["x.jpg", "y.jpg"])) == [drop(1)]
    assert list(manifest.iterate_dropped(path, set())) == []


def test_the_order_of_parts_does_not_change_the_bytes(tmp_path: Path) -> None:
    rows = [aligned(0), drop(1), aligned(2), aligned(3)]
    parts = [tmp_path / "b.parquet", tmp_path / "a.parquet"]
    manifest.write_rows(parts[0], Aligned, rows[2:])
    manifest.write_rows(parts[1], Aligned, rows[:2])
    manifest.join_parts(tmp_path / "one.parquet", Aligned, parts)
    manifest.join_parts(tmp_path / "two.parquet", Aligned, parts[::-1])
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()
    assert pq.read_table(tmp_path / "one.parquet")["index"].to_pylist() == [0, 1, 2, 3]


def test_an_empty_table_is_a_table(tmp_path: Path) -> None:
    account = manifest.join_parts(tmp_path / "none.parquet", Aligned, [])
    assert account == Accounting(0, 0, {})
    assert manifest.read_kept(tmp_path / "none.parquet", Aligned) == []


def test_an_absent_table_names_the_stage_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"align\.parquet: no such table.*dvc repro align"):
        manifest.read_kept(tmp_path / "align.parquet", Aligned)


def test_a_table_of_an_earlier_stage_lacks_columns(tmp_path: Path) -> None:
    path = tmp_path / "extract.parquet"
    manifest.write_rows(path, Photograph, [Photograph(index=0, file="1.jpg", photograph=STORED)])
    with pytest.raises(TableError, match="quad"):
        manifest.read_kept(path, Aligned)


def test_extend_keeps_and_adds() -> None:
    row = Photograph(index=3, file="000004.jpg", photograph=STORED)
    assert manifest.extend(row, Photograph, file="other") == Photograph(index=3, file="other", photograph=STORED)
    with pytest.raises(TypeError):
        manifest.extend(row, Photograph, misspelt=1)
