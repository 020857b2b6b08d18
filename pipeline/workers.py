"""The workers of a dask cluster: local processes or those of a scheduler, checked before they work."""

import hashlib
import io
import logging
import math
import os
import pickle
import resource
import secrets
import signal
import socket
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

import cv2
import dask.config
from dask.distributed import Client, LocalCluster, Worker, get_worker
from distributed.comm.core import CommClosedError
from distributed.protocol.pickle import dumps as dumps_by_value

from pipeline import provenance
from pipeline.atomic import PARTIAL_SUFFIX
from pipeline.errors import ClusterError
from pipeline.no_pandas import arrow_without_pandas
from pipeline.params import ClusterParams

LIBRARIES_MIB = 250
"""The memory of a worker that has loaded the libraries of all stages but does nothing."""

ADDRESS_SPACE_MIB = 6144
"""More than a worker with all libraries maps, 3 to 5 GiB of address space."""

PAUSED_AT = 0.8
"""The share of its memory limit above which a dask worker takes no further task."""

LOG_LENGTH = 50
"""Entries of dask's logs, which hold whole tasks."""
SHOWN_FAULTS = 5
_WORKER_ENVIRONMENT = {
    "OMP_NUM_THREADS": 1,
    "MKL_NUM_THREADS": 1,
    "OPENBLAS_NUM_THREADS": 1,
    # with dask's own value malloc returns the memory of every image to the system, which must zero its pages again
    "MALLOC_TRIM_THRESHOLD_": 256 << 20,
    "MALLOC_MMAP_THRESHOLD_": 32 << 20,
    # errors of tasks reach the client; the log would only say that a worker lost its scheduler at the end
    "DASK_LOGGING__DISTRIBUTED": "critical",
}


@contextmanager
def connect(params: ClusterParams, memory_mib: int = 0) -> Generator[Client]:
    """Connect to the scheduler at `params.scheduler`, or start a local cluster of `params.workers` processes.

    A local worker has one thread, and dask's memory limit is `params.memory_per_worker_mib` MiB. A scheduler without
    workers is waited for, up to `params.worker_wait_minutes`. `memory_mib` is what one item needs in a worker in
    addition to the libraries.

    Raises
    ------
    ClusterError
        The scheduler does not answer or has no workers, or the memory limit of a worker is too low.
    """
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # errors here name what it would log
    if params.scheduler is not None:
        with _connected(params.scheduler) as client:
            _wait_for_workers(client, params)
            limits: Any = client.run(_memory_limit, on_error="ignore")
            for address, limit in sorted(limits.items()):
                _check_memory(f"the memory limit of worker {address}", limit, memory_mib, "dask worker --memory-limit")
            try:
                yield client
            except CommClosedError as error:
                raise ClusterError(
                    f"the scheduler {params.scheduler} has ended or was cut off ({error}). Start it and its workers "
                    f"again, then run again: finished chunks are kept."
                ) from error
        return
    limit = params.memory_per_worker_mib
    _check_memory("cluster.memory_per_worker_mib", limit, memory_mib, "it in params.yaml")
    with _local_cluster(params) as cluster, Client(cluster) as client:
        if find_spec("bokeh") is not None:  # dask's pages need it; it is not installed with dask
            print(f"dask's dashboard: {client.dashboard_link}", file=sys.stderr)
        yield client


def _local_cluster(params: ClusterParams) -> LocalCluster:
    address_space, _ = resource.getrlimit(resource.RLIMIT_AS)
    if 0 <= address_space < ADDRESS_SPACE_MIB << 20:  # threads fail to start, and dask waits for them for ever
        raise ClusterError(
            f"the address space is limited to {address_space >> 20} MiB, but a worker maps up to {ADDRESS_SPACE_MIB}, "
            f"most of it unused. Run ulimit -v unlimited first; cluster.memory_per_worker_mib limits the memory."
        )
    settings = {
        "distributed.worker.daemon": True,
        "distributed.admin.system-monitor.gil.enabled": False,
        # what the scheduler and workers keep about the past: a tree of calls of each second of an hour, and tasks
        "distributed.worker.profile.enabled": False,
        "distributed.admin.low-level-log-length": LOG_LENGTH,
        "distributed.deploy.lost-worker-timeout": "1 day",  # nannies restart workers, however often they die
        "distributed.nanny.pre-spawn-environ": _WORKER_ENVIRONMENT,
    }
    dask.config.set(settings)  # for the life of the process: nannies read them when they restart a worker
    resource_tracker.ensure_running()  # to start it later would unblock the signal
    # Ctrl-C is for this thread alone: dask's thread, and the workers that it starts, now and later, inherit the mask
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        return LocalCluster(
            n_workers=params.workers,
            threads_per_worker=1,
            processes=True,
            memory_limit=f"{params.memory_per_worker_mib}MiB",
            dashboard_address="127.0.0.1:0",  # any free port: several stages may run at once
            silence_logs=logging.ERROR,
        )
    except (TimeoutError, OSError, RuntimeError) as error:
        raise ClusterError(
            f"the {params.workers} local workers could not be started ({error}). Look at the memory and the limits of "
            f"processes (ulimit -a), and run again."
        ) from error
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _memory_limit(dask_worker: Worker) -> float | None:
    limit = getattr(dask_worker.memory_manager, "memory_limit", None)
    return limit / 2**20 if limit else None


