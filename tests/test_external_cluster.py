"""All data stages on a scheduler and two workers in another folder, each stage with a worker killed in mid-chunk."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from dask.distributed import Client

from stages.align import align
from stages.crop import crop
from stages.denoise import denoise
from stages.download import download
from stages.extract import extract
from stages.fit_denoise import fit_denoise
from stages.fit_superres import fit_superres
from stages.lsun import lsun
from stages.select import select
from stages.shard import shard
from stages.superres import superres
from tests.dask_processes import ROOT, dask_process, dask_scheduler, worker_words
from tests.stages.faces import scheduler

FIT = {"network": {"steps": 2, "channels": 8, "blocks": 1, "held_out_photographs": 2, "max_photographs": 4}}
SMALL: dict[str, dict[str, Any]] = {
    "download": {"source": {"photographs": 12, "bad_photographs": 0}},
    "align": {"resolution": 64, "photographs_per_chunk": 4},
    "crop": {"faces_per_chunk": 3},
    "fit_denoise": FIT,
    "denoise": {"faces_per_chunk": 3},
    "fit_superres": {"network": {"kind": "none"}},  # torch in every worker that is started takes seconds
    "superres": {"faces_per_chunk": 3, "previews": 4, "method": "lanczos"},
    "select": {"keep": 10},
    "shard": {"images_per_shard": 3},
    "lsun": {"source": {"records": 12}, "resolution": 64, "images_per_shard": 3},
}
STAGES: dict[str, Callable[[], None]] = {
    "align": align,
    "crop": crop,
    "denoise": denoise,
    "superres": superres,
    "shard": shard,
    "lsun@bedroom": lambda: lsun("bedroom"),
}


def _write_params(address: str | None) -> None:
    params = yaml.safe_load((ROOT / "profiles/demo.yaml").read_text())
    for section, values in SMALL.items():
        for key, value in values.items():
            part = isinstance(value, dict) and "kind" not in value
            params[section][key] = params[section][key] | value if part else value
    params["cluster"] |= {"scheduler": address, "workers": 1}
    Path("params.yaml").write_text(yaml.safe_dump(params))


def _digests() -> dict[str, str]:
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(Path("data").rglob("*"))
        if path.is_file() and path.parts[1] != ".rates"
    }


def _build(run: Callable[[str, Callable[[], None]], None]) -> None:
    for name, stage in STAGES.items():
        if name == "shard":
            select()
        run(name, stage)


@contextmanager
def _killing_a_worker_of(name: str, pids: list[int]) -> Iterator[list[int]]:
    """SIGKILL the first of two processes while both have a chunk of the stage `name` half done; yield those killed."""
    killed: list[int] = []
    ended = threading.Event()

    def watch() -> None:
        workers = [psutil.Process(pid) for pid in pids]
        while not ended.is_set():
            folders: list[Path] = []
            with suppress(FileNotFoundError):  # the stage removes its folders when it ends
                folders += Path("data/.work").glob(f"{name}-*/*.chunks/*-*-*.partial")
            if len(folders) == len(workers):
                for worker in workers:
                    worker.suspend()
                if all(folder.exists() for folder in folders):  # both stand still in mid-chunk
                    workers[0].send_signal(signal.SIGKILL)
                    workers[1].resume()
                    killed.append(workers[0].pid)
                    return
                for worker in workers:
                    worker.resume()
            time.sleep(0.002)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield killed
    finally:
        ended.set()
        thread.join()


@pytest.mark.timeout(120)
def test_the_bytes_are_those_of_a_local_run_though_workers_are_killed(tmp_path: Path) -> None:
    elsewhere, root = tmp_path / "elsewhere", tmp_path / "project"
    elsewhere.mkdir()
    root.mkdir()
    with chdir(root):
        (root / "manifests").symlink_to(ROOT / "manifests")
        _write_params(None)
        for stage in (download, extract, fit_denoise, fit_superres):
            stage()
        shutil.copytree("data", tmp_path / "before")
        with scheduler() as threads:

            def run_here(name: str, stage: Callable[[], None]) -> None:
                # an LMDB cannot be opened twice in a process
                _write_params(None if name.startswith("lsun") else threads)
                stage()

            _build(run_here)
        local = _digests()
        shutil.rmtree("data")
        shutil.move(tmp_path / "before", "data")
        with (
            dask_scheduler(elsewhere) as address,
            dask_process(elsewhere, *worker_words(address, "--nworkers", "2")),
            Client(address) as client,
        ):
            _write_params(address)
            environment = os.environ | {"PYTHONPATH": str(ROOT)}
            client.wait_for_workers(2, timeout=60)

            def run(name: str, stage: Callable[[], None]) -> None:
                while len(pids := [*client.run(os.getpid).values()]) < 2:
                    time.sleep(0.1)
                for _ in range(10):
                    with _killing_a_worker_of(name, pids) as killed:
                        if name == "crop":  # as dvc.yaml runs it: the functions of its tasks are in __main__
                            subprocess.run([sys.executable, "-m", "stages.crop"], env=environment, check=True)
                        else:
                            stage()
                    if killed:
                        return
                    shutil.rmtree(Path("data", *name.split("@")))  # never were both workers seen in mid-chunk
                pytest.fail(f"{name} ended ten times before a worker could be killed")

            _build(run)
        assert _digests() == local
        assert not any(Path(elsewhere).rglob("*.parquet"))
