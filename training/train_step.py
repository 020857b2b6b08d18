"""The updates of both networks as functions of tensors, which a GPU may repeat from a recording.

N = samples that are computed at once, C = 3, L = latent size.
"""

# torch's operations over many tensors at once have no public names
# pyright: reportPrivateUsage=false, reportPrivateImportUsage=false

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pipeline.params import TrainRun
from training import losses
from training.distributed.process_group import Ranks
from training.networks import Discriminator, Generator
from training.networks.discriminator import FeatureNoise as Noise
from training.networks.progressive import FadeLod, Lod
from training.optim import ema
from training.optim.adam import Adam
from training.optim.loss_scale import LossScale

Grads = Sequence[Tensor | None]
"""A gradient for each parameter of a network."""

Values = tuple[Tensor | None, ...]
"""Tensors that an update is made from."""

Part = tuple[Grads, Sequence[Tensor]]
"""Gradients and figures, per sample, of a part of a minibatch."""

INPUTS_D = 4
"""Reals (N, C, H, W), their labels, latents (N, L) and mixing factors (N,) of each part of D's minibatch."""
INPUTS_G = 2
"""Latents (N, L) and labels of each part of G's minibatch."""


class StepKind(NamedTuple):
    """What kind of update it is: calls that are equal compute the same of other values.

    `level` and `fades` are the level of detail without its fraction, `minibatch` the number of images of all ranks,
    `noises` what each part does in the discriminator.
    """

    level: int
    fades: bool
    minibatch: int
    noises: tuple[Noise, ...]

    def lod(self, share: Tensor | None) -> Lod:
        """The level of detail, with the fraction on the device."""
        return float(self.level) if share is None else FadeLod(self.level, share)


class OptimizedNetwork:
    """One network's optimiser and, in float16, its loss scale."""

    def __init__(self, network: torch.nn.Module, run: TrainRun, device: torch.device) -> None:
        self.optimizer = Adam(network.parameters(), run.optimizer)
        self.scale = LossScale(device) if run.speed.precision == "float16" else None

    def grads(self, loss: Tensor) -> list[Tensor | None]:
        """The gradients of the loss."""
        if self.scale is None:
            return list(self.optimizer.gradients(loss))
        return self.scale.undo(self.optimizer.gradients(loss * self.scale.factor()))

    def step(self, grads: Grads, learning_rate: float | Tensor) -> None:
        """One step down the gradients, unless they are not finite."""
        taken = self.optimizer.step(grads, learning_rate)
        if self.scale is not None:
            self.scale.learn(taken)

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` needs."""
        scale = {} if self.scale is None else {"scale": self.scale.state_dict()}
        return {**self.optimizer.state_dict(), **scale}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self.optimizer.load_state_dict(state)
        if self.scale is not None and "scale" in state:  # else the run went on in another precision so far
            self.scale.load_state_dict(state["scale"])


class Updates:
    """The updates; each changes weights, moments and average, and returns the means of its figures.

    D: loss, scores of reals and of fakes, of WGAN-GP the gradient norm, with labels their losses of reals and of fakes.
    G: loss.
    """

    def __init__(
        self,
        run: TrainRun,
        networks: tuple[Generator, Discriminator, Generator],
        sides: tuple[OptimizedNetwork, OptimizedNetwork],
        ranks: Ranks,
    ) -> None:
        self._run = run
        self._generator, self._discriminator, self._average = networks
        self._g, self._d = sides
        self._ranks = ranks

    def of_d(self, call: StepKind, rate: Tensor, share: Tensor | None, *values: Tensor | None) -> Sequence[Tensor]:
        """D, and the average, which moves toward G as it is."""
        grads, means = self._joined(self._parts_of_d(call, share, values), len(call.noises))
        self._d.step(grads, rate)
        if self._ranks.first:  # who alone writes the average
            ema.update(self._average, self._generator, self._run.ema_decay)
        return means

    def of_g(self, call: StepKind, rate: Tensor, share: Tensor | None, *values: Tensor | None) -> Sequence[Tensor]:
        """G."""
        grads, means = self._joined(self._parts_of_g(call, share, values), len(call.noises))
        self._g.step(grads, rate)
        return means

    def of_both(self, call: StepKind, rate: Tensor, share: Tensor | None, *values: Tensor | None) -> Sequence[Tensor]:
        """Both from the same weights; the values of D, then those of G; the figures likewise."""
        parts = len(call.noises) // 2
        calls = call._replace(noises=call.noises[:parts]), call._replace(noises=call.noises[parts:])
        cut = parts * INPUTS_D
        grads, means = self._joined(self._parts_of_g(calls[1], share, values[cut:]), parts)
        figures = self.of_d(calls[0], rate, share, *values[:cut])
        self._g.step(grads, rate)
        return [*figures, *means]

    def _parts_of_d(self, call: StepKind, share: Tensor | None, values: Values) -> Iterable[Part]:
        for noise, (reals_NCHW, labels_NC, latents_NL, interpolation_weights_N) in zip(
            call.noises, _parted(values, INPUTS_D), strict=True
        ):
            assert reals_NCHW is not None and latents_NL is not None and interpolation_weights_N is not None
            loss, figures = losses.discriminator_loss(
                self._run.loss,
                self._generator,
                self._discriminator,
                reals_NCHW=reals_NCHW,
                labels_NC=labels_NC,
                latents_NL=latents_NL,
                interpolation_weights_N=interpolation_weights_N,
                lod=call.lod(share),
                noise=noise,
            )
            norms_N = None if figures.penalty is None else figures.penalty.interpolated_norms_N
            label_losses_N = figures.real_label_loss_N, figures.fake_label_loss_N
            told = (figures.loss_N, figures.real_scores_N, figures.fake_scores_N, norms_N, *label_losses_N)
            yield self._d.grads(loss), [figure_N for figure_N in told if figure_N is not None]

    def _parts_of_g(self, call: StepKind, share: Tensor | None, values: Values) -> Iterable[Part]:
        for noise, (latents_NL, labels_NC) in zip(call.noises, _parted(values, INPUTS_G), strict=True):
            assert latents_NL is not None
            loss, figures = losses.generator_loss(
                self._run.loss,
                self._generator,
                self._discriminator,
                latents_NL=latents_NL,
                labels_NC=labels_NC,
                lod=call.lod(share),
                noise=noise,
            )
            yield self._g.grads(loss), (figures.loss_N,)

    def _joined(self, parts: Iterable[Part], count: int) -> tuple[Grads, Sequence[Tensor]]:
        """Gradients, and the mean of each figure, of the joined minibatch of all parts and ranks."""
        grads: list[Tensor | None] = []
        means: Tensor | None = None
        for part_grads, figures_N in parts:
            part_means = torch.stack([figure_N.double().mean() for figure_N in figures_N])
            if means is None:
                grads, means = list(part_grads), part_means
            else:
                _add(grads, part_grads)
                means = means + part_means
        assert means is not None
        if count > 1:
            torch._foreach_mul_([slope for slope in grads if slope is not None], 1 / count)
            means = means / count
        if self._ranks.count > 1:
            *grads, joined = self._ranks.mean([*grads, means.float()])
            assert joined is not None
            means = joined.double()
        return grads, means.unbind()


def _add(grads: list[Tensor | None], more: Grads) -> None:
    pairs = [
        (slope, other) for slope, other in zip(grads, more, strict=True) if slope is not None and other is not None
    ]
    torch._foreach_add_([slope for slope, _ in pairs], [other for _, other in pairs])


def _parted(values: Values, size: int) -> list[Values]:
    return [values[start : start + size] for start in range(0, len(values), size)]
