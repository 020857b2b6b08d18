"""Means of training metrics between two reports."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor


class RunningMeans:
    """Means of named metrics over updates; an update with a value that is not finite is left out.

    The sums stay on the device: reading a value at every update would synchronise with the GPU.
    """

    def __init__(self, names: Sequence[str], device: torch.device) -> None:
        self._names = names
        self._device = device
        self.updates = 0
        self._reset()

    def add(self, *values: Tensor) -> None:
        """Add one update's values in the order of the names; of a value per sample, the mean."""
        means = torch.stack([value.double().mean() for value in values])
        finite = means.isfinite().all()
        self._sums += torch.where(finite, means, 0)
        self._finite += finite
        self.updates += 1

    def take(self) -> dict[str, float]:
        """Means by name since the last call, NaN if no update was finite; then start again."""
        means: list[float] = (self._sums / self._finite).tolist()
        self._reset()
        return dict(zip(self._names, means, strict=True))

    def state_dict(self) -> dict[str, Any]:
        """The sums so far."""
        return {"names": list(self._names), "sums": self._sums, "finite": self._finite, "updates": self.updates}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from the sums of `state_dict`; those of other metrics, of another version, are dropped."""
        self._reset()
        self.updates = state["updates"]
        names = list(state.get("names", self._names))  # checkpoints of format 4 do not state them
        if names == list(self._names) and len(state["sums"]) == len(names):
            self._sums = state["sums"].to(self._device)
            self._finite = state["finite"].to(self._device)

    def _reset(self) -> None:
        self._sums = torch.zeros(len(self._names), dtype=torch.float64, device=self._device)
        self._finite = torch.zeros((), dtype=torch.int64, device=self._device)
        self.updates = 0
