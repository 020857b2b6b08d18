"""Workers on other hosts: processes that were started in another folder, and all that can be wrong with them."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline import chunks, workers
from pipeline.chunks import Chunk
from pipeline.errors import ClusterError
from pipeline.params import ClusterParams
from tests.dask_processes import dask, dask_scheduler, worker_words

CHUNKS = [Chunk(f"crop-{number:05d}", number, number + 1) for number in range(3)]


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("elsewhere")


@pytest.fixture(scope="module")
def address(elsewhere: Path) -> Iterator[str]:
    with dask_scheduler(elsewhere) as address:
        yield address


def _params(address: str | None, *, minutes: float = 1.0) -> ClusterParams:
    return ClusterParams(scheduler=address, worker_wait_minutes=minutes, workers=1, memory_per_worker_mib=1000)


def _write(chunk: Chunk, folder: Path) -> None:
    (folder / f"{chunk.name}.txt").write_text(os.getcwd())


def _run(address: str, folder: Path, memory_mib: int = 0) -> None:
    with workers.connect(_params(address)) as client:
        chunks.run_chunks(client, _write, CHUNKS, folder, memory_mib)


def test_an_empty_scheduler_is_waited_for_up_to_a_limit(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    with (
        pytest.raises(ClusterError, match=rf"{address} has no workers after 0.01 minutes. .* worker_wait_minutes"),
        workers.connect(_params(address, minutes=0.01)),
    ):
        pass
    assert f"waiting for them, up to 0.01 minutes. To start one: dask worker {address}" in capsys.readouterr().err


def test_a_scheduler_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        pytest.raises(ClusterError, match=r"cluster.scheduler tcp://127\.0\.0\.1:1 does not answer .*dask scheduler"),
        workers.connect(_params("tcp://127.0.0.1:1")),
    ):
        pass


def test_workers_in_another_folder_are_waited_for_and_used(address: str, elsewhere: Path, tmp_path: Path) -> None:
    os.chdir(tmp_path)
    with dask(elsewhere, *worker_words(address)):
        _run(address, chunks.folder_of(Path("work/crop.parquet")))
    found = [(tmp_path / "work/crop.chunks" / chunk.name / f"{chunk.name}.txt").read_text() for chunk in CHUNKS]
    assert found == [str(elsewhere)] * 3
