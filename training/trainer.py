"""The networks and optimisers of a run, and its training step.

N = minibatch (of this rank, where there are several), C = 3, L = latent size.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.params import TrainRun, WganLoss
from training import draws, ema, losses, schedule
from training.adam import Adam
from training.checkpoint import StateDict
from training.data import Reals
from training.draws import Stream
from training.networks import Discriminator, Generator
from training.networks.discriminator import Noise, unchanged
from training.noise import MultiplicativeNoise, WinningEstimate
from training.ranks import ALONE, Ranks
from training.reals import process_reals
from training.schedule import Step
from training.tally import Tally

CHANNELS = 3

FIGURES_D = {
    "wgan-gp": ("loss/discriminator", "score/real", "score/fake", "gradient_norm"),
    "lsgan": ("loss/discriminator", "score/real", "score/fake", "winning_estimate"),
}
FIGURES_G = ("loss/generator",)
"""What is averaged over a tick, by loss."""

Slopes = Sequence[Tensor | None]
"""A gradient for each parameter of a network."""


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
        sizes = {"resolution": run.resolution, "channels": CHANNELS, "label_size": reals.label_size}
        place = {"device": device, "memory_format": torch.channels_last}
        self.generator = Generator(run.networks, **sizes).to(**place)
        self.discriminator = Discriminator(run.networks, **sizes).to(**place)
        self.average = Generator(run.networks, **sizes).to(**place).requires_grad_(False).eval()
        self._optimizer_g = Adam(self.generator.parameters(), run.optimizer)
        self._optimizer_d = Adam(self.discriminator.parameters(), run.optimizer)
        self._winning = WinningEstimate(device)
        self._tally_d = Tally(FIGURES_D[run.loss.kind], device)
        self._tally_g = Tally(FIGURES_G, device)
        self.images_shown = 0

    def initialise(self) -> None:
        """Draw the weights that the run's seed stands for; the average starts as the generator."""
        for network, position in ((self.generator, 0), (self.discriminator, 1)):
            network.initialise(_torch_generator(self._run.seed, position))
        self.average.load_state_dict(self.generator.state_dict())
        if self._run.networks.mbdisc_kernels:
            step = schedule.at(self._run.schedule, self._run.resolution, 0)
            reals_NCHW, _ = self._real_minibatch(step, 0, self._rows(step))
            self.discriminator.fit(reals_NCHW, step.lod)

    def reset_optimizers(self) -> None:
        """Forget moments and step counters of both networks."""
        self._optimizer_g.reset()
        self._optimizer_d.reset()

    def update(self, step: Step) -> None:
        """Take one training step: D as often as the schedule says, then G; or, in a joint step, both at once.

        Every update of D is shown fresh reals, which count as shown, and moves the average toward G as it is then.
        """
        options = self._run.schedule
        slopes_g = self._slopes_of_g(step, self.images_shown) if options.joint_steps else None
        for _ in range(options.discriminator_repeats):
            self._optimizer_d.step(self._slopes_of_d(step, self.images_shown), step.learning_rate)
            if self._ranks.first:  # who alone writes the average
                ema.update(self.average, self.generator, self._run.ema_decay)
            self.images_shown += step.minibatch
        if slopes_g is None:
            slopes_g = self._slopes_of_g(step, self.images_shown - step.minibatch)
        self._optimizer_g.step(slopes_g, step.learning_rate)

    def _slopes_of_d(self, step: Step, position: int) -> Slopes:
        rows = self._rows(step)
        reals_NCHW, labels_NC = self._real_minibatch(step, position, rows)
        loss, figures = losses.discriminator_loss(
            self._run.loss,
            self.generator,
            self.discriminator,
            reals_NCHW=reals_NCHW,
            labels_NC=labels_NC,
            latents_NL=self._latents(Stream.D_LATENTS, step, position, rows),
            mixing_factors_N=self._placed(draws.mixing_factors(self._run.seed, position, step.minibatch)[rows]),
            lod=step.lod,
            noise=self._noise(Stream.D_NOISE, step, position, rows),
        )
        norms_N = () if figures.penalty is None else (figures.penalty.mixed_norms_N,)
        slopes, means = self._joined(
            self._optimizer_d.gradients(loss), figures.loss_N, figures.real_scores_N, figures.fake_scores_N, *norms_N
        )
        self._winning.update(means[2])
        self._tally_d.add(*means, *(() if norms_N else (self._winning.value,)))
        return slopes

    def _slopes_of_g(self, step: Step, position: int) -> Slopes:
        rows = self._rows(step)
        labels_NC = self._reals.random_labels(position, step.minibatch)
        loss, figures = losses.generator_loss(
            self._run.loss,
            self.generator,
            self.discriminator,
            latents_NL=self._latents(Stream.G_LATENTS, step, position, rows),
            labels_NC=None if labels_NC is None else self._placed(labels_NC[rows]),
            lod=step.lod,
            noise=self._noise(Stream.G_NOISE, step, position, rows),
        )
        slopes, means = self._joined(self._optimizer_g.gradients(loss), figures.loss_N)
        self._tally_g.add(*means)
        return slopes

    def _joined(self, slopes: Slopes, *figures_N: Tensor) -> tuple[Slopes, Sequence[Tensor]]:
        """Gradients, and the mean of each figure, of the joined minibatch."""
        means = [figure_N.double().mean() for figure_N in figures_N]
        if self._ranks.count == 1:
            return slopes, means
        *slopes, joined = self._ranks.mean([*slopes, torch.stack(means).float()])
        return slopes, () if joined is None else joined.double().unbind()

    def take_figures(self) -> dict[str, float]:
        """Means of losses and scores since the last call, and how many updates were left out so far (see `Adam`)."""
        skipped = self._optimizer_g.skipped + self._optimizer_d.skipped
        return {**self._tally_d.take(), **self._tally_g.take(), "skipped_updates": skipped}

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
            "G": self._optimizer_g.state_dict(),
            "D": self._optimizer_d.state_dict(),
            "winning": self._winning.value,
        }

    def restore(self, images_shown: int, networks: Mapping[str, StateDict], state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.images_shown = images_shown
        self.generator.load_state_dict(networks["G"])
        self.discriminator.load_state_dict(networks["D"])
        self.average.load_state_dict(networks["Gs"])
        self._optimizer_g.load_state_dict(state["G"])
        self._optimizer_d.load_state_dict(state["D"])
        self._winning.value = state["winning"].to(self._device)

    def _rows(self, step: Step) -> NDArray[np.int64]:
        return self._ranks.rows(step.minibatch, self._run.networks.mbstd_group_size)

    def _real_minibatch(self, step: Step, position: int, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor | None]:
        real = self._reals.minibatch(step.resolution, position, step.minibatch)
        images_NCHW, mirrored_N = self._placed(real.images_NCHW[rows]), self._placed(real.mirrored_N[rows])
        labels_NC = None if real.labels_NL is None else self._placed(real.labels_NL[rows])
        return process_reals(images_NCHW, mirrored_N, step.lod), labels_NC

    def _noise(self, stream: Stream, step: Step, position: int, rows: NDArray[np.int64]) -> Noise:
        if isinstance(self._run.loss, WganLoss) or self._run.loss.noise_gain == 0:
            return unchanged
        rng = draws.noise(self._run.seed, stream, position)
        return MultiplicativeNoise(self._winning.strength(self._run.loss), rng, step.minibatch, rows)

    def _latents(self, stream: Stream, step: Step, position: int, rows: NDArray[np.int64]) -> Tensor:
        shape = (step.minibatch, self._run.networks.latent_size)
        return self._placed(draws.latents(self._run.seed, stream, position, shape)[rows])

    def _placed(self, values: NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(self._device)


def _torch_generator(seed: int, position: int) -> torch.Generator:
    (word,) = np.random.SeedSequence([seed, Stream.WEIGHTS, position]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(word))
