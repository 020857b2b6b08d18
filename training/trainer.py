"""The networks and optimisers of a run, and the clock of its training steps."""

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
import torch

from pipeline.params import TrainRun, WganLoss
from training import schedule
from training.checkpoint import StateDict
from training.data.device_loader import DeviceLoader
from training.data.random_streams import Stream
from training.data.real_images import Reals
from training.distributed.process_group import SINGLE_PROCESS, ProcessGroup
from training.losses import DISCRIMINATOR_FIGURES, GENERATOR_FIGURES
from training.metrics.running_mean import RunningMeans
from training.networks import Discriminator, Generator
from training.networks.adaptive_noise import FakeScoreEma
from training.networks.progressive import FadeLod
from training.runtime.compiled import compiles
from training.runtime.cuda_graphs import Capture, GraphedUpdate, graphs_up_to
from training.runtime.device import has_bfloat16, to_device
from training.schedule import Step
from training.train_step import Figures, OptimizedNetwork, TrainStep

Result = TypeVar("Result")

CHANNELS = 3

COMPUTE_DTYPES = {"float32": None, "tf32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}
"""The dtype of the 3x3 convolutions by precision; None for that of the weights."""


class Trainer:
    """Everything that training changes.

    Each process of a run holds all of it and computes its rows of every minibatch. Gradients and figures are averaged
    over the processes, so that all hold the same weights.

    Attributes
    ----------
    generator, discriminator, average
        G, D and Gs; Gs is the running average of G's weights.
    images_shown
        Real images that D was trained on: the clock of the run.
    """

    def __init__(self, run: TrainRun, reals: Reals, device: torch.device, group: ProcessGroup = SINGLE_PROCESS) -> None:
        self._run = run
        self._device = device
        self.generator, self.discriminator, self.average = make_networks(run, reals.label_size, device)
        self._g = OptimizedNetwork(self.generator, run, device)
        self._d = OptimizedNetwork(self.discriminator, run, device)
        self._fake_score = FakeScoreEma(device)
        self._loader = DeviceLoader(run, reals, device, group, self._fake_score)
        self._step = TrainStep(run, self._g, self._d, self.average, group, compiles(run, device))
        self._graphs: dict[Callable[..., Any], GraphedUpdate[Any]] = {}
        self._graphs_up_to = graphs_up_to(run, device)
        self._capture = Capture(group) if self._graphs_up_to else None
        self._means_d = RunningMeans(discriminator_figures(run, reals.label_size), device)
        self._means_g = RunningMeans(GENERATOR_FIGURES, device)
        self._skipped_before = 0
        self.images_shown = 0

    def initialise(self) -> None:
        """Draw the initial weights from the run's seed; the average starts as the generator."""
        for position, network in enumerate((self.generator, self.discriminator)):
            seeds = np.random.SeedSequence([self._run.seed, Stream.WEIGHTS, position]).generate_state(1, np.uint64)
            network.initialise(torch.Generator().manual_seed(int(seeds[0])))
        self.average.load_state_dict(self.generator.state_dict())
        if self._run.networks.mbdisc_kernels:
            step = schedule.at(self._run.schedule, self._run.resolution, 0)
            (batch,) = self._loader.discriminator_batches(step, 0)
            self.discriminator.fit(batch.reals_NCHW, step.lod)

    def reset_optimizers(self) -> None:
        """Clear moments and step counters of both networks."""
        self._g.optimizer.reset()
        self._d.optimizer.reset()
        self._graphs.clear()

    def update(self, step: Step) -> None:
        """Take one training step: D as often as the schedule says, then G; or, in a joint step, both at once.

        Every update of D takes the next reals. G is updated at the position of the last of them.
        """
        g_rate, d_rate = step.learning_rate, step.discriminator_learning_rate
        d_rate = g_rate if d_rate is None else d_rate
        if self._run.schedule.joint_steps:
            batches = self._loader.discriminator_batches(step, self.images_shown)
            g_batches = self._loader.generator_batches(step, self.images_shown)
            figures, g_figures = self._call(self._step.update_both, step, batches, g_batches, rates=(g_rate, d_rate))
            self._add_discriminator(figures, step)
        else:
            for _ in range(self._run.schedule.discriminator_repeats):
                batches = self._loader.discriminator_batches(step, self.images_shown)
                self._add_discriminator(
                    self._call(self._step.update_discriminator, step, batches, rates=(d_rate,)), step
                )
            g_batches = self._loader.generator_batches(step, self.images_shown - step.minibatch)
            g_figures = self._call(self._step.update_generator, step, g_batches, rates=(g_rate,))
        self._means_g.add(*g_figures.values())

    def _call(self, update: Callable[..., Result], step: Step, *batches: Any, rates: tuple[float, ...]) -> Result:
        """Call an update of `TrainStep`; as a CUDA graph up to `speed.graphs_up_to`."""
        # on the device, where a CUDA graph reads them; a level without fade is a number
        level, lod = math.floor(step.lod), step.lod
        if lod > level:
            lod = FadeLod(level, to_device(np.array([lod - level], np.float32), self._device)[0])
        learning_rates = to_device(np.array(rates), self._device).unbind()
        if self._capture and step.resolution <= self._graphs_up_to:
            update = self._graphs.setdefault(update, GraphedUpdate(update, self._capture))
        return update(*batches, lod, *learning_rates)

    def _add_discriminator(self, figures: Figures, step: Step) -> None:
        self.images_shown += step.minibatch
        self._fake_score.update(figures["score/fake"])
        estimate = () if isinstance(self._run.loss, WganLoss) else (self._fake_score.value,)
        self._means_d.add(*figures.values(), *estimate)

    def take_data_wait(self) -> float:
        """Seconds that steps waited for images since the last call."""
        seconds, self._loader.wait_seconds = self._loader.wait_seconds, 0.0
        return seconds

    def take_figures(self) -> dict[str, float]:
        """Means since the last call, all updates skipped so far (see `Adam`), and the share skipped since then."""
        skipped = self._g.optimizer.skipped + self._d.optimizer.skipped
        share = (skipped - self._skipped_before) / (self._means_d.updates + self._means_g.updates)
        self._skipped_before = skipped
        figures = {**self._means_d.take(), **self._means_g.take()}
        return {**figures, "skipped_updates": skipped, "skipped_share": share}

    def networks(self) -> dict[str, StateDict]:
        """The weights of G, D and Gs by name."""
        return {
            "G": self.generator.state_dict(),
            "D": self.discriminator.state_dict(),
            "Gs": self.average.state_dict(),
        }

    def state_dict(self) -> dict[str, Any]:
        """What `restore` needs besides the weights; the names are those of checkpoint files."""
        return {
            "G": self._g.state_dict(),
            "D": self._d.state_dict(),
            "winning": self._fake_score.value,
            "tallies": [self._means_d.state_dict(), self._means_g.state_dict()],
            "skipped_before": self._skipped_before,
        }

    def restore(self, images_shown: int, networks: Mapping[str, StateDict], state: Mapping[str, Any]) -> None:
        """Resume from a checkpoint."""
        self.start(images_shown, networks, state)
        for means, saved in zip((self._means_d, self._means_g), state["tallies"], strict=True):
            means.load_state_dict(saved)
        self._skipped_before = state["skipped_before"]

    def start(
        self, images_shown: int, networks: Mapping[str, StateDict], state: Mapping[str, Any] | None = None
    ) -> None:
        """Start with trained networks and, where the `state_dict` of a checkpoint is given, its optimisers."""
        self.images_shown = images_shown
        self.generator.load_state_dict(networks["G"])
        self.discriminator.load_state_dict(networks["D"])
        self.average.load_state_dict(networks["Gs"])
        if state is not None:
            self._g.load_state_dict(state["G"])
            self._d.load_state_dict(state["D"])
            self._fake_score.value = state["winning"].to(self._device)
            self._skipped_before = self._g.optimizer.skipped + self._d.optimizer.skipped
        self._graphs.clear()


def make_networks(run: TrainRun, label_size: int, device: torch.device) -> tuple[Generator, Discriminator, Generator]:
    """G, D and the average of G, with uninitialised weights; the average computes in full precision."""
    dtype = COMPUTE_DTYPES[run.speed.precision]
    if dtype == torch.bfloat16 and not has_bfloat16(device):
        dtype = None
    sizes = {"resolution": run.resolution, "channels": CHANNELS, "label_size": label_size}
    networks = Generator(run.networks, **sizes), Discriminator(run.networks, **sizes), Generator(run.networks, **sizes)
    for network in networks:
        network.to(device).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue] - not in its types
    for network in networks[:2]:
        network.set_compute_dtype(dtype)
    networks[1].float32_penalty = run.speed.float32_penalty
    networks[2].requires_grad_(False).eval()
    return networks


def discriminator_figures(run: TrainRun, label_size: int) -> tuple[str, ...]:
    """The names of what is averaged over a tick: the figures of D and, of LSGAN, the estimate that sets its noise."""
    wgan = isinstance(run.loss, WganLoss)
    absent = [] if wgan else ["gradient_norm"]
    absent += [] if label_size else ["loss/labels_real", "loss/labels_fake"]
    figures = tuple(name for name in DISCRIMINATOR_FIGURES if name not in absent)
    return figures if wgan else (*figures, "winning_estimate")
