"""Executions of chunks: two at once, and workers that die (tests/test_cluster.py has whole runs)."""

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import dask.config
import pytest
from dask.distributed import Client
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import atomic, chunks, manifest, progress
from pipeline.chunks import Chunk
from pipeline.container import read_stored, writing_container
from pipeline.errors import ClusterError, DropReason
from pipeline.manifest import Drop, Photograph, Stored
from pipeline.params import ClusterParams
from pipeline.task import Task
from pipeline.workers import LOG_LENGTH, connect
from tests.worker_tasks import Poisoned

CHUNK = Chunk("crop-00000", 0, 3)
STORED = Stored(container="extract/extract-00000.tar", offset=512, size=7, md5="0" * 32)


class Execution:
    """An execution of `CHUNK` in a thread, which goes on by one step at each call of `step`.

    The bytes of execution `number` are its own, as those of a network on another processor are.
    """

    def __init__(self, number: int, data: Path) -> None:
        self._number = number
        self._go, self._paused = threading.Semaphore(0), threading.Semaphore(0)
        self._ended = False
        self._thread = threading.Thread(target=self._run, args=(data,))
        self._thread.start()
        self._paused.acquire()

    def step(self) -> None:
        if not self._ended:  # its thread may still be alive then
            self._go.release()
            self._paused.acquire()

    def finish(self) -> None:
        while self._thread.is_alive():
            self._go.release()
            self._thread.join(0.001)

    def _pause(self) -> None:
        self._paused.release()
        self._go.acquire()

    def _run(self, data: Path) -> None:
        self._pause()
        with suppress(FileNotFoundError):
            chunks.write_chunk(CHUNK, self._write, data / "crop", CHUNK.name)
        self._ended = True
        self._paused.release()

    def _write(self, chunk: Chunk, folder: Path) -> None:
        rows: list[Photograph] = []
        self._pause()
        with writing_container(folder / "crop-00000.tar", "crop/crop-00000/crop-00000.tar") as container:
            for index in range(chunk.start, chunk.stop):
                self._pause()
                stored = container.add(f"{index}.png", bytes([self._number]) * (700 + 900 * self._number))
                rows.append(Photograph(index=index, file=f"{index}.jpg", photograph=stored))
            self._pause()
        self._pause()
        manifest.write_rows(folder / chunks.TABLE, Photograph, rows)
        self._pause()


def _published(data: Path) -> bytes | None:
    """The first bytes of the three published members."""
    if not (data / "crop" / CHUNK.name).exists():
        return None
    rows = manifest.read_kept(data / "crop" / CHUNK.name / chunks.TABLE, Photograph)
    return bytes(read_stored(data, row.photograph)[0] for row in rows)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.sampled_from([0, 1, "sweep"]), max_size=22))
def test_of_two_interleaved_executions_one_is_published_with_its_own_table(
    tmp_path_factory: pytest.TempPathFactory, turns: list[int | str]
) -> None:
    data = tmp_path_factory.mktemp("data")
    (data / "crop").mkdir()
    executions = [Execution(0, data), Execution(1, data)]
    seen: list[bytes] = []
    note: Callable[[], None] = lambda: seen.extend(filter(None, [_published(data)]))  # noqa: E731
    try:
        for turn in turns:
            if isinstance(turn, int):
                executions[turn].step()
            else:
                atomic.sweep(data / "crop")  # as the next run does, while an execution of the one before goes on
            note()
    finally:
        for execution in executions:
            execution.finish()
    note()
    published = {b"\0\0\0"}, {b"\1\1\1"}
    assert set(seen) in ((*published, set()) if "sweep" in turns else published), "one execution's, and never another's"
    assert [path.name for path in (data / "crop").iterdir()] == ([CHUNK.name] if seen else []), "nothing else is left"


