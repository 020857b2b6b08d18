"""The networks and optimisers of a run, and the two halves of a training step.

N = minibatch, C = 3, L = latent size.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.params import TrainRun
from training import draws, ema, losses
from training.adam import Adam
from training.checkpoint import StateDict
from training.data import Reals
from training.draws import Stream
from training.networks import Discriminator, Generator
from training.reals import process_reals
from training.schedule import Step

CHANNELS = 3

FIGURES = ("loss/discriminator", "loss/generator", "score/real", "score/fake", "gradient_norm")
"""What is averaged over a tick, in the order in which `Trainer` sums it."""


class Trainer:
    """Everything that training changes.

    Attributes
    ----------
    generator, discriminator, average
        G, D and Gs; Gs is the running average of G's weights.
    images_shown
        Real images that D has seen: the clock of the run.
    """

    def __init__(self, run: TrainRun, reals: Reals, device: torch.device) -> None:
        self._run = run
        self._reals = reals
        self._device = device
        sizes = {"resolution": run.resolution, "channels": CHANNELS, "label_size": reals.label_size}
        self.generator = Generator(run.networks, **sizes).to(device)
        self.discriminator = Discriminator(run.networks, **sizes).to(device)
        self.average = Generator(run.networks, **sizes).to(device).requires_grad_(False)
        self._optimizer_g = Adam(self.generator.parameters(), run.optimizer)
        self._optimizer_d = Adam(self.discriminator.parameters(), run.optimizer)
        self.images_shown = 0
        self._forget_figures()

    def initialise(self) -> None:
        """Draw the weights that the run's seed stands for; the average starts as the generator."""
        for network, position in ((self.generator, 0), (self.discriminator, 1)):
            network.initialise(_torch_generator(self._run.seed, position))
        self.average.load_state_dict(self.generator.state_dict())

    def reset_optimizers(self) -> None:
        """Forget moments and step counters of both networks."""
        self._optimizer_g.reset()
        self._optimizer_d.reset()

    def update_discriminator(self, step: Step) -> None:
        """Show the next minibatch of reals to D; move the average toward G as it is before its update."""
        count, shown, seed = step.minibatch, self.images_shown, self._run.seed
        real = self._reals.minibatch(step.resolution, shown, count)
        loss, figures = losses.discriminator_loss(
            self._run.loss,
            self.generator,
            self.discriminator,
            reals_NCHW=process_reals(self._placed(real.images_NCHW), self._placed(real.mirrored_N), step.lod),
            labels_NC=self._placed_or_none(real.labels_NL),
            latents_NL=self._latents(Stream.D_LATENTS, count),
            mixing_factors_N=self._placed(draws.mixing_factors(seed, shown, count)),
            lod=step.lod,
        )
        self._optimizer_d.minimise(loss, step.learning_rate)
        ema.update(self.average, self.generator, self._run.ema_decay)
        self._add_figures(figures.loss_N, None, figures.real_scores_N, figures.fake_scores_N, figures.mixed_norms_N)

    def update_generator(self, step: Step) -> None:
        """Improve G on fresh latents, against D as it is now; the step is complete and its images count as shown."""
        count = step.minibatch
        loss, figures = losses.generator_loss(
            self._run.loss,
            self.generator,
            self.discriminator,
            latents_NL=self._latents(Stream.G_LATENTS, count),
            labels_NC=self._placed_or_none(self._reals.random_labels(self.images_shown, count)),
            lod=step.lod,
        )
        self._optimizer_g.minimise(loss, step.learning_rate)
        self._add_figures(None, figures.loss_N, None, None, None)
        self._steps += 1
        self.images_shown += count

    def take_figures(self) -> dict[str, float]:
        """Means of `FIGURES` since the last call, and how many updates were left out so far (see `Adam`)."""
        means: list[float] = (self._sums / self._steps).tolist()
        self._forget_figures()
        figures: dict[str, float] = dict(zip(FIGURES, means, strict=True))
        figures["skipped_updates"] = self._optimizer_g.skipped + self._optimizer_d.skipped
        return figures

    def networks(self) -> dict[str, StateDict]:
        """The weights of G, D and Gs by name."""
        return {
            "G": self.generator.state_dict(),
            "D": self.discriminator.state_dict(),
            "Gs": self.average.state_dict(),
        }

    def optimizers(self) -> dict[str, Any]:
        """What `restore` needs beside the weights."""
        return {"G": self._optimizer_g.state_dict(), "D": self._optimizer_d.state_dict()}

    def restore(self, images_shown: int, networks: Mapping[str, StateDict], optimizers: Mapping[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.images_shown = images_shown
        self.generator.load_state_dict(networks["G"])
        self.discriminator.load_state_dict(networks["D"])
        self.average.load_state_dict(networks["Gs"])
        self._optimizer_g.load_state_dict(optimizers["G"])
        self._optimizer_d.load_state_dict(optimizers["D"])

    def _latents(self, stream: Stream, count: int) -> Tensor:
        shape = (count, self._run.networks.latent_size)
        return self._placed(draws.latents(self._run.seed, stream, self.images_shown, shape))

    def _placed(self, values: NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(self._device)

    def _placed_or_none(self, values: NDArray[Any] | None) -> Tensor | None:
        return None if values is None else self._placed(values)

    def _forget_figures(self) -> None:
        self._sums = torch.zeros(len(FIGURES), dtype=torch.float64, device=self._device)
        self._steps = 0

    def _add_figures(self, *values_N: Tensor | None) -> None:
        # kept on the device: reading a value at every step would make a GPU wait
        zero = torch.zeros((), dtype=torch.float64, device=self._device)
        self._sums += torch.stack([zero if value_N is None else value_N.double().mean() for value_N in values_N])


def _torch_generator(seed: int, position: int) -> torch.Generator:
    (word,) = np.random.SeedSequence([seed, Stream.WEIGHTS, position]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(word))
