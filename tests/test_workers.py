"""Workers on other hosts: processes that were started in another folder, and all that can be wrong with them."""

import os
import re
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import dask.config
import pytest
from dask.distributed import Client

from pipeline import chunks, workers
from pipeline.chunks import Chunk
from pipeline.errors import ClusterError
from pipeline.params import ClusterParams
from tests.dask_processes import ENVIRONMENT, ROOT, dask_process, dask_scheduler, worker_words
from tests.worker_tasks import wait, write, write_with

CHUNKS = [Chunk(f"crop-{number:05d}", number, number + 1) for number in range(3)]
KEPT = """[
    len(__import__("pickle").dumps(message)) for scheduler in __import__("distributed").Scheduler._instances
    for stream in scheduler.stream_comms.values() for message in stream.recent_message_log
]"""
"""Python for a scheduler: the bytes of the messages to workers that it keeps."""


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("elsewhere")


@pytest.fixture(scope="module")
def address(elsewhere: Path) -> Iterator[str]:
    with dask_scheduler(elsewhere) as address:
        yield address


def _params(address: str | None, *, minutes: float = 1.0) -> ClusterParams:
    return ClusterParams(scheduler=address, worker_wait_minutes=minutes, workers=1, memory_per_worker_mib=1000)


def test_an_empty_scheduler_is_waited_for_up_to_a_limit(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    with (
        pytest.raises(ClusterError, match=rf"{address} has no workers after 0.01 minutes.*worker_wait_minutes"),
        workers.connect(_params(address, minutes=0.01)),
    ):
        pass
    assert f"waiting for them, up to 0.01 minutes. To start one: dask worker {address}" in capsys.readouterr().err


def test_a_scheduler_that_does_not_answer_is_named() -> None:
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
        pytest.raises(ClusterError, match=r"cluster.scheduler tcp://127\.0\.0\.1:1 does not answer .*dask scheduler"),
        workers.connect(_params("tcp://127.0.0.1:1")),
    ):
        pass


def test_workers_in_another_folder_are_waited_for_and_the_scheduler_keeps_little(
    address: str, elsewhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with dask_process(elsewhere, *worker_words(address)), workers.connect(_params(address)) as client:
        chunks.run_chunks(client, partial(write_with, "x" * 900_000), CHUNKS, chunks.folder_of(Path("crop.parquet")))
        loaded: Any = client.run_on_scheduler(eval, "[*__import__('sys').modules]")
        kept: Any = client.run_on_scheduler(eval, KEPT)
    found = [(tmp_path / "crop.chunks" / chunk.name / f"{chunk.name}.txt").read_text() for chunk in CHUNKS]
    assert found == [str(elsewhere)] * 3
    assert {name for name in loaded if name.partition(".")[0] in {"cv2", "pipeline", "pyarrow", "tests"}} == {
        "pipeline", "pipeline.task",
    }  # fmt: skip
    assert len(kept) >= len(CHUNKS)
    assert max(kept) < 2500, "a thousand of them are kept for each worker, so no function with params is in them"


def test_unsuitable_workers_are_named_with_the_remedy(address: str, elsewhere: Path, tmp_path: Path) -> None:
    older = tmp_path / "older"
    for package in ("pipeline", "training", "stages"):
        shutil.copytree(ROOT / package, older / package, ignore=shutil.ignore_patterns("__pycache__"))
    (older / "pipeline/errors.py").open("a").write("# as it was last week\n")
    with ExitStack() as stack:
        for words, path in (
            (worker_words(address, "--name", "older"), older),
            (worker_words(address, "--name", "threads", "--nthreads", "4"), ROOT),
            (worker_words(address, "--name", "memory", "--memory-limit", "300MiB"), ROOT),
        ):
            stack.enter_context(dask_process(elsewhere, *words, environment=ENVIRONMENT | {"PYTHONPATH": str(path)}))
        client = stack.enter_context(Client(address))
        client.wait_for_workers(3, timeout=60)
        names = {info["name"]: worker for worker, info in client.scheduler_info(-1)["workers"].items()}
        with pytest.raises(ClusterError) as raised:
            chunks.run_chunks(client, write, CHUNKS, tmp_path / "crop.chunks")
        message = str(raised.value)
        for name, sentence in {
            "older": rf"runs another version of the code, from {older}\. Start it from the checkout",
            "threads": r"has 4 threads.* Start it with --nthreads 1",
        }.items():
            assert re.search(rf"worker {names[name]} .*{sentence}", message), message
        assert len(message.splitlines()) == 2
        with pytest.raises(ClusterError) as raised, workers.connect(_params(address), 200):
            pass
        assert re.fullmatch(
            rf"the memory limit of worker {names['memory']} is 300 MiB, but this stage needs 600: 250 for the "
            r"libraries and 200 for one item, within the 80% .* Raise dask worker --memory-limit\.",
            str(raised.value),
        )
        call = workers.write_call(tmp_path / "crop.chunks", write, local=False)
        blind = tmp_path / "nowhere/crop.chunks" / call.name
        with pytest.raises(ClusterError, match=f"does not see {tmp_path / 'nowhere'}. Mount the project's folder"):
            workers.check_workers(client, blind)


def test_a_worker_that_joins_later_is_checked_too(address: str, elsewhere: Path, tmp_path: Path) -> None:
    chunks_of_seconds = [Chunk(f"crop-{number:05d}", number, number + 1) for number in range(30)]
    with dask_process(elsewhere, *worker_words(address)), workers.connect(_params(address)) as client:
        late = threading.Timer(
            0.5, lambda: stack.enter_context(dask_process(elsewhere, *worker_words(address, "--nthreads", "2")))
        )
        with ExitStack() as stack:
            late.start()
            with pytest.raises(ClusterError, match=r"worker .* has 2 threads.* Start it with --nthreads 1"):
                chunks.run_chunks(client, wait, chunks_of_seconds, tmp_path / "crop.chunks")


def test_a_scheduler_that_dies_is_named(elsewhere: Path, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    with (
        dask_scheduler(folder) as address,
        dask_process(folder, *worker_words(address)),
        workers.connect(_params(address)) as client,
    ):
        threading.Timer(1.0, lambda: os.kill(client.run_on_scheduler(os.getpid), signal.SIGKILL)).start()
        started = time.monotonic()
        with pytest.raises(ClusterError, match=f"the scheduler {address} "):
            chunks.run_chunks(client, wait, CHUNKS, tmp_path / "crop.chunks")
        assert time.monotonic() - started < 20


def test_a_memory_limit_that_is_too_low_is_named_before_work_begins() -> None:
    params = _params(None).model_copy(update={"memory_per_worker_mib": 400})
    with (
        pytest.raises(ClusterError, match=r"cluster.memory_per_worker_mib is 400 MiB, but this stage needs 1200: 250 "),
        workers.connect(params, 700),
    ):
        pass
