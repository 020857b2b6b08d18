"""All that a fit carries from one step to the next, and its checkpoint."""

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
class FitState:
    """The fit after `step` steps.

    Attributes
    ----------
    losses
        Of the steps since the last row of `history`.
    history
        Step, mean loss since the row before, mean PSNR in dB over held-out photographs.
    """

    network: RestorationNetwork
    optimizer: Adam
    discriminator: PatchDiscriminator
    discriminator_optimizer: Adam
    step: int = 0
    losses: list[float] = field(default_factory=list[float])
    history: list[tuple[int, float, float]] = field(default_factory=list[tuple[int, float, float]])

    @classmethod
    def start(cls, spec: NetworkSpec, params: TrainedNetwork) -> Self:
        """Before the first step, all weights drawn from `params.seed`."""
        generator = torch.Generator().manual_seed(params.seed)
        network = spec.build()
        initialise(network, generator)
        discriminator = PatchDiscriminator(params.channels)
        initialise(discriminator, generator)
        device = select_device()
        network.to(device)
        discriminator.to(device)
        return cls(
            network=network,
            optimizer=Adam(network.parameters(), lr=params.learning_rate),
            discriminator=discriminator,
            discriminator_optimizer=Adam(discriminator.parameters(), lr=params.learning_rate),
        )

    def save(self, path: Path) -> None:
        """Write a checkpoint, whole or not at all."""
        content = {name: part.state_dict() for name, part in self._parts().items()}
        content |= {"step": self.step, "losses": self.losses, "history": self.history}
        with atomic.writing(path) as partial:
            torch.save(content, partial)

    def resume(self, path: Path) -> None:
        """Go on from a checkpoint, where there is one."""
        if not path.exists():
            return
        content = torch.load(path, map_location="cpu", weights_only=True)
        for name, part in self._parts().items():
            part.load_state_dict(content[name])
        self.step, self.losses, self.history = content["step"], content["losses"], content["history"]

    def _parts(self) -> dict[str, nn.Module | Adam]:
        return {
            "network": self.network,
            "optimizer": self.optimizer,
            "discriminator": self.discriminator,
            "discriminator_optimizer": self.discriminator_optimizer,
        }
