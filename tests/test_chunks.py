"""Executions of chunks: two at once, and workers that die (tests/test_cluster.py has whole runs)."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import chunks, manifest
from pipeline.chunks import Chunk
from pipeline.container import read_stored, writing_container
from pipeline.manifest import Photograph

CHUNK = Chunk("crop-00000", 0, 3)


class Execution:
    """An execution of `CHUNK` in a thread, which goes on by one step at each call of `step`.

    The bytes of execution `number` are its own, as those of a network on another processor are.
    """

    def __init__(self, number: int, data: Path) -> None:
        self._number = number
        self._go, self._paused = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, args=(data,))
        self._thread.start()
        self._paused.acquire()

    def step(self) -> None:
        if self._thread.is_alive():
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
        chunks.write_chunk(CHUNK, self._write, data / "crop", CHUNK.name)
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
@given(st.lists(st.sampled_from([0, 1]), max_size=22))
def test_of_two_interleaved_executions_one_is_published_with_its_own_table(
    tmp_path_factory: pytest.TempPathFactory, turns: list[int]
) -> None:
    data = tmp_path_factory.mktemp("data")
    (data / "crop").mkdir()
    executions = [Execution(0, data), Execution(1, data)]
    seen: list[bytes] = []
    note: Callable[[], None] = lambda: seen.extend(filter(None, [_published(data)]))  # noqa: E731
    try:
        for number in turns:
            executions[number].step()
            note()
    finally:
        for execution in executions:
            execution.finish()
    note()
    assert set(seen) in ({b"\0\0\0"}, {b"\1\1\1"}), "what is published is one execution's, and never changes"
    assert [path.name for path in (data / "crop").iterdir()] == [CHUNK.name], "the other one leaves nothing"