def _check_memory(name: str, limit_mib: float | None, memory_mib: int, remedy: str) -> None:
    needed = 50 * math.ceil((LIBRARIES_MIB + memory_mib) / PAUSED_AT / 50)
    if limit_mib is not None and limit_mib < needed:
        raise ClusterError(
            f"{name} is {limit_mib:.0f} MiB, but this stage needs {needed}: {LIBRARIES_MIB} for the libraries and "
            f"{memory_mib} for one item, within the {PAUSED_AT:.0%} of the limit that dask uses. Raise {remedy}."
        )


def _connected(address: str) -> Client:
    try:
        return Client(address)
    except (OSError, ValueError) as error:
        raise ClusterError(
            f"cluster.scheduler {address} does not answer ({error}). Start it (dask scheduler), correct the address, "
            f"or set it to null for local processes."
        ) from error


def _wait_for_workers(client: Client, params: ClusterParams) -> None:
    started, limit = time.monotonic(), 60 * params.worker_wait_minutes
    if not client.nthreads():
        print(
            f"{params.scheduler} has no workers yet: waiting for them, up to {params.worker_wait_minutes:g} minutes. "
            f"To start one: dask worker {params.scheduler} --nthreads 1",
            file=sys.stderr,
        )
    while not client.nthreads():
        if time.monotonic() - started > limit:
            raise ClusterError(
                f"{params.scheduler} has no workers after {params.worker_wait_minutes:g} minutes. Start some (dask "
                f"worker {params.scheduler} --nthreads 1), or raise cluster.worker_wait_minutes."
            )
        time.sleep(0.5)


@dataclass(frozen=True)
class _Requirements:
    """The code and libraries that workers must have; a local worker (`code` None) has those of its parent.

    `run` is a random word, so that no copy of a folder that an earlier run left on a worker's host is taken for it.
    """

    run: str
    code: str | None
    libraries: dict[str, str]

    def fault(self, who: str) -> str | None:
        """How this process differs, and the remedy; None if it does not."""
        if self.code is None:
            return None
        if provenance.installed_digest() != self.code:
            return (
                f"{who} runs another version of the code, from {Path(provenance.__file__).parents[1]}. Start it from "
                f"the checkout and environment of this run, and again after each change of the code."
            )
        here = provenance.library_versions()
        for name in sorted(set(self.libraries) - {"python"}):
            if here.get(name) != self.libraries[name]:
                return (
                    f"{who} has {name} {here.get(name)}, this run has {self.libraries[name]}. Install the same "
                    f"requirements.lock there."
                )
        return None


def write_call(folder: Path, function: Callable[..., Any], *, local: bool) -> Path:
    """Write what workers must have, and then the `function`, to a file in `folder` named by its SHA-256.

    A function of `__main__`, which is another module in a worker, is written by value, as dask does: `python -m` runs a
    stage so.
    """
    code = None if local else provenance.installed_digest()
    requirements = _Requirements(secrets.token_hex(8), code, provenance.library_versions())
    content = pickle.dumps(requirements) + dumps_by_value(function)
    call = folder / f"call-{hashlib.sha256(content).hexdigest()}{PARTIAL_SUFFIX}"
    call.write_bytes(content)
    return call


def open_call(call: Path) -> Callable[..., Any]:
    """The function of a call; `ClusterError` if this worker, which may have joined later, is unsuitable."""
    content = _content(call)
    fault = _fault(call, content, get_worker())
    if fault is not None:
        raise ClusterError(fault)
    return pickle.load(content)  # noqa: S301 (the client has said its digest)


def _content(call: Path) -> io.BytesIO:
    try:
        return io.BytesIO(call.read_bytes())
    except OSError:
        return io.BytesIO()


def _fault(call: Path, content: io.BytesIO, worker: Worker) -> str | None:
    """Why `worker`, which runs this, is unsuitable, and the remedy; None with `content` before its function if not."""
    cv2.setNumThreads(1)
    who = f"worker {worker.address} (process {os.getpid()} on {socket.gethostname()})"
    folder = call.parent.parent
    if hashlib.sha256(content.getbuffer()).hexdigest() not in call.name:
        return f"{who} does not see {folder}. Mount the project's folder there under the same path, writable."
    if worker.state.nthreads != 1:
        return (
            f"{who} has {worker.state.nthreads} threads, and tasks in threads disturb each other. Start it with "
            f"--nthreads 1, and --nworkers N for N cores."
        )
    requirements: _Requirements = pickle.load(content)  # noqa: S301 (as above)
    if requirements.code is None:  # a worker of the user's own scheduler may have other work, with pandas
        arrow_without_pandas()
    return requirements.fault(who)


def _fault_of_worker(call: Path, dask_worker: Worker) -> str | None:
    return _fault(call, _content(call), dask_worker)


def check_workers(client: Client, call: Path) -> None:
    """Ask each worker whether it meets the requirements of a call; `ClusterError` names those that do not, and why."""
    faults: list[str] = []
    answers: Any = client.run(_fault_of_worker, call, on_error="return")
    for address, answer in sorted(answers.items()):
        if isinstance(answer, OSError):
            continue  # it has just died: its tasks go to others
        if isinstance(answer, Exception):
            faults.append(
                f"worker {address} cannot import the project ({answer}). Start it with this project's environment: "
                f"{Path(sys.executable).with_name('dask')} worker"
            )
        elif answer is not None:
            faults.append(answer)
    if len(faults) > SHOWN_FAULTS:
        faults[SHOWN_FAULTS:] = [f"and {len(faults) - SHOWN_FAULTS} more workers"]
    if faults:
        raise ClusterError("\n".join(faults))
