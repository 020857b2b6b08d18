"""Tables of any length a part at a time: the bytes depend on the rows alone, and only the groups asked for are read."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import columns, manifest
from pipeline.errors import DropReason
from pipeline.manifest import Drop, Face, Photograph, Stored

STORED = Stored(container="extract/extract-00000.tar", offset=512, size=7, md5="0" * 32)
GROUP = 4


@pytest.fixture(autouse=True)
def _small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "ROWS_PER_GROUP", GROUP)
    monkeypatch.setattr(manifest, "ROWS_AT_ONCE", 2 * GROUP)


def row(number: int, dropped: bool) -> Photograph | Drop:
    """Two faces of each photograph."""
    index, face, file = number // 2, number % 2, f"{number // 2}.jpg"
    if dropped:
        return Drop(index=index, file=file, face=face, reason=DropReason.TRUNCATED, detail=f"of {number}")
    return Photograph(index=index, file=file, face=face, photograph=STORED)


rows_of_table = st.lists(st.booleans(), max_size=30).map(lambda drops: [row(n, drop) for n, drop in enumerate(drops)])


@settings(deadline=None, max_examples=15)
@given(rows=rows_of_table, random=st.randoms(use_true_random=False), start=st.integers(0, 30), size=st.integers(0, 30))
def test_all_ways_to_write_give_the_same_bytes_and_all_ways_to_read_the_same_rows(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Photograph | Drop], random: object, start: int, size: int
) -> None:
    folder = tmp_path_factory.mktemp("table")
    path = folder / "extract.parquet"
    account = manifest.write_rows(path, Photograph, rows)
    kept = [one for one in rows if isinstance(one, Photograph)]
    dropped = [one for one in rows if isinstance(one, Drop)]
    assert (account.given, account.kept) == (len(rows), len(kept))
    assert account == manifest.account(path)
    metadata = pq.read_metadata(path)
    assert [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)][:-1] == [GROUP] * (
        metadata.num_row_groups - 1
    )

    shuffled = list(rows)
    random.shuffle(shuffled)  # pyright: ignore[reportAttributeAccessIssue]
    manifest.write_rows(folder / "shuffled.parquet", Photograph, iter(shuffled))
    parts = [folder / f"{number}.parquet" for number in range(3)]
    for number, part in enumerate(parts):
        manifest.write_rows(part, Photograph, shuffled[number::3])
    manifest.join_parts(folder / "joined.parquet", Photograph, parts)
    assert {(folder / name).read_bytes() for name in ("shuffled.parquet", "joined.parquet")} == {path.read_bytes()}
    assert [found.name for found in folder.iterdir() if found.suffix != ".parquet"] == []

    assert manifest.read_kept(path, Photograph, start, start + size) == kept[start : start + size]
    assert list(manifest.iterate_kept(path, Photograph)) == kept
    assert manifest.read_dropped(path) == dropped
    assert list(manifest.iterate_dropped(path, ["1.jpg", "x"])) == [drop for drop in dropped if drop.file == "1.jpg"]
    places = random.sample(range(len(kept)), len(kept) // 2)  # pyright: ignore[reportAttributeAccessIssue]
    assert manifest.read_kept_at(path, Photograph, places) == [kept[place] for place in places]
    keys = {kept[place].key for place in places} | {(999, 0)}
    assert manifest.places_of(path, keys) == sorted(places)


def test_a_slice_reads_its_groups_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "extract.parquet"
    manifest.write_rows(path, Photograph, [row(number, dropped=number < 6) for number in range(40)])
    read: list[int] = []
    original = columns.TableFile.read

    def noted(file: columns.TableFile, group: int, names: list[str]) -> pa.Table:
        read.append(group)
        return original(file, group, names)

    monkeypatch.setattr(columns.TableFile, "read", noted)
    assert [found.index for found in manifest.read_kept(path, Face, 10, 16)] == [8, 8, 9, 9, 10, 10]
    assert read == [4, 5]
    read.clear()
    assert manifest.account(path).dropped == {"truncated image": 6}
    assert read == [0, 1], "groups without a drop are not read to count them"


def test_a_table_without_statistics_is_read_too(tmp_path: Path) -> None:
    path, bare = tmp_path / "extract.parquet", tmp_path / "bare.parquet"
    manifest.write_rows(path, Photograph, [row(number, dropped=number % 3 == 0) for number in range(20)])
    pq.write_table(pq.read_table(path), bare, row_group_size=5, write_statistics=False)
    assert manifest.account(bare) == manifest.account(path)
    assert manifest.read_kept(bare, Photograph, 3, 9) == manifest.read_kept(path, Photograph, 3, 9)


@pytest.mark.parametrize("interleaved", [False, True])
def test_parts_are_let_go_while_they_are_joined(
    interleaved: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = [tmp_path / f"{number}.parquet" for number in range(3)]
    rows = [row(place, dropped=False) for place in range(60)]
    for number, part in enumerate(parts):
        manifest.write_rows(part, Photograph, rows[number::3] if interleaved else rows[20 * number : 20 * number + 20])
    held: list[int] = []
    write = columns.write

    def counted(path: Path, schema: pa.Schema, tables: Iterator[pa.Table]) -> None:
        frame = tables.gi_frame  # pyright: ignore[reportAttributeAccessIssue]

        def count() -> Iterator[pa.Table]:
            for table in tables:
                held.append(sum(len(group) for part in frame.f_locals["files"] for group in part._held.values()))
                yield table

        write(path, schema, count())

    monkeypatch.setattr(columns, "write", counted)
    manifest.join_parts(tmp_path / "joined.parquet", Photograph, parts)
    assert len(held) == 15
    assert max(held) <= (3 * GROUP if interleaved else 0), "of each part no more is held than the group that comes"
    assert manifest.read_kept(tmp_path / "joined.parquet", Photograph) == rows
