"""Training steps on a GPU: `python -m benchmarks.gpu [PROFILE|RUN.json [MODE ...]]`.

For each mode and each resolution of a run (default v2-1gpu), without and within a fade: images per second, TFLOP/s and
peak memory; then the hours of the run's whole schedule. Modes: float32, tf32, bfloat16, float16, each also with
`+graphs` (CUDA graphs up to 32x32; `+graphs64`: up to 64x64). A step is D, the average and G; its operations are
counted without a GPU. Images are noise and stay on the GPU.

Results are saved after every resolution, so an interrupted measurement is not lost. With a run as JSON (from
`TrainRun.model_dump_json`) only torch, numpy, h5py, pydantic and safetensors are needed.
"""

import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from benchmarks.result import save, slug
from pipeline.params import TrainRun
from training import schedule
from training.data.real_images import Reals
from training.distributed.process_group import SINGLE_PROCESS
from training.runtime import preflight
from training.runtime.device import prepare
from training.schedule import Step
from training.trainer import Trainer

MODES = ("float32", "tf32", "bfloat16", "float32+graphs", "tf32+graphs", "bfloat16+graphs")
GRAPHS_UP_TO = 32
WARM_UP = 5
SECONDS = 1.0
"""Shortest measurement."""
IMAGES = 256


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
    """Counts floating-point operations of convolutions and matrix products; a multiply-add counts as two."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Count, and compute."""
        found = func(*args, **(kwargs or {}))
        if func.overloadpacket in flop_registry:
            self.total += flop_registry[func.overloadpacket](*args, **(kwargs or {}), out_val=found)
        return found


def run_of(name: str) -> TrainRun:
    """The only run of a profile, or the run in a JSON file."""
    if name.endswith(".json"):
        return TrainRun.model_validate_json(Path(name).read_text(encoding="utf-8"))
    from stages import profiles  # noqa: PLC0415 - needs the packages of the data stages

    (run,) = profiles.read_profile(name).train.runs.values()
    return run


def in_mode(run: TrainRun, mode: str) -> TrainRun:
    """The run in a mode."""
    precision, _, graphs = mode.partition("+graphs")
    values: dict[str, Any] = run.model_dump()
    limit = int(graphs or GRAPHS_UP_TO) if "+graphs" in mode else 0
    values["speed"] |= {"precision": precision, "graphs_up_to": limit, "gpu_mib": 1 << 20, "workers": 0}
    return TrainRun.model_validate(values | {"labels": False})


def operations(run: TrainRun, step: Step) -> int:
    """Floating-point operations of one step."""
    with Operations() as counted:
        preflight.take(run, 0, step, SINGLE_PROCESS, torch.device("meta"))
    return counted.total


def measured(run: TrainRun, trainer: Trainer, step: Step, device: torch.device) -> dict[str, float]:
    """Time several steps, with a synchronised GPU before and after."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    for _ in range(WARM_UP):
        trainer.update(step)
    torch.cuda.synchronize(device)
    started, steps = time.monotonic(), 0
    while (seconds := time.monotonic() - started) < SECONDS or steps < 3:
        trainer.update(step)
        steps += 1
        if steps % 4 == 0:
            torch.cuda.synchronize(device)
    torch.cuda.synchronize(device)
    seconds = time.monotonic() - started
    recorded = step.resolution <= run.speed.graphs_up_to  # the memory of graphs is reserved, not allocated
    peak = torch.cuda.max_memory_reserved(device) if recorded else torch.cuda.max_memory_allocated(device)
    return {
        "images_per_second": round(steps * step.minibatch / seconds, 2),
        "tflops": round(operations(run, step) * steps / seconds / 1e12, 3),
        "peak_gib": round(peak / 2**30, 3),
    }


def hours(run: TrainRun, speeds: dict[tuple[int, bool], float]) -> float:
    """Hours of the whole schedule, by images per second of each (resolution, within a fade)."""
    images, seconds, piece = 0, 0.0, 1000
    while not schedule.run_ends(run.schedule, images):
        step = schedule.at(run.schedule, run.resolution, images)
        seconds += piece / speeds[step.resolution, step.lod > math.floor(step.lod)]
        images += piece
    return seconds / 3600


def steps_of(run: TrainRun) -> list[Step]:
    """The steps of every resolution: without a fade and, except for the first, in the middle of one."""
    fading = preflight.steps(run)
    steady = [step._replace(lod=float(math.floor(step.lod))) for step in fading]
    return [step for pair in zip(steady, fading, strict=True) for step in dict.fromkeys(pair)]


def main(profile: str, modes: Sequence[str]) -> None:
    """Measure, print and save."""
    device = torch.device("cuda")
    name = torch.cuda.get_device_name(device)
    run = run_of(profile)
    figures: dict[str, Any] = {"gpu": name, "torch": torch.__version__, "cuda": torch.version.cuda, "profile": profile}
    figures["modes"] = {}
    for mode in modes:
        rows: dict[str, Any] = {}
        speeds: dict[tuple[int, bool], float] = {}
        changed = in_mode(run, mode)
        prepare(changed, device)
        images: Any = NoiseImages(run.resolution)
        trainer = Trainer(changed, Reals(images, changed), device)
        trainer.initialise()
        figures["modes"][mode] = rows
        for step in steps_of(changed):
            trainer.reset_optimizers()
            fades = step.lod > math.floor(step.lod)
            label = f"{step.resolution}{' fading' if fades else ''}"
            try:
                speed = measured(changed, trainer, step, device)
            except torch.OutOfMemoryError:
                rows[label] = {"minibatch": step.minibatch, "out_of_memory": True}
                print(f"{mode:18} {label:12} out of memory", flush=True)
                continue
            speeds[step.resolution, fades] = speed["images_per_second"]
            rows[label] = {"minibatch": step.minibatch, **speed}
            print(f"{mode:18} {label:12} {rows[label]}", flush=True)
            save(f"gpu-{slug(name)}", figures)
        if len(speeds) == len(steps_of(changed)):
            rows["hours_of_schedule"] = round(hours(changed, speeds), 2)
            print(f"{mode:18} {rows['hours_of_schedule']} hours", flush=True)
        save(f"gpu-{slug(name)}", figures)
        del trainer
        torch.cuda.empty_cache()
    hours_of = {
        mode: rows["hours_of_schedule"] for mode, rows in figures["modes"].items() if "hours_of_schedule" in rows
    }
    first = next(iter(hours_of.values()), 0.0)
    save(
        f"gpu-{slug(name)}", figures, {f"speed of {mode}": round(first / value, 2) for mode, value in hours_of.items()}
    )


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "v2-1gpu", sys.argv[2:] or MODES)
