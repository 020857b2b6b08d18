"""Means of a run's figures between two reports."""

from collections.abc import Sequence

import torch
from torch import Tensor


class Tally:
    """Sums of named figures, one number each per update.

    They stay on the device: reading a value at every update would make a GPU wait.
    """

    def __init__(self, names: Sequence[str], device: torch.device) -> None:
        self._names = names
        self._device = device
        self._forget()

    def add(self, *values: Tensor) -> None:
        """One update's figures in the order of the names: single numbers, or one per sample, whose mean counts."""
        self._sums += torch.stack([value.double().mean() for value in values])
        self._updates += 1

    def take(self) -> dict[str, float]:
        """Means by name since the last call; there was an update."""
        means: list[float] = (self._sums / self._updates).tolist()
        self._forget()
        return dict(zip(self._names, means, strict=True))

    def _forget(self) -> None:
        self._sums = torch.zeros(len(self._names), dtype=torch.float64, device=self._device)
        self._updates = 0
