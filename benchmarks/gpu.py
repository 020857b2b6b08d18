"""Training steps on a GPU, one resolution at a time, on noise that stays on the GPU."""

import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from pipeline.params import TrainRun
from training import schedule
from training.data.real_images import Reals
from training.distributed.process_group import SINGLE_PROCESS
from training.runtime import preflight
from training.runtime.device import prepare
from training.schedule import Step
from training.trainer import Trainer

WARM_UP = 5
SECONDS = 1.0
"""Shortest measurement."""
IMAGES = 256

MODES: dict[str, dict[str, Any]] = {
    "eager": {},
    "graphs": {"graphs_up_to": 1024},
    "compiled": {"compile": True},
    "compiled+graphs": {"compile": True, "graphs_up_to": 1024},
}
"""How steps are computed: values of `speed`."""


class NoiseImages:
    """Replaces a data set of shards: independent pixels, no labels."""

    labels = None

    def __init__(self, resolution: int) -> None:
        self.resolution = resolution

    def __len__(self) -> int:
        return IMAGES

    def read(self, resolution: int, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The images `rows`, (N, 3, resolution, resolution)."""
        return np.random.default_rng(resolution).integers(0, 256, (len(rows), 3, resolution, resolution), np.uint8)


class Operations(TorchDispatchMode):
    """Counts what unfused operations need.

    Attributes
    ----------
    flop
        Floating-point operations of convolutions and matrix products; a multiply-add counts as two.
    traffic
        Bytes of all inputs and outputs of all operations that are no views.
    launches
        Operations that are no views.
    """

    def __init__(self) -> None:
        super().__init__()
        self.flop = self.traffic = self.launches = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Count, and compute."""
        found = func(*args, **(kwargs or {}))
        if func.overloadpacket in flop_registry:
            self.flop += flop_registry[func.overloadpacket](*args, **(kwargs or {}), out_val=found)
        if not func.is_view and func is not torch.ops.aten.detach.default:
            tensors = [leaf for leaf in pytree.tree_leaves((args, kwargs, found)) if isinstance(leaf, Tensor)]
            self.traffic += sum(tensor.numel() * tensor.element_size() for tensor in tensors)
            self.launches += 1
        return found


def run_of(name: str) -> TrainRun:
    """The only run of a profile, or the run in a JSON file."""
    if name.endswith(".json"):
        return TrainRun.model_validate_json(Path(name).read_text(encoding="utf-8"))
    from stages import profiles  # noqa: PLC0415 - needs the packages of the data stages

    (run,) = profiles.read_profile(name).train.runs.values()
    return run


def with_speed(run: TrainRun, **speed: Any) -> TrainRun:
    """The run with other values of `speed`, on images without labels that the GPU holds; by default eager."""
    values = run.model_dump()
    values["speed"] |= {"graphs_up_to": 0, "compile": False, "gpu_mib": 1 << 20, "workers": 0} | speed
    return TrainRun.model_validate(values | {"labels": False})


def operations(run: TrainRun, step: Step) -> Operations:
    """What one step needs, counted without a GPU."""
    with Operations() as counted:
        preflight.take(run, 0, step, SINGLE_PROCESS, torch.device("meta"))
    return counted


def trainer_for(run: TrainRun, device: torch.device) -> Trainer:
    """A trainer with initial weights on noise."""
    prepare(run, device)
    images: Any = NoiseImages(run.resolution)
    trainer = Trainer(run, Reals(images, run), device)
    trainer.initialise()
    return trainer


def measured(run: TrainRun, step: Step, device: torch.device) -> dict[str, float]:
    """Images per second, TFLOP/s, seconds until the first step is done, and peak memory."""
    torch.cuda.empty_cache()
    trainer = trainer_for(run, device)
    torch.cuda.reset_peak_memory_stats(device)
    started = time.monotonic()
    trainer.update(step)
    torch.cuda.synchronize(device)
    first = time.monotonic() - started
    for _ in range(WARM_UP):
        trainer.update(step)
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)  # without cuDNN's search and the comparison of compiled gradients
    started, steps = time.monotonic(), 0
    while time.monotonic() - started < SECONDS or steps < 3:
        trainer.update(step)
        steps += 1
        if steps % 4 == 0:
            torch.cuda.synchronize(device)
    torch.cuda.synchronize(device)
    seconds = (time.monotonic() - started) / steps
    graphs = step.resolution <= run.speed.graphs_up_to  # their memory is reserved, not allocated
    peak = torch.cuda.max_memory_reserved(device) if graphs else torch.cuda.max_memory_allocated(device)
    return {
        "minibatch": step.minibatch,
        "images_per_second": round(step.minibatch / seconds, 2),
        "milliseconds_per_step": round(1000 * seconds, 2),
        "tflops": round(operations(run, step).flop / seconds / 1e12, 2),
        "first_step_seconds": round(first, 1),
        "peak_gib": round(peak / 2**30, 2),
    }


def hours(run: TrainRun, images_per_second: dict[int, float]) -> float:
    """Hours of the whole schedule, by the speed at each resolution."""
    images, seconds, piece = 0, 0.0, 1000
    while not schedule.run_ends(run.schedule, images):
        step = schedule.at(run.schedule, run.resolution, images)
        seconds += piece / images_per_second[step.resolution]
        images += piece
    return seconds / 3600


def step_at(run: TrainRun, resolution: int, *, fade: bool = False) -> Step:
    """The largest step of a resolution, without a fade or in the middle of one."""
    (step,) = [step for step in preflight.steps(run) if step.resolution == resolution]
    return step if fade else step._replace(lod=float(math.floor(step.lod)))
