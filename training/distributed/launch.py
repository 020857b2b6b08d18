"""Several processes of one run on this machine, one for each GPU; `torchrun` does it for several machines."""

import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import closing, suppress

import torch
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException, start_processes

from pipeline.params import TrainRun
from training.runtime.signals import REQUESTS

LAUNCHED = "WORLD_SIZE"
"""Set in the environment of a process that is one of several."""

GRACE_SECONDS = 10
"""How long the others have to end by themselves after one did."""


def processes_for(run: TrainRun, gpus: int) -> int:
    """How many processes to start for a run: the most that share its devices evenly, each with a GPU of its own."""
    if LAUNCHED in os.environ:
        return 1
    return max(count for count in range(1, max(gpus, 1) + 1) if run.schedule.devices % count == 0)


def gpus_at_hand() -> int:
    """How many GPUs torch sees."""
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def launch(count: int, function: Callable[[], None]) -> None:
    """Call `function` in `count` new processes and wait; SIGTERM and SIGINT are passed on to all.

    Ends this process with the status of the first that failed, after the others were ended too.
    """
    context = start_processes(_called, (function, count, _free_port()), nprocs=count, join=False, start_method="spawn")
    assert context is not None

    def pass_on(*_: object) -> None:
        for pid in context.pids():
            with suppress(ProcessLookupError):  # it has ended
                os.kill(pid, signal.SIGTERM)

    for number in REQUESTS:
        signal.signal(number, pass_on)
    try:
        while not context.join(grace_period=GRACE_SECONDS):
            pass
    except ProcessExitedException as error:  # which has said why
        sys.exit(error.exit_code)
    except ProcessRaisedException as error:
        sys.exit(str(error))


def _called(index: int, function: Callable[[], None], count: int, port: int) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), LAUNCHED: str(count)}
    os.environ |= {"RANK": str(index), "LOCAL_RANK": str(index)}
    function()


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