def test_a_chunk_that_kills_its_worker_without_its_rows_ends_the_search() -> None:
    search = chunks._Search(Chunk("crop-00000", 7, 8))
    search.begin()
    assert search.result().killers == {7}
    with pytest.raises(ClusterError, match="none of its rows alone does"):
        search.begin()


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    params = ClusterParams(scheduler=None, worker_wait_minutes=1.0, workers=2, memory_per_worker_mib=1000)
    with connect(params) as client:
        yield client


def test_a_row_that_kills_its_worker_is_found_and_skipped(
    client: Client, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (calls := tmp_path / "calls").mkdir()
    function = Poisoned(frozenset({2}), calls)
    parts = [Chunk(f"crop-{start:05d}", start, start + 5) for start in range(0, 15, 5)]
    tables = chunks.run_chunks(client, function, parts, tmp_path / "crop.chunks")
    chunks.collect(tmp_path / "crop.chunks")
    found = [json.loads((tmp_path / f"{table.parent.name}.json").read_text()) for table in tables]
    assert found == [[[0, 1, 3, 4], [2]], [[*range(5, 10)], []], [[*range(10, 15)], []]]
    message = "crop-00000: 2 workers died with it (rows 0 to 4 of its input); looking for the row that kills them"
    assert message in capsys.readouterr().err
    executions = Counter(path.name.rpartition("-")[0] for path in calls.iterdir())
    assert executions.keys() == {"0-5", "0-2", "2-5", "2-3", "3-5", "5-10", "10-15"}, "it is bisected"
    assert (executions["0-5"], executions["2-3"]) == (3, 2)


def test_a_chunk_that_kills_workers_though_no_row_does_ends_the_run(client: Client, tmp_path: Path) -> None:
    function = Poisoned(frozenset(), tmp_path, too_much=3)
    with pytest.raises(ClusterError, match=r"crop-00000 \(rows 0 to 3 .*\) killed 4 workers, though none of its rows"):
        chunks.run_chunks(client, function, [Chunk("crop-00000", 0, 4)], tmp_path / "crop.chunks")


def test_workers_keep_nothing_of_the_past(client: Client) -> None:
    """dask's profile of each second of the last hour took 8 MiB a minute of `superres`."""
    profiled: Any = client.run(dask.config.get, "distributed.worker.profile.enabled")
    assert {*profiled.values()} == {False}
    kept: Any = client.run_on_scheduler(_log_length)
    assert kept == LOG_LENGTH


def _log_length(dask_scheduler: Any) -> int:
    return dask_scheduler.transition_log.maxlen


def _drop_every_third(chunk: Chunk, folder: Path) -> None:
    rows = [
        Drop(index=row, file=f"{row}.jpg", reason=DropReason.TRUNCATED, detail="")
        if row % 3 == 0
        else Photograph(index=row, file=f"{row}.jpg", photograph=STORED)
        for row in range(chunk.start, chunk.stop)
    ]
    manifest.write_rows(folder / chunks.TABLE, Photograph, rows)


def test_the_scheduler_knows_some_tasks_and_progress_counts_rows_and_drops(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    most = 0
    submit = chunks._Run._submit

    def counted(run: chunks._Run, task: Task) -> None:
        nonlocal most
        submit(run, task)
        most = max(most, len(run._jobs))

    monkeypatch.setattr(chunks._Run, "_submit", counted)
    monkeypatch.setattr(progress, "SECONDS", 0.0)
    monkeypatch.delenv(progress.QUIET, raising=False)
    parts = [Chunk(f"crop-{start:05d}", start, start + 2) for start in range(0, 60, 2)]
    chunks.write_chunk(parts[0], _drop_every_third, _made(tmp_path / "crop.chunks"), "crop-00000-before")
    client.wait_for_workers(2)  # those that died before start again
    tables = chunks.run_chunks(client, _drop_every_third, parts, tmp_path / "crop.chunks")
    assert sum(manifest.account(table).given for table in tables) == 60
    assert most == 2 * chunks.TASKS_PER_WORKER
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("crop: ")]
    assert lines[-1].startswith("crop: 60 of 60 rows (100 %), ")
    assert lines[-1].endswith("; 20 dropped"), "with that of the run before"


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
