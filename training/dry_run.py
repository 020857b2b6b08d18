"""The table of a run's phases, without training: what a run will do, and what it needs."""

import torch

from pipeline.params import TrainRun
from training import schedule
from training.data.real_images import Reals
from training.runtime import preflight

HEADER = ("resolution", "phase", "from kimg", "to kimg", "minibatch", "steps", "learning rate", "GPU MiB", "data")


def table(run: TrainRun, reals: Reals | None, device: torch.device, first: int = 0) -> str:
    """A line for each phase of the run, which starts after `first` images.

    On a GPU with data the largest step of every resolution is taken, and its memory is shown. Of the data set: the size
    of the level in MiB, and where it is kept.

    Raises
    ------
    TrainingError
        A step does not fit the memory or the networks (see `preflight.check`).
    """
    checked = [] if reals is None else preflight.check(run, reals, device, images_shown=first)
    loads = {load.resolution: load.mib for load in checked}
    rows: list[tuple[str, ...]] = [HEADER]
    for phase in schedule.phases(run.schedule, run.resolution, first):
        step = phase.first
        mib = loads.get(step.resolution, 0.0)
        rows.append(
            (
                f"{step.resolution}",
                "fade in" if phase.fades else "train",
                f"{phase.start / 1000:.1f}",
                f"{phase.end / 1000:.1f}",
                f"{step.minibatch}",
                f"{phase.steps}",
                _rates(run, step.resolution),
                f"{mib:.0f}" if mib else "-",
                "-" if reals is None else _data(run, reals, step.resolution, device),
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _rates(run: TrainRun, resolution: int) -> str:
    """The learning rate; of G and D where they have different ones."""
    options = run.schedule
    both = [options] if options.discriminator_rates is None else [options, options.discriminator_rates]
    return "/".join(f"{schedule.learning_rate(rates, resolution):g}" for rates in both)


def _data(run: TrainRun, reals: Reals, resolution: int, device: torch.device) -> str:
    mib = reals.level_mib(resolution)
    if device.type == "cuda" and mib <= run.speed.gpu_mib:
        place = "on the GPU"
    else:
        place = "in memory" if mib <= run.ram_mib else "from the shards"
    return f"{mib:.1f} MiB {place}"
