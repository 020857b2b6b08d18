"""The largest step of a run, taken before its first: growth shall not end a run days after its start."""

import gc
import math
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from pipeline.errors import TrainingError
from pipeline.params import TrainRun
from training import schedule
from training.distributed.batch_split import cut, samples_at_once
from training.distributed.process_group import ALONE, Ranks, members_of
from training.networks import Discriminator, Generator
from training.networks.discriminator import identity
from training.runtime.cuda_graphs import FIRST_CALLS, Recorder
from training.schedule import Step
from training.train_step import OptimizedNetwork, StepKind, Updates
from training.trainer import CHANNELS, make_networks, may_record

MIB = 1 << 20
SPARE = 0.05
"""Part of a GPU's memory that is left for what the measured step does not show, such as fragmentation."""


class Load(NamedTuple):
    """What a step needs of a device: `samples` that are computed at once, and `mib` at the most (0: not measured)."""

    resolution: int
    samples: int
    mib: float


class Data(Protocol):
    """A data set as far as sizes go (`training.data.real_images.Reals`)."""

    @property
    def label_size(self) -> int:
        """Length of a label; 0 without labels."""
        ...

    def mib(self, resolution: int) -> float:
        """Size of a level."""
        ...


def check(run: TrainRun, data: Data, device: torch.device, ranks: Ranks = ALONE) -> list[Load]:
    """Take the steps of every resolution that are largest, a fade where there is one; changes nothing.

    On a GPU they are computed, the largest first, as training does, recorded ones too, and their memory is measured,
    with the level of the data set that will lie beside them. Elsewhere only shapes are computed.

    Raises
    ------
    TrainingError
        A step does not fit; it says which `samples_at_once` would, as far as one step can tell.
    """
    loads: list[Load] = []
    for step in reversed(steps(run)):
        samples = samples_at_once(run, step, ranks)
        mib = 0.0
        if device.type == "cuda":
            level = data.mib(step.resolution)
            held = level if level <= run.speed.gpu_mib else 0.0
            mib = _measured(run, data.label_size, step, ranks, device, level_mib=held)
        else:
            take(run, data.label_size, step, ranks, torch.device("meta"))
        loads.append(Load(step.resolution, samples, mib))
    return loads


def steps(run: TrainRun) -> list[Step]:
    """One step for each resolution that the run reaches: in mid-fade to it, or without where it is not faded in."""
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


def suggested(step: Step, samples: int, *, members: int) -> str:
    """What to do where `samples` at once are too many."""
    smaller = [count for count in range(members, samples) if samples % count == 0 and count % members == 0]
    if not smaller:
        return (
            f"one group of {members} is already the least that can be computed at once: lower "
            f"schedule.max_minibatch_per_device_at, networks.mbstd_group_size or networks.fmap_base, "
            f"or set speed.precision to bfloat16"
        )
    return f"set speed.samples_at_once: {{{step.resolution}: {smaller[-1]}}} (or less), or speed.precision to bfloat16"


def take(run: TrainRun, label_size: int, step: Step, ranks: Ranks, device: torch.device) -> None:
    """A step of throw-away networks on grey images, as a rank takes it, but for the exchange between ranks.

    On the device "meta" it has neither numbers nor memory; what does not fit together is an error of torch's.
    """
    networks = make_networks(run, label_size, device)
    if device.type != "meta":
        rng = torch.Generator().manual_seed(0)
        for network in networks:
            network.initialise(rng)
    generator, discriminator, _ = networks
    sides = OptimizedNetwork(generator, run, device), OptimizedNetwork(discriminator, run, device)
    updates = Updates(run, networks, sides, ALONE)
    _, parts = cut(run, step, ranks)
    of_d, of_g = _grey(run, networks[:2], step, samples_at_once(run, step, ranks), device)
    level = math.floor(step.lod)
    share = torch.tensor(step.lod - level, device=device) if step.lod > level else None
    rate = torch.tensor(step.learning_rate, dtype=torch.float64, device=device)
    call = StepKind(level, share is not None, step.minibatch, (identity,) * len(parts))
    records = step.resolution <= run.speed.graphs_up_to and may_record(run, device, ranks)
    recorders = Recorder(updates.of_d, records=records), Recorder(updates.of_g, records=records)
    for _ in range(FIRST_CALLS + 1 if records else 1):
        for update, values in zip(recorders, (of_d, of_g), strict=True):
            update(call, rate, share, *values * len(parts))


def _grey(
    run: TrainRun, networks: tuple[Generator, Discriminator], step: Step, samples: int, device: torch.device
) -> tuple[list[Tensor | None], list[Tensor | None]]:
    """What a part of D's minibatch is made from, and of G's."""
    label_size, side = networks[0].label_size, step.resolution
    latents_NL = torch.ones(samples, run.networks.latent_size, device=device)
    labels_NC = None
    if label_size:
        labels_NC = torch.zeros(samples, label_size, device=device)
        labels_NC[:, 0] = 1
    reals_NCHW = torch.zeros(samples, CHANNELS, side, side, device=device)
    interpolation_weights_N = torch.full((samples,), 0.5, device=device)
    return [reals_NCHW, labels_NC, latents_NL, interpolation_weights_N], [latents_NL, labels_NC]


def _measured(
    run: TrainRun, label_size: int, step: Step, ranks: Ranks, device: torch.device, *, level_mib: float
) -> float:
    torch.cuda.empty_cache()
    room = torch.cuda.mem_get_info(device)[0] / MIB * (1 - SPARE)
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    recorded = step.resolution <= run.speed.graphs_up_to and may_record(run, device, ranks)
    try:
        take(run, label_size, step, ranks, device)
        torch.cuda.synchronize(device)
        # the memory of a recording is reserved, not allocated
        peak = torch.cuda.max_memory_reserved(device) if recorded else torch.cuda.max_memory_allocated(device)
    except torch.OutOfMemoryError as error:
        raise _too_large(run, step, ranks, "more than the GPU has") from error
    except RuntimeError as error:  # what torch raises of an operation that cannot be recorded
        if not recorded:
            raise
        raise TrainingError(
            f"steps at {step.resolution}x{step.resolution} cannot be recorded on this GPU ({error}). Set "
            f"speed.graphs_up_to of the run to a lower resolution, or to 0."
        ) from error
    finally:
        gc.collect()
        torch.cuda.empty_cache()
    mib = (peak - before) / MIB + level_mib
    if mib > room:
        raise _too_large(run, step, ranks, f"{mib:.0f} MiB (the images among them), the GPU has {room:.0f}")
    return mib


def _too_large(run: TrainRun, step: Step, ranks: Ranks, needed: str) -> TrainingError:
    samples = samples_at_once(run, step, ranks)
    members = members_of(run.networks.mbstd_group_size, step.minibatch)
    return TrainingError(
        f"training would end at {step.resolution}x{step.resolution}: {samples} samples at once need {needed}. "
        f"In the run's params, {suggested(step, samples, members=members)}."
    )
