"""The state of a fit between two steps, and its checkpoint file."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import torch
from torch import nn
from torch.optim import Adam

from pipeline import atomic
from pipeline.params import TrainedNetwork
from pipeline.restoration.adversary import PatchDiscriminator
from pipeline.restoration.device import select_device
from pipeline.restoration.networks import NetworkSpec, RestorationNetwork, initialise


@dataclass(kw_only=True)
class FitCheckpoint:
    """A fit after `step` steps.

    `losses` are those since the last row of `history`. The rows of `history` hold the step, the mean loss since the row
    before, and the mean PSNR of the held-out photographs in dB.
    """

    network: RestorationNetwork
    optimizer: Adam
    discriminator: PatchDiscriminator
    discriminator_optimizer: Adam
    step: int = 0
    losses: list[float] = field(default_factory=list[float])
    history: list[tuple[int, float, float]] = field(default_factory=list[tuple[int, float, float]])

    @classmethod
    def initial(cls, spec: NetworkSpec, params: TrainedNetwork) -> Self:
        """Before the first step; the weights are drawn from `params.seed`."""
        generator = torch.Generator().manual_seed(params.seed)
        network, discriminator = spec.build(), PatchDiscriminator(params.channels)
        for module in (network, discriminator):
            initialise(module, generator)
            module.to(select_device())
        return cls(
            network=network,
            optimizer=Adam(network.parameters(), lr=params.learning_rate),
            discriminator=discriminator,
            discriminator_optimizer=Adam(discriminator.parameters(), lr=params.learning_rate),
        )

    def save(self, path: Path) -> None:
        """Write the checkpoint file atomically."""
        content = {name: part.state_dict() for name, part in self._parts().items()}
        content |= {"step": self.step, "losses": self.losses, "history": self.history}
        with atomic.writing(path) as partial:
            torch.save(content, partial)

    def load(self, path: Path) -> None:
        """Read the checkpoint file."""
        content = torch.load(path, map_location="cpu", weights_only=True)
        for name, part in self._parts().items():
            part.load_state_dict(content[name])
        self.step, self.losses, self.history = content["step"], content["losses"], content["history"]

    def _parts(self) -> dict[str, nn.Module | Adam]:
        names = ("network", "optimizer", "discriminator", "discriminator_optimizer")
        return {name: getattr(self, name) for name in names}
