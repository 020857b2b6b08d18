"""A training step of ours against the plain one: `python -m benchmarks.step [RESOLUTION MINIBATCH] ...`.

A step is D, the average and G, with full networks (fmap_base 8192); ours draws its numbers and prepares its reals
within it. Each measurement is a process of its own with one thread, set up as for a run (malloc too, for all sides):
one step to warm up, two that count. Ours, the plain one (`benchmarks.reference`) and ours in bfloat16 take turns,
`ROUNDS` times; nothing else of it runs meanwhile.
Wall-clock seconds tell the speed; those of the processor are kept beside, as they suffer less from other programs.
"""

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks import result
from benchmarks.presets import DrawnImages
from benchmarks.reference import Draws, PlainTrainer
from pipeline.params import TrainRun
from stages import read_params
from training import schedule
from training.data.real_images import Reals
from training.runtime.device import prepare
from training.trainer import Trainer

DEFAULT = ((32, 16), (128, 8))
ROUNDS, STEPS = 3, 2
SIDES = ("ours", "plain", "ours_bfloat16")


def full_run(resolution: int, minibatch: int, precision: str = "float32") -> TrainRun:
    """The demo's run with full networks, at its last resolution from the start."""
    values: dict[str, Any] = read_params(Path("profiles/demo.yaml")).train.runs["demo"].model_dump()
    values |= {"resolution": resolution, "threads": 1, "grid_cell_pixels": max(64, resolution)}
    values["networks"] |= {"fmap_base": 8192, "fmap_max": 512, "latent_size": 512}
    values["schedule"] |= {"initial_resolution": resolution, "minibatch": minibatch, "minibatch_at": {}}
    values["speed"] |= {"precision": precision}
    return TrainRun.model_validate(values)


def measured(side: str, resolution: int, minibatch: int) -> dict[str, float]:
    """Seconds of a step, the mean of two after one to warm up, by the clock and of the processor."""
    run = full_run(resolution, minibatch, "bfloat16" if side == "ours_bfloat16" else "float32")
    prepare(run, torch.device("cpu"))
    step = schedule.at(run.schedule, resolution, 0)
    images: Any = DrawnImages(resolution, minibatch)
    ours = Trainer(run, Reals(images, run), torch.device("cpu"))
    ours.initialise()
    plain, rng = PlainTrainer(run), torch.Generator().manual_seed(1)
    if side == "plain":
        plain.load(ours.networks())
    shape = (minibatch, 3, resolution, resolution)
    latents = torch.randn(2, minibatch, run.networks.latent_size, generator=rng)
    drawn = Draws(
        torch.rand(shape, generator=rng) * 2 - 1, latents[0], torch.rand(minibatch, generator=rng), latents[1]
    )

    def take() -> None:
        if side == "plain":
            plain.step(drawn, step.lod, step.learning_rate)
        else:
            ours.update(step)

    take()
    wall, processor = time.monotonic(), time.process_time()
    for _ in range(STEPS):
        take()
    return {"wall": (time.monotonic() - wall) / STEPS, "processor": (time.process_time() - processor) / STEPS}


def compared(resolution: int, minibatch: int) -> dict[str, Any]:
    """All sides in turns; medians, and how often ours fits into the plain step."""
    found: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    for _ in range(ROUNDS):
        for side in SIDES:
            command = [sys.executable, "-m", "benchmarks.step", side, str(resolution), str(minibatch)]
            told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            found[side].append(json.loads(told))
            print(f"{resolution}x{resolution} minibatch {minibatch} {side}: {found[side][-1]}", flush=True)
    medians = {
        side: {kind: statistics.median(row[kind] for row in rows) for kind in ("wall", "processor")}
        for side, rows in found.items()
    }
    return {
        "resolution": resolution,
        "minibatch": minibatch,
        "seconds": {
            side: {kind: [round(row[kind], 2) for row in rows] for kind in rows[0]} for side, rows in found.items()
        },
        "images_per_second": {side: round(minibatch / median["wall"], 3) for side, median in medians.items()},
        "times_faster_than_plain": {
            side: {kind: round(medians["plain"][kind] / medians[side][kind], 2) for kind in ("wall", "processor")}
            for side in SIDES
            if side != "plain"
        },
    }


def main(sizes: list[tuple[int, int]]) -> None:
    """Compare at each size; print and keep."""
    rows = [compared(resolution, minibatch) for resolution, minibatch in sizes]
    for row in rows:
        print(row)
    result.keep("step", {"torch": torch.__version__, "threads": 1, "fmap_base": 8192, "sizes": rows})


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in SIDES:
        print(json.dumps(measured(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
    else:
        numbers = [int(value) for value in sys.argv[1:]]
        main(list(zip(numbers[::2], numbers[1::2], strict=True)) or list(DEFAULT))
