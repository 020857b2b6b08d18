"""Takes the largest step of every resolution before the run, which must not end after days when the networks grow."""

import gc
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.errors import TrainingError
from pipeline.params import TrainRun
from training import schedule
from training.data.real_images import MIB, Reals
from training.distributed.batch_split import microbatch_rows, min_samples
from training.distributed.process_group import SINGLE_PROCESS, ProcessGroup
from training.runtime.cuda_graphs import WARM_UP_CALLS, graphs_up_to
from training.schedule import Step
from training.trainer import CHANNELS, Trainer

SPARE = 0.05
"""Part of a GPU's memory that is left for what the measured step does not show, such as fragmentation."""


class Load(NamedTuple):
    """What a step needs of a device: `samples` computed at once, and at most `mib` of memory (0: not measured)."""

    resolution: int
    samples: int
    mib: float


def check(
    run: TrainRun, reals: Reals, device: torch.device, group: ProcessGroup = SINGLE_PROCESS, *, images_shown: int = 0
) -> list[Load]:
    """Take the largest step of every resolution, in mid-fade where there is a fade; changes nothing.

    Resolutions that a run of `images_shown` images has passed are left out.

    On a GPU the steps are computed as in training, the largest first and with CUDA graphs where the run has them, and
    their memory is measured, plus the level of the data set that the GPU will hold. Otherwise only shapes are computed.

    Raises
    ------
    TrainingError
        A step does not fit; the message says which `samples_at_once` would, as far as one step shows.
    """
    loads: list[Load] = []
    reached = schedule.at(run.schedule, run.resolution, images_shown).resolution
    for step in reversed([step for step in steps(run) if step.resolution >= reached]):
        samples = len(microbatch_rows(run, step, group)[0])
        mib = 0.0
        if device.type == "cuda":
            mib = _measure(run, reals, step, group, device, samples=samples)
        else:
            take(run, reals.label_size, step, group, torch.device("meta"))
        loads.append(Load(step.resolution, samples, mib))
    return loads


def steps(run: TrainRun) -> list[Step]:
    """One step for each resolution that the run reaches: in the middle of its fade, or without a fade."""
    options, found = run.schedule, dict[int, Step]()
    phase = options.train_kimg + options.fade_kimg
    for number in range((run.resolution // options.initial_resolution).bit_length()):
        # the fade into the resolution of phase n is the end of phase n - 1
        kimg = number * phase - options.fade_kimg / 2 if number and options.fade_kimg else number * phase
        if number and kimg >= options.total_kimg:
            break
        step = schedule.at(options, run.resolution, math.ceil(max(kimg, 0) * 1000))
        found[step.resolution] = step
    return list(found.values())


def remedy(step: Step, samples: int, *, group_size: int) -> str:
    """What to change where `samples` at once need too much memory."""
    smaller = [count for count in range(group_size, samples) if samples % count == 0 and count % group_size == 0]
    if not smaller:
        return (
            f"one group of {group_size} is already the least that can be computed at once: lower "
            f"schedule.max_minibatch_per_device_at, networks.mbstd_group_size or networks.fmap_base, "
            f"or set speed.precision to bfloat16"
        )
    return f"set speed.samples_at_once: {{{step.resolution}: {smaller[-1]}}} (or less), or speed.precision to bfloat16"


def take(run: TrainRun, label_size: int, step: Step, group: ProcessGroup, device: torch.device) -> None:
    """Take a step of this process with throw-away networks on black images, without exchange between processes.

    On the device "meta" it needs neither computation nor memory; shapes that do not fit raise torch's error.
    """
    # compiled steps need less memory than eager ones, and minutes to compile
    speed = run.speed.model_copy(update={"workers": 0, "gpu_mib": 0, "compile": False})
    once = run.schedule.model_copy(update={"discriminator_repeats": 1})  # further updates have the same shapes
    run = run.model_copy(update={"labels": label_size > 0, "ram_mib": 0, "speed": speed, "schedule": once})
    images: Any = _BlackImages(run.resolution, label_size)
    trainer = Trainer(run, Reals(images, run), device, _NoExchange(group.rank, group.world_size))
    if device.type != "meta":
        trainer.initialise()
    graphed = step.resolution <= graphs_up_to(run, device)
    for _ in range(WARM_UP_CALLS + 1 if graphed else 1):
        trainer.update(step)


class _BlackImages:
    """Takes the place of a data set of shards."""

    def __init__(self, resolution: int, label_size: int) -> None:
        self.resolution = resolution
        self.labels = np.eye(1, label_size, dtype=np.float32) if label_size else None

    def __len__(self) -> int:
        return 1

    def read(self, resolution: int, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        return np.zeros((len(rows), CHANNELS, resolution, resolution), np.uint8)


class _NoExchange(ProcessGroup):
    """Takes the rows of its rank and exchanges nothing."""

    def mean(self, tensors: Sequence[Tensor | None]) -> list[Tensor | None]:
        return list(tensors)


def _measure(
    run: TrainRun, reals: Reals, step: Step, group: ProcessGroup, device: torch.device, *, samples: int
) -> float:
    """The memory of a step in MiB."""
    torch.cuda.empty_cache()
    free = torch.cuda.mem_get_info(device)[0] / MIB * (1 - SPARE)
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    graphed = step.resolution <= graphs_up_to(run, device)

    def too_large(needed: str) -> TrainingError:
        group_size = min_samples(run.networks.mbstd_group_size, step.minibatch)
        return TrainingError(
            f"training would end at {step.resolution}x{step.resolution}: {samples} samples at once need {needed}. "
            f"In the run's params, {remedy(step, samples, group_size=group_size)}."
        )

    try:
        take(run, reals.label_size, step, group, device)
        torch.cuda.synchronize(device)
        # the memory of a CUDA graph is reserved, not allocated
        peak = torch.cuda.max_memory_reserved(device) if graphed else torch.cuda.max_memory_allocated(device)
    except torch.OutOfMemoryError as error:
        raise too_large("more than the GPU has") from error
    finally:
        gc.collect()
        torch.cuda.empty_cache()
    # the next level is read while this one is in use
    held = [step.resolution, 2 * step.resolution] if run.speed.workers else [step.resolution]
    levels = [reals.level_mib(resolution) for resolution in held if resolution <= run.resolution]
    mib = (peak - before) / MIB + sum(level for level in levels if level <= run.speed.gpu_mib)
    if mib > free:
        raise too_large(f"{mib:.0f} MiB (the images among them), the GPU has {free:.0f}")
    return mib
