"""The networks and optimisers of a run, and its training step.

N = minibatch (of this rank, where there are several), C = 3, L = latent size.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.params import TrainRun, WganLoss
from training import schedule
from training.checkpoint import StateDict
from training.data import random_streams
from training.data.device_loader import Feed, to_device
from training.data.preprocess import process_reals
from training.data.random_streams import Stream
from training.data.real_images import Reals
from training.distributed.batch_split import cut
from training.distributed.process_group import ALONE, Ranks
from training.metrics.running_mean import RunningMeans
from training.networks import Discriminator, Generator
from training.networks.adaptive_noise import FakeScoreEma, MultiplicativeNoise
from training.networks.discriminator import FeatureNoise as Noise
from training.networks.discriminator import identity
from training.runtime.cuda_graphs import Recorder
from training.schedule import Step
from training.train_step import OptimizedNetwork, StepKind, Updates

CHANNELS = 3

FIGURES_G = ("loss/generator",)

COMPUTE_DTYPES = {"float32": None, "tf32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}
"""The type of the 3x3 convolutions by precision; None for that of the weights."""


class Trainer:
    """Everything that training changes.

    Attributes
    ----------
    generator, discriminator, average
        G, D and Gs; Gs is the running average of G's weights.
    images_shown
        Real images that D has seen: the clock of the run.

    With several ranks each holds all of this and computes with its rows of every minibatch. Gradients and figures are
    the means over all of them, so all ranks stay the same.
    """

    def __init__(self, run: TrainRun, reals: Reals, device: torch.device, ranks: Ranks = ALONE) -> None:
        self._run = run
        self._reals = reals
        self._device = device
        self._ranks = ranks
        self._feed = Feed(reals, device, gpu_mib=run.speed.gpu_mib)
        self.generator, self.discriminator, self.average = make_networks(run, reals.label_size, device)
        self._g, self._d = (
            OptimizedNetwork(self.generator, run, device),
            OptimizedNetwork(self.discriminator, run, device),
        )
        updates = Updates(run, (self.generator, self.discriminator, self.average), (self._g, self._d), ranks)
        records = may_record(run, device, ranks)
        self._update_d, self._update_g, self._update_both = (
            Recorder(update, records=records) for update in (updates.of_d, updates.of_g, updates.of_both)
        )
        self._winning = FakeScoreEma(device)
        self._tally_d = RunningMeans(figures_of_d(run, reals.label_size), device)
        self._tally_g = RunningMeans(FIGURES_G, device)
        self._skipped_before = 0
        self.images_shown = 0

    def initialise(self) -> None:
        """Draw the weights that the run's seed stands for; the average starts as the generator."""
        for network, position in ((self.generator, 0), (self.discriminator, 1)):
            network.initialise(_torch_generator(self._run.seed, position))
        self.average.load_state_dict(self.generator.state_dict())
        if self._run.networks.mbdisc_kernels:
            step = schedule.at(self._run.schedule, self._run.resolution, 0)
            rows = self._ranks.rows(step.minibatch, self._run.networks.mbstd_group_size)
            reals_NCHW, _ = self._real_minibatch(step, 0, rows)
            self.discriminator.fit(reals_NCHW, step.lod)

    def reset_optimizers(self) -> None:
        """Forget moments and step counters of both networks."""
        self._g.optimizer.reset()
        self._d.optimizer.reset()
        self._forget_recordings()

    def update(self, step: Step) -> None:
        """Take one training step: D as often as the schedule says, then G; or, in a joint step, both at once.

        Every update of D is shown fresh reals, which count as shown, and moves the average toward G as it is then.
        """
        options, level = self._run.schedule, math.floor(step.lod)
        fades = step.lod > level
        if options.joint_steps:
            (noises_d, values_d), (noises_g, values_g) = self._drawn_for_d(step), self._drawn_for_g(step, 0)
            call = StepKind(level, fades, step.minibatch, (*noises_d, *noises_g))
            means = self._run_update(self._update_both, call, step, [*values_d, *values_g])
            self._learn_of_d(means[:-1], step)
            self._tally_g.add(means[-1])
            return
        for _ in range(options.discriminator_repeats):
            noises, values = self._drawn_for_d(step)
            call = StepKind(level, fades, step.minibatch, noises)
            self._learn_of_d(self._run_update(self._update_d, call, step, values), step)
        noises, values = self._drawn_for_g(step, -step.minibatch)
        call = StepKind(level, fades, step.minibatch, noises)
        self._tally_g.add(*self._run_update(self._update_g, call, step, values))

    def _run_update(
        self, update: Recorder, call: StepKind, step: Step, values: Sequence[Tensor | None]
    ) -> Sequence[Tensor]:
        rate = to_device(np.array([step.learning_rate]), self._device)[0]
        share = to_device(np.array([step.lod - call.level], np.float32), self._device)[0] if call.fades else None
        recordable = step.resolution <= self._run.speed.graphs_up_to
        return (update if recordable else update.plainly)(call, rate, share, *values)

    def _learn_of_d(self, means: Sequence[Tensor], step: Step) -> None:
        self._winning.update(means[2])
        self._tally_d.add(*means, *(() if isinstance(self._run.loss, WganLoss) else (self._winning.value,)))
        self.images_shown += step.minibatch

    def _drawn_for_d(self, step: Step) -> tuple[tuple[Noise, ...], list[Tensor | None]]:
        """Noise and values of every part of the minibatch that begins at `images_shown`."""
        position, noises, values = self.images_shown, list[Noise](), list[Tensor | None]()
        own, parts = cut(self._run, step, self._ranks)
        reals = self._real_minibatch(step, position, own)
        for part in parts:
            rows = own[part]
            values += (
                reals
                if len(parts) == 1
                else [None if value is None else value[to_device(part, self._device)] for value in reals]
            )
            values.append(self._latents(Stream.D_LATENTS, step, position, rows))
            values.append(
                to_device(
                    random_streams.interpolation_weights(self._run.seed, position, step.minibatch)[rows], self._device
                )
            )
            noises.append(self._noise(Stream.D_NOISE, step, position, rows))
        return tuple(noises), values

    def _drawn_for_g(self, step: Step, offset: int) -> tuple[tuple[Noise, ...], list[Tensor | None]]:
        position, noises, values = self.images_shown + offset, list[Noise](), list[Tensor | None]()
        labels_MC = self._reals.random_labels(position, step.minibatch)
        own, parts = cut(self._run, step, self._ranks)
        for rows in (own[part] for part in parts):
            values.append(self._latents(Stream.G_LATENTS, step, position, rows))
            values.append(None if labels_MC is None else to_device(labels_MC[rows], self._device))
            noises.append(self._noise(Stream.G_NOISE, step, position, rows))
        return tuple(noises), values

    def take_figures(self) -> dict[str, float]:
        """Means since the last call, updates left out so far (see `Adam`), and their share since the last call."""
        skipped = self._g.optimizer.skipped + self._d.optimizer.skipped
        share = (skipped - self._skipped_before) / (self._tally_d.updates + self._tally_g.updates)
        self._skipped_before = skipped
        figures = {**self._tally_d.take(), **self._tally_g.take()}
        return {**figures, "skipped_updates": skipped, "skipped_share": share}

    def networks(self) -> dict[str, StateDict]:
        """The weights of G, D and Gs by name."""
        return {
            "G": self.generator.state_dict(),
            "D": self.discriminator.state_dict(),
            "Gs": self.average.state_dict(),
        }

    def state(self) -> dict[str, Any]:
        """What `restore` needs beside the weights."""
        return {
            "G": self._g.state_dict(),
            "D": self._d.state_dict(),
            "winning": self._winning.value,
            "tallies": [self._tally_d.state_dict(), self._tally_g.state_dict()],
            "skipped_before": self._skipped_before,
        }

    def restore(self, images_shown: int, networks: Mapping[str, StateDict], state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.images_shown = images_shown
        self.generator.load_state_dict(networks["G"])
        self.discriminator.load_state_dict(networks["D"])
        self.average.load_state_dict(networks["Gs"])
        self._g.load_state_dict(state["G"])
        self._d.load_state_dict(state["D"])
        self._winning.value = state["winning"].to(self._device)
        for tally, told in zip((self._tally_d, self._tally_g), state["tallies"], strict=True):
            tally.load_state_dict(told)
        self._skipped_before = state["skipped_before"]
        self._forget_recordings()

    def _forget_recordings(self) -> None:
        for update in (self._update_d, self._update_g, self._update_both):
            update.forget()

    def _real_minibatch(self, step: Step, position: int, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor | None]:
        images_NCHW, mirrored_N, labels_NC = self._feed.minibatch(step.resolution, position, step.minibatch, rows)
        return process_reals(images_NCHW, mirrored_N, step.lod), labels_NC

    def _noise(self, stream: Stream, step: Step, position: int, rows: NDArray[np.int64]) -> Noise:
        if isinstance(self._run.loss, WganLoss) or self._run.loss.noise_gain == 0:
            return identity
        rng = random_streams.noise(self._run.seed, stream, position)
        return MultiplicativeNoise(self._winning.strength(self._run.loss), rng, step.minibatch, rows)

    def _latents(self, stream: Stream, step: Step, position: int, rows: NDArray[np.int64]) -> Tensor:
        shape = (step.minibatch, self._run.networks.latent_size)
        return to_device(random_streams.latents(self._run.seed, stream, position, shape)[rows], self._device)


def make_networks(run: TrainRun, label_size: int, device: torch.device) -> tuple[Generator, Discriminator, Generator]:
    """G, D and the average of a run, without weights; the average computes in full precision."""
    sizes = {"resolution": run.resolution, "channels": CHANNELS, "label_size": label_size}
    networks = Generator(run.networks, **sizes), Discriminator(run.networks, **sizes), Generator(run.networks, **sizes)
    for network in networks:
        network.to(device).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue] - not in its types
    for network in networks[:2]:
        network.set_compute_dtype(COMPUTE_DTYPES[run.speed.precision])
    networks[2].requires_grad_(False).eval()
    return networks


def figures_of_d(run: TrainRun, label_size: int) -> tuple[str, ...]:
    """What is averaged over a tick: the figures of `Updates.of_d`, and of LSGAN how far D is ahead."""
    wgan = isinstance(run.loss, WganLoss)
    labels = ("loss/labels_real", "loss/labels_fake") if label_size else ()
    figures = ("loss/discriminator", "score/real", "score/fake", *(("gradient_norm",) if wgan else ()), *labels)
    return figures if wgan else (*figures, "winning_estimate")


def may_record(run: TrainRun, device: torch.device, ranks: Ranks) -> bool:
    """Whether steps can be recorded: by one GPU, where no noise is drawn within them."""
    return device.type == "cuda" and ranks.count == 1 and isinstance(run.loss, WganLoss)


def _torch_generator(seed: int, position: int) -> torch.Generator:
    (word,) = np.random.SeedSequence([seed, Stream.WEIGHTS, position]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(word))
