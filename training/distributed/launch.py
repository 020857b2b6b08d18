"""Starts the processes of a run on this machine, one for each GPU; `torchrun` does it for several machines."""

import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress

from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException, start_processes

from pipeline.params import TrainRun
from training.runtime.signals import STOP_SIGNALS

WORLD_SIZE = "WORLD_SIZE"
"""The environment variable that is set in a process that is one of several."""

GRACE_SECONDS = 10
"""How long the other processes have to end by themselves after one ended."""


def process_count(run: TrainRun, gpus: int) -> int:
    """How many processes to start: the most that divide `schedule.devices` evenly, each with its own GPU."""
    if WORLD_SIZE in os.environ:
        return 1
    return max(count for count in range(1, max(gpus, 1) + 1) if run.schedule.devices % count == 0)


def launch(count: int, function: Callable[[], None]) -> None:
    """Call `function` in `count` new processes and wait; SIGTERM and SIGINT are forwarded to all of them.

    If one fails, the others are ended, and this process exits with the status of the first that failed.
    """
    with socket.socket() as probe:  # finds a free port
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    context = start_processes(_run, (function, count, port), nprocs=count, join=False, start_method="spawn")
    assert context is not None

    def forward(*_: object) -> None:
        for pid in context.pids():
            with suppress(ProcessLookupError):  # it has ended
                os.kill(pid, signal.SIGTERM)

    for number in STOP_SIGNALS:
        signal.signal(number, forward)
    try:
        while not context.join(grace_period=GRACE_SECONDS):
            pass
    except ProcessExitedException as error:  # the process has printed why
        sys.exit(error.exit_code)
    except ProcessRaisedException as error:
        sys.exit(str(error))


def _run(rank: int, function: Callable[[], None], count: int, port: int) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), WORLD_SIZE: str(count)}
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank)}
    function()
