"""Means of a run's figures between two reports."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor


class RunningMeans:
    """Sums of named figures, one number each per update; an update with a figure that is not finite is left out.

    They stay on the device: reading a value at every update would make a GPU wait.
    """

    def __init__(self, names: Sequence[str], device: torch.device) -> None:
        self._names = names
        self._device = device
        self.updates = 0
        self._forget()

    def add(self, *values: Tensor) -> None:
        """One update's figures in the order of the names: single numbers, or one per sample, whose mean counts."""
        figures = torch.stack([value.double().mean() for value in values])
        finite = figures.isfinite().all()
        self._sums += torch.where(finite, figures, 0)
        self._finite += finite
        self.updates += 1

    def take(self) -> dict[str, float]:
        """Means by name since the last call; NaN where no update was finite."""
        means: list[float] = (self._sums / self._finite).tolist()
        self._forget()
        return dict(zip(self._names, means, strict=True))

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` needs to go on in the middle of a report."""
        return {"sums": self._sums, "finite": self._finite, "updates": self.updates}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        self._sums = state["sums"].to(self._device)
        self._finite = state["finite"].to(self._device)
        self.updates = state["updates"]

    def _forget(self) -> None:
        self._sums = torch.zeros(len(self._names), dtype=torch.float64, device=self._device)
        self._finite = torch.zeros((), dtype=torch.int64, device=self._device)
        self.updates = 0
