import hashlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import chunks, manifest
from pipeline.cluster import map_rows, spans
from pipeline.container import read_stored
from pipeline.errors import DropReason
from pipeline.manifest import Accounting, Denoised, Drop, Photograph, Stored
from pipeline.params import ClusterParams
from tests import worker_tasks
from tests.stages.faces import scheduler

STORED = Stored(container="extract/extract-00000.tar", offset=512, size=7, md5="0" * 32)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "extract.parquet"
    rows = [Photograph(index=i, file=f"{i:06d}.jpg", photograph=STORED) for i in range(40)]
    manifest.write_rows(path, Photograph, [*rows, Drop(index=40, file="x", reason=DropReason.TRUNCATED, detail="")])
    return path


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with scheduler() as address:
        yield address


def _params(workers: int | str) -> ClusterParams:
    """So many local processes, or the workers of a scheduler."""
    local = {"scheduler": None, "workers": workers}
    given = local if isinstance(workers, int) else {"scheduler": workers, "workers": 1}
    return ClusterParams(worker_wait_minutes=1.0, memory_per_worker_mib=500, **given)


def _run(table: Path, work: Path, workers: int | str, calls: Path, rows_per_chunk: int = 7) -> Accounting:
    work.mkdir(exist_ok=True)
    calls.mkdir(exist_ok=True)
    return map_rows(
        _params(workers),
        partial(worker_tasks.store, calls=calls),
        table=table,
        row_in=Photograph,
        row_out=Photograph,
        rows_per_chunk=rows_per_chunk,
        out=work / "extract.parquet",
    )


def _digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_the_result_depends_on_neither_workers_nor_interruption(table: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    assert _run(table, one, 1, tmp_path / "calls1") == Accounting(40, 32, {"too small": 8})
    assert sorted(_digests(one)) == [*(f"extract-{i:06d}.tar" for i in range(0, 40, 7)), "extract.parquet"]

    _leave_two_chunks(table, two, tmp_path / "scratch")
    torn = two / "extract.chunks/extract-000007-8f3a.01.partial"
    torn.mkdir()
    (torn / "extract-000007.tar").write_bytes(b"torn")
    (two / "extract-00002.part.parquet").write_bytes(b"of an earlier version of the program")
    _run(table, two, 2, tmp_path / "calls2")
    assert _digests(two) == _digests(one)
    assert _names(tmp_path / "calls2") == [f"extract-{i:06d}" for i in (7, 14, 28, 35)]


def test_finished_chunks_of_another_size_are_used(table: Path, tmp_path: Path, address: str) -> None:
    whole, work = tmp_path / "whole", tmp_path / "work"
    _run(table, whole, address, tmp_path / "calls1")
    _leave_two_chunks(table, work, tmp_path / "scratch")
    left = {name: digest for path in work.glob("*.chunks/*/") for name, digest in _digests(path).items()}
    assert _run(table, work, address, tmp_path / "calls2", rows_per_chunk=5) == Accounting(40, 32, {"too small": 8})
    assert _names(tmp_path / "calls2") == [f"extract-{i:06d}" for i in (7, 12, 17, 28, 33, 38)]
    del left[chunks.TABLE]
    assert left.items() <= _digests(work).items()
    content = [
        [(row.index, row.photograph.md5) for row in manifest.read_kept(folder / "extract.parquet", Photograph)]
        for folder in (whole, work)
    ]
    assert content[0] == content[1]


def _leave_two_chunks(table: Path, work: Path, scratch: Path) -> None:
    """What a run killed after two chunks of seven rows leaves: their folders."""
    scratch.mkdir()
    for start in (0, 21):
        folder = work / f"extract.chunks/extract-{start:06d}"
        folder.mkdir(parents=True)
        rows = manifest.read_kept(table, Photograph, start, start + 7)
        manifest.write_rows(folder / chunks.TABLE, Photograph, worker_tasks.store(rows, folder / folder.name, scratch))


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_finished_table_is_not_made_again(table: Path, tmp_path: Path, address: str) -> None:
    _run(table, tmp_path / "work", address, tmp_path / "first")
    _run(table, tmp_path / "work", address, tmp_path / "second")
    assert not list((tmp_path / "second").iterdir())


def test_a_photograph_that_kills_its_worker_is_dropped(table: Path, tmp_path: Path) -> None:
    account = map_rows(
        _params(1),
        worker_tasks.die,
        table=table,
        row_in=Photograph,
        row_out=Photograph,
        rows_per_chunk=2,  # how larger chunks are searched: tests/test_chunks.py
        out=tmp_path / "work/extract.parquet",
    )
    assert account == Accounting(40, 39, {"killed the worker": 1})
    (drop,) = manifest.read_dropped(tmp_path / "work/extract.parquet")
    assert (drop.index, drop.file, drop.detail) == (
        17,
        "000017.jpg",
        "each of 2 workers died with it: out of memory, or a crash in a library",
    )
    rows = manifest.read_kept(tmp_path / "work/extract.parquet", Photograph)
    (tmp_path / "work").rename(tmp_path / "extract")
    assert [read_stored(tmp_path, row.photograph) for row in rows] == [row.file.encode() for row in rows]


def test_an_unexpected_error_in_a_worker_ends_the_run(table: Path, tmp_path: Path) -> None:
    with pytest.raises(ArithmeticError, match="no such luck"):
        map_rows(
            _params(1),
            worker_tasks.fail,
            table=table,
            row_in=Photograph,
            row_out=Denoised,
            rows_per_chunk=50,
            out=tmp_path / "crop.parquet",
        )


@settings(deadline=None, max_examples=25)
@given(count=st.integers(0, 300_000), rows_per_chunk=st.integers(1, 5000), slow=st.booleans())
def test_chunks_follow_from_counts(count: int, rows_per_chunk: int, slow: bool) -> None:
    sizes = [stop - start for start, stop in spans(count, rows_per_chunk, {}, slow=slow)]
    smallest = 16 if slow else 64
    assert sum(sizes) == count
    assert all(0 < size <= rows_per_chunk for size in sizes), "as the params say"
    assert len(sizes) <= count // rows_per_chunk + 64 * 8, "the tail is some hundred chunks more"
    assert sizes[-1:] <= [smallest], "a worker that begins the last one does not keep the others waiting"
    if rows_per_chunk <= smallest:
        assert sizes[:-1] == [rows_per_chunk] * (len(sizes) - 1)


def test_the_chunks_of_a_table_do_not_depend_on_what_is_finished_of_it() -> None:
    whole = list(spans(20_000, 1000))
    finished = {start: stop - start for start, stop in whole[:7]}
    assert list(spans(20_000, 1000, finished)) == whole
    assert whole[0] == (0, 312)
