"""The largest step of a run, taken before its first: growth shall not end a run days after its start."""

import gc
import math
from typing import NamedTuple

import torch

from pipeline.errors import TrainingError
from pipeline.params import TrainRun
from training import schedule
from training.losses import discriminator_loss, generator_loss
from training.micro import parts_of
from training.networks import Discriminator, Generator
from training.ranks import ALONE, Ranks
from training.schedule import Step
from training.trainer import CHANNELS, make_networks

MIB = 1 << 20
SPARE = 0.05
"""Part of a GPU's memory that is left for what the measured step does not show, such as fragmentation."""


class Load(NamedTuple):
    """What a step needs of a device: `samples` that are computed at once, and `mib` at the most (0: not measured)."""

    resolution: int
    samples: int
    mib: float


def check(run: TrainRun, label_size: int, device: torch.device, ranks: Ranks = ALONE) -> list[Load]:
    """Take the steps of every resolution that are largest, a fade where there is one; changes nothing.

    On a GPU they are computed, the largest first, and their memory is measured, with the level of the data set that
    may lie beside them and all that the optimisers will hold. Elsewhere only shapes are computed.

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
            mib = _measured(run, label_size, step, samples, device)
        else:
            take_shapes(run, label_size, step, samples)
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


def samples_at_once(run: TrainRun, step: Step, ranks: Ranks) -> int:
    """How many samples of a step each device computes at a time."""
    group = run.networks.mbstd_group_size
    own = len(ranks.rows(step.minibatch, group))
    members = min(max(group, 1), step.minibatch)
    return own // parts_of(own, members=members, limit=run.speed.samples_at_once.get(step.resolution))


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


def take_shapes(run: TrainRun, label_size: int, step: Step, samples: int) -> None:
    """Compute a step of `samples` without numbers or memory: what does not fit together is an error of torch's."""
    device = torch.device("meta")
    generator, discriminator, _ = make_networks(run, label_size, device)
    _take(run, (generator, discriminator), step, samples, device)


def _measured(run: TrainRun, label_size: int, step: Step, samples: int, device: torch.device) -> float:
    members = min(max(run.networks.mbstd_group_size, 1), step.minibatch)
    networks = None
    try:
        networks = make_networks(run, label_size, device)
        rng = torch.Generator().manual_seed(0)
        for network in networks:
            network.initialise(rng)
        torch.cuda.reset_peak_memory_stats(device)
        _take(run, networks[:2], step, samples, device)
        weights = sum(parameter.nbytes for network in networks[:2] for parameter in network.parameters())
        moments = 1 + (run.optimizer.beta1 > 0)
        level = run.speed.gpu_mib  # at most
        # the moments, and what the update holds beside the gradients: their finite form and the way of each weight
        mib = (torch.cuda.max_memory_allocated(device) + weights * (moments + 2)) / MIB + level
    except torch.OutOfMemoryError as error:
        raise _too_large(step, samples, members, "more than the GPU has") from error
    finally:
        del networks
        gc.collect()
        torch.cuda.empty_cache()
    room = torch.cuda.get_device_properties(device).total_memory / MIB * (1 - SPARE)
    if mib > room:
        raise _too_large(step, samples, members, f"{mib:.0f} MiB (speed.gpu_mib among them), the GPU has {room:.0f}")
    return mib


def _too_large(step: Step, samples: int, members: int, needed: str) -> TrainingError:
    return TrainingError(
        f"training would end at {step.resolution}x{step.resolution}: {samples} samples at once need {needed}. "
        f"In the run's params, {suggested(step, samples, members=members)}."
    )


def _take(
    run: TrainRun, networks: tuple[Generator, Discriminator], step: Step, samples: int, device: torch.device
) -> None:
    """Both losses and their gradients, of grey images."""
    generator, discriminator = networks
    latents_NL = torch.ones(samples, run.networks.latent_size, device=device)
    labels_NC = None
    if generator.label_size:
        labels_NC = torch.zeros(samples, generator.label_size, device=device)
        labels_NC[:, 0] = 1
    loss, _ = discriminator_loss(
        run.loss,
        generator,
        discriminator,
        reals_NCHW=torch.zeros(samples, CHANNELS, step.resolution, step.resolution, device=device),
        labels_NC=labels_NC,
        latents_NL=latents_NL,
        mixing_factors_N=torch.full((samples,), 0.5, device=device),
        lod=step.lod,
    )
    torch.autograd.grad(loss, list(discriminator.parameters()), allow_unused=True)
    loss, _ = generator_loss(
        run.loss, generator, discriminator, latents_NL=latents_NL, labels_NC=labels_NC, lod=step.lod
    )
    torch.autograd.grad(loss, list(generator.parameters()), allow_unused=True)
