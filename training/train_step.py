"""One training step: draw batches, losses, gradients, their mean, Adam, and the average of the generator.

A minibatch is split over the processes of a run and, where a device cannot hold its rows, into microbatches.
"""

# torch's operations over many tensors at once have no public names
# pyright: reportPrivateUsage=false, reportPrivateImportUsage=false

import math
from collections.abc import Iterable, Sequence
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.params import TrainRun
from training.data.batches import DiscriminatorBatch, GeneratorBatch
from training.data.device_loader import DeviceLoader
from training.distributed.process_group import ProcessGroup
from training.losses import DISCRIMINATOR_FIGURES, discriminator_loss, generator_loss
from training.networks import Discriminator, Generator
from training.networks.progressive import FadeLod, Lod
from training.optim import ema
from training.optim.adam import Adam
from training.optim.loss_scale import LossScale
from training.runtime.cuda_graphs import GraphedUpdate, graphs_up_to
from training.runtime.device import to_device
from training.schedule import Step

Gradients = Sequence[Tensor | None]
"""A gradient for each parameter of a network."""

Figures = dict[str, Tensor]
"""What is reported of a loss, by name (`training.losses`): per sample, or the mean of a minibatch."""

Network = TypeVar("Network", bound=nn.Module)


class OptimizedNetwork(Generic[Network]):
    """A network, its optimiser and, in float16, its loss scale."""

    def __init__(self, network: Network, run: TrainRun, device: torch.device) -> None:
        self.network = network
        self.optimizer = Adam(network.parameters(), run.optimizer)
        self._scale = LossScale(device) if run.speed.precision == "float16" else None

    def gradients(self, loss: Tensor) -> Gradients:
        """The gradient of the loss for each parameter, None where it does not depend on one."""
        scaled = loss if self._scale is None else loss * self._scale.factor()
        gradients = torch.autograd.grad(scaled, self.optimizer.parameters, allow_unused=True)
        return gradients if self._scale is None else self._scale.unscale(gradients)

    def step(self, gradients: Gradients, learning_rate: Tensor | float) -> None:
        """One step of the optimiser, skipped if a gradient is not finite."""
        finite = self.optimizer.step(gradients, learning_rate)
        if self._scale is not None:
            self._scale.update(finite)

    def state_dict(self) -> dict[str, Any]:
        """The state of optimiser and loss scale, without the weights."""
        scale = {} if self._scale is None else {"scale": self._scale.state_dict()}
        return {**self.optimizer.state_dict(), **scale}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a saved state."""
        self.optimizer.load_state_dict(state)
        if self._scale is not None and "scale" in state:  # absent where the run used another precision before
            self._scale.load_state_dict(state["scale"])


class TrainStep:
    """The updates of D, G and the average of G; each returns the means of its figures."""

    def __init__(
        self,
        run: TrainRun,
        *,
        generator: OptimizedNetwork[Generator],
        discriminator: OptimizedNetwork[Discriminator],
        average: Generator,
        loader: DeviceLoader,
        group: ProcessGroup,
        device: torch.device,
    ) -> None:
        self._run = run
        self._generator = generator
        self._discriminator = discriminator
        self._average = average
        self._loader = loader
        self._group = group
        self._device = device
        self._graphs_up_to = graphs_up_to(run, device, group)
        self._graphed_discriminator = GraphedUpdate(self.update_discriminator)
        self._graphed_generator = GraphedUpdate(self.update_generator)
        self._graphed_both = GraphedUpdate(self.update_both)

    def discriminator(self, step: Step, images_shown: int) -> Figures:
        """Update D on the minibatch of reals that starts at `images_shown`, and the average of G."""
        batches = self._loader.discriminator_batches(step, images_shown)
        graphed = step.resolution <= self._graphs_up_to
        update = self._graphed_discriminator if graphed else self.update_discriminator
        return update(batches, *self._lod_and_learning_rate(step))

    def generator(self, step: Step, images_shown: int) -> Figures:
        """Update G."""
        batches = self._loader.generator_batches(step, images_shown)
        graphed = step.resolution <= self._graphs_up_to
        update = self._graphed_generator if graphed else self.update_generator
        return update(batches, *self._lod_and_learning_rate(step))

    def both(self, step: Step, images_shown: int) -> tuple[Figures, Figures]:
        """Update D, the average of G, and G, both networks from the same weights."""
        batches = self._loader.discriminator_batches(step, images_shown)
        g_batches = self._loader.generator_batches(step, images_shown)
        graphed = step.resolution <= self._graphs_up_to
        update = self._graphed_both if graphed else self.update_both
        return update(batches, g_batches, *self._lod_and_learning_rate(step))

    def update_discriminator(self, batches: Sequence[DiscriminatorBatch], lod: Lod, learning_rate: Tensor) -> Figures:
        """Update D, and the average of G, from the microbatches of this process."""
        gradients, figures = self._mean(self._discriminator_gradients(batch, lod) for batch in batches)
        self._discriminator.step(gradients, learning_rate)
        if self._group.rank == 0:  # no other process uses the average
            ema.update(self._average, self._generator.network, self._run.ema_decay)
        return figures

    def update_generator(self, batches: Sequence[GeneratorBatch], lod: Lod, learning_rate: Tensor) -> Figures:
        """Update G from the microbatches of this process."""
        gradients, figures = self._mean(self._generator_gradients(batch, lod) for batch in batches)
        self._generator.step(gradients, learning_rate)
        return figures

    def update_both(
        self,
        batches: Sequence[DiscriminatorBatch],
        g_batches: Sequence[GeneratorBatch],
        lod: Lod,
        learning_rate: Tensor,
    ) -> tuple[Figures, Figures]:
        """Update both networks; the gradients of G are computed before D changes."""
        gradients, g_figures = self._mean(self._generator_gradients(batch, lod) for batch in g_batches)
        figures = self.update_discriminator(batches, lod, learning_rate)
        self._generator.step(gradients, learning_rate)
        return figures, g_figures

    def reset_graphs(self) -> None:
        """Drop CUDA graphs, because moments or weights were replaced."""
        for update in (self._graphed_discriminator, self._graphed_generator, self._graphed_both):
            update.reset()

    def _discriminator_gradients(self, batch: DiscriminatorBatch, lod: Lod) -> tuple[Gradients, Figures]:
        networks = self._generator.network, self._discriminator.network
        loss, terms_N = discriminator_loss(self._run.loss, *networks, batch, lod)
        figures_N = {name: terms_N[name] for name in DISCRIMINATOR_FIGURES if name in terms_N}
        return self._discriminator.gradients(loss), figures_N

    def _generator_gradients(self, batch: GeneratorBatch, lod: Lod) -> tuple[Gradients, Figures]:
        networks = self._generator.network, self._discriminator.network
        loss, terms_N = generator_loss(self._run.loss, *networks, batch, lod)
        return self._generator.gradients(loss), {"loss/generator": terms_N["loss/generator"]}

    def _mean(self, microbatches: Iterable[tuple[Gradients, Figures]]) -> tuple[Gradients, Figures]:
        """The mean of gradients and figures over all samples of all microbatches and processes."""
        gradients: list[Tensor | None] = []
        names: list[str] = []
        means: Tensor | None = None
        count = 0
        for more, figures_N in microbatches:  # computed one by one: each frees its memory before the next
            more_means = torch.stack([values_N.double().mean() for values_N in figures_N.values()])
            if means is None:
                gradients, names, means = list(more), list(figures_N), more_means
            else:
                torch._foreach_add_(_given(gradients), _given(more))
                means = means + more_means
            count += 1
        assert means is not None
        if count > 1:
            torch._foreach_mul_(_given(gradients), 1 / count)
            means = means / count
        if self._group.world_size > 1:
            *gradients, group_means = self._group.mean([*gradients, means.float()])
            assert group_means is not None
            means = group_means.double()
        return gradients, dict(zip(names, means.unbind(), strict=True))

    def _lod_and_learning_rate(self, step: Step) -> tuple[Lod, Tensor]:
        """On the device, where a CUDA graph reads them; a level without fade is a number."""
        learning_rate = to_device(np.array([step.learning_rate]), self._device)[0]
        level = math.floor(step.lod)
        if step.lod == level:
            return float(level), learning_rate
        return FadeLod(level, to_device(np.array([step.lod - level], np.float32), self._device)[0]), learning_rate


def _given(gradients: Gradients) -> list[Tensor]:
    """Without the parameters that the loss does not depend on, the same ones in all microbatches."""
    return [gradient for gradient in gradients if gradient is not None]
