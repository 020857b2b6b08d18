"""The updates of a training step: losses, gradients, their mean, Adam, and the average of the generator."""

# torch's operations over many tensors at once have no public names
# pyright: reportPrivateUsage=false, reportPrivateImportUsage=false

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from pipeline.params import TrainRun
from training import schedule
from training.distributed.process_group import ProcessGroup
from training.losses import (
    DISCRIMINATOR_FIGURES,
    GENERATOR_FIGURES,
    DiscriminatorBatch,
    GeneratorBatch,
    Terms,
    discriminator_loss,
    generator_loss,
)
from training.networks import Discriminator, Generator
from training.networks.progressive import Lod
from training.optim.adam import Adam
from training.optim.loss_scale import LossScale
from training.runtime.compiled import TOLERANCES, CompiledFunction

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
        gradients = torch.autograd.grad(scaled, list(self.network.parameters()), allow_unused=True)
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


@dataclass(frozen=True, slots=True, eq=False)
class TrainStep:
    """The updates of D, G and the average of G from the microbatches of this process.

    Each returns the means of its figures. None waits for the device, so that a GPU can replay them as CUDA graphs.
    """

    run: TrainRun
    generator: OptimizedNetwork[Generator]
    discriminator: OptimizedNetwork[Discriminator]
    average: Generator
    group: ProcessGroup
    compile: bool = False
    _compiled: dict[Callable[..., Any], CompiledFunction[tuple[Gradients, Figures]]] = field(default_factory=dict)

    def update_discriminator(self, batches: Sequence[DiscriminatorBatch], lod: Lod, learning_rate: Tensor) -> Figures:
        """Update D, and the average of G."""
        gradients, figures = self._mean_gradients(
            self.discriminator, discriminator_loss, DISCRIMINATOR_FIGURES, batches, lod
        )
        self.discriminator.step(gradients, learning_rate)
        if self.group.rank == 0:  # no other process uses the average
            minibatch = sum(len(batch.latents_NL) for batch in batches) * self.group.world_size
            update_average(self.average, self.generator.network, schedule.ema_decay(self.run.ema_decay, minibatch))
        return figures

    def update_generator(self, batches: Sequence[GeneratorBatch], lod: Lod, learning_rate: Tensor) -> Figures:
        """Update G."""
        gradients, figures = self._mean_gradients(self.generator, generator_loss, GENERATOR_FIGURES, batches, lod)
        self.generator.step(gradients, learning_rate)
        return figures

    def update_both(
        self,
        batches: Sequence[DiscriminatorBatch],
        g_batches: Sequence[GeneratorBatch],
        lod: Lod,
        learning_rate: Tensor,
        discriminator_learning_rate: Tensor,
    ) -> tuple[Figures, Figures]:
        """Update D, the average of G, and G; the gradients of G are computed before D changes."""
        gradients, g_figures = self._mean_gradients(self.generator, generator_loss, GENERATOR_FIGURES, g_batches, lod)
        figures = self.update_discriminator(batches, lod, discriminator_learning_rate)
        self.generator.step(gradients, learning_rate)
        return figures, g_figures

    def _mean_gradients(
        self,
        optimized: OptimizedNetwork[Any],
        loss_function: Callable[..., tuple[Tensor, Terms]],
        figures: Sequence[str],
        batches: Sequence[DiscriminatorBatch] | Sequence[GeneratorBatch],
        lod: Lod,
    ) -> tuple[Gradients, Figures]:
        """The mean of gradients and figures over all samples of all microbatches and processes."""
        gradients: list[Tensor | None] = []
        names: list[str] = []
        means: Tensor | None = None
        for batch in batches:  # one by one: each frees its memory before the next
            more, more_figures = self._gradients(optimized, loss_function, figures, batch, lod)
            names, more_means = list(more_figures), torch.stack(list(more_figures.values()))
            if means is None:
                gradients, means = list(more), more_means
            else:
                torch._foreach_add_(_given(gradients), _given(more))
                means = means + more_means
        assert means is not None
        if len(batches) > 1:
            torch._foreach_mul_(_given(gradients), 1 / len(batches))
            means = means / len(batches)
        if self.group.world_size > 1:
            *gradients, group_means = self.group.mean([*gradients, means.float()])
            assert group_means is not None
            means = group_means.double()
        return gradients, dict(zip(names, means.unbind(), strict=True))

    def _gradients(
        self,
        optimized: OptimizedNetwork[Any],
        loss_function: Callable[..., tuple[Tensor, Terms]],
        names: Sequence[str],
        batch: DiscriminatorBatch | GeneratorBatch,
        lod: Lod,
    ) -> tuple[Gradients, Figures]:
        """Gradients and mean figures of a microbatch."""
        networks = self.generator.network, self.discriminator.network

        def compute(batch: DiscriminatorBatch | GeneratorBatch, lod: Lod) -> tuple[Gradients, Figures]:
            loss, terms_N = loss_function(self.run.loss, *networks, batch, lod)
            figures = {name: terms_N[name].double().mean() for name in names if name in terms_N}
            return optimized.gradients(loss), figures

        if not self.compile:
            return compute(batch, lod)
        if loss_function not in self._compiled:
            tolerance = TOLERANCES[self.run.speed.precision]
            self._compiled[loss_function] = CompiledFunction(compute, networks, optimized.network, tolerance=tolerance)
        return self._compiled[loss_function](batch, lod)


@torch.no_grad()
def update_average(average: nn.Module, source: nn.Module, decay: float) -> None:
    """average = decay * average + (1 - decay) * source, for every parameter and running statistic.

    Images are generated with the average of G (Karras et al. 2018). Called before the update of `source`.
    """
    ours, theirs = [*average.parameters(), *average.buffers()], [*source.parameters(), *source.buffers()]
    torch._foreach_lerp_(ours, theirs, 1 - decay)


def _given(gradients: Gradients) -> list[Tensor]:
    """Without the parameters that the loss does not depend on, the same ones in all microbatches."""
    return [gradient for gradient in gradients if gradient is not None]
