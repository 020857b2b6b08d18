"""The state of a fit between two steps, and its checkpoint file."""

import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.optim import Adam
from torch.optim.swa_utils import get_ema_multi_avg_fn

from pipeline import atomic
from pipeline.params import TrainedNetwork
from pipeline.restoration.adversary import PatchDiscriminator
from pipeline.restoration.device import select_device
from pipeline.restoration.networks import NetworkSpec, RestorationNetwork, initialise

Row = tuple[float, ...]
"""Step, mean loss since the row before, and the figures of the held-out photographs."""


@dataclass(kw_only=True)
class FitCheckpoint:
    """A fit after `step` steps.

    `average` has the moving average of the weights. `loss` is the sum of the losses of the `losses` steps since the
    last row of `history`; it stays on the device, so that no step waits for it.
    """

    network: RestorationNetwork
    average: RestorationNetwork
    optimizer: Adam
    discriminator: PatchDiscriminator
    discriminator_optimizer: Adam
    loss: Tensor
    losses: int = 0
    step: int = 0
    history: list[Row] = field(default_factory=list[Row])

    @classmethod
    def initial(cls, spec: NetworkSpec, params: TrainedNetwork) -> Self:
        """Before the first step; the weights are drawn from `params.seed`."""
        generator = torch.Generator().manual_seed(params.seed)
        network, discriminator = spec.build(), PatchDiscriminator(params.channels)
        for module in (network, discriminator):
            initialise(module, generator)
            # a quarter faster on a CPU, and what tensor cores need
            module.to(select_device(), memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        return cls(
            network=network,
            average=copy.deepcopy(network).requires_grad_(False).eval(),
            optimizer=Adam(network.parameters(), lr=params.learning_rate),
            discriminator=discriminator,
            discriminator_optimizer=Adam(discriminator.parameters(), lr=params.learning_rate),
            loss=torch.zeros((), device=select_device()),
        )

    def update_average(self, decay: float) -> None:
        """Move the average towards the weights: by 1 - `decay`, and faster in the first steps."""
        average = get_ema_multi_avg_fn(min(decay, (1 + self.step) / (10 + self.step)))
        average([*self.average.parameters()], [*self.network.parameters()], self.step)

    def save(self, path: Path) -> None:
        """Write the checkpoint file atomically."""
        content: dict[str, Any] = {name: part.state_dict() for name, part in self._parts().items()}
        content |= {name: getattr(self, name) for name in ("loss", "losses", "step", "history")}
        with atomic.writing(path) as partial:
            torch.save(content, partial)

    def load(self, path: Path) -> None:
        """Read the checkpoint file."""
        content = torch.load(path, map_location="cpu", weights_only=True)
        for name, part in self._parts().items():
            part.load_state_dict(content[name])
        self.loss.copy_(content["loss"])
        self.losses, self.step, self.history = content["losses"], content["step"], content["history"]

    def _parts(self) -> dict[str, nn.Module | Adam]:
        names = ("network", "average", "optimizer", "discriminator", "discriminator_optimizer")
        return {name: getattr(self, name) for name in names}
