"""Our training step against the plain one: `python -m benchmarks.step [RESOLUTION MINIBATCH] ...`.

A step is D, the average and G, with full networks (fmap_base 8192); ours includes drawing latents and preparing reals.
Ours, the plain one and ours in bfloat16 alternate, `ROUNDS` times. Each measurement is a new process with one thread
and the same malloc settings: one step to warm up, then `STEPS`. Wall-clock seconds count on a quiet machine; seconds of
the processor depend less on other programs.
"""

import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.drawn_images import DrawnImages
from benchmarks.reference import Draws, PlainTrainer
from benchmarks.result import in_new_process, save
from pipeline.params import TrainRun
from stages import read_params
from training import schedule
from training.data.real_images import Reals
from training.runtime.device import prepare
from training.trainer import Trainer

DEFAULT = (32, 16, 128, 8)
ROUNDS, STEPS = 3, 2
VARIANTS = ("ours", "plain", "ours_bfloat16")
CLOCKS = {"wall": time.monotonic, "processor": time.process_time}


def full_run(resolution: int, minibatch: int, precision: str) -> TrainRun:
    """The demo's run with full networks, at `resolution` from the start."""
    values: dict[str, Any] = read_params(Path("profiles/demo.yaml")).train.runs["demo"].model_dump()
    values |= {"resolution": resolution, "threads": 1, "grid_cell_pixels": max(64, resolution)}
    values["networks"] |= {"fmap_base": 8192, "fmap_max": 512, "latent_size": 512}
    values["schedule"] |= {"initial_resolution": resolution, "minibatch": minibatch, "minibatch_at": {}}
    values["speed"] |= {"precision": precision}
    return TrainRun.model_validate(values)


def measure(variant: str, resolution: int, minibatch: int) -> dict[str, float]:
    """Seconds of a step by clock."""
    run = full_run(resolution, minibatch, "bfloat16" if variant == "ours_bfloat16" else "float32")
    prepare(run, torch.device("cpu"))
    step = schedule.at(run.schedule, resolution, 0)
    images: Any = DrawnImages(resolution, minibatch)
    ours = Trainer(run, Reals(images, run), torch.device("cpu"))
    ours.initialise()
    plain, rng = PlainTrainer(run), torch.Generator().manual_seed(1)
    plain.load(ours.networks())
    reals = torch.rand((minibatch, 3, resolution, resolution), generator=rng) * 2 - 1
    latents = torch.randn(2, minibatch, run.networks.latent_size, generator=rng)
    draws = Draws(reals, latents[0], torch.rand(minibatch, generator=rng), latents[1])

    def take() -> None:
        if variant == "plain":
            plain.step(draws, step.lod, step.learning_rate)
        else:
            ours.update(step)

    take()
    started = {name: clock() for name, clock in CLOCKS.items()}
    for _ in range(STEPS):
        take()
    return {name: (clock() - started[name]) / STEPS for name, clock in CLOCKS.items()}


def compare(resolution: int, minibatch: int) -> dict[str, Any]:
    """All variants in turn; medians, and the speed of ours by that of the plain step."""
    found: dict[str, list[dict[str, float]]] = {variant: [] for variant in VARIANTS}
    for _ in range(ROUNDS):
        for variant in VARIANTS:
            found[variant].append(in_new_process(measure, variant, resolution, minibatch))
            print(f"{resolution}x{resolution} minibatch {minibatch} {variant}: {found[variant][-1]}", flush=True)
    medians = {
        v: {clock: statistics.median(row[clock] for row in rows) for clock in CLOCKS} for v, rows in found.items()
    }
    return {
        "resolution": resolution,
        "minibatch": minibatch,
        "seconds": {
            v: {clock: [round(row[clock], 2) for row in rows] for clock in CLOCKS} for v, rows in found.items()
        },
        "images_per_second": {v: round(minibatch / median["wall"], 3) for v, median in medians.items()},
        "times_faster_than_plain": {
            v: {clock: round(medians["plain"][clock] / medians[v][clock], 2) for clock in CLOCKS}
            for v in VARIANTS
            if v != "plain"
        },
    }


def main(numbers: list[int]) -> None:
    """Compare at each resolution and minibatch; save."""
    rows = [compare(*size) for size in zip(numbers[::2], numbers[1::2], strict=True)]
    ratios = {
        f"{variant} {row['resolution']} {clock}": ratio
        for row in rows
        for variant, by_clock in row["times_faster_than_plain"].items()
        for clock, ratio in by_clock.items()
    }
    save("step", {"torch": torch.__version__, "threads": 1, "fmap_base": 8192, "sizes": rows}, ratios)


if __name__ == "__main__":
    main([int(value) for value in sys.argv[1:]] or list(DEFAULT))
