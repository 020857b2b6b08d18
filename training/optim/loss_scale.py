"""Loss scaling for float16, whose smallest number is 6e-8: gradients are computed some powers of two larger."""

from collections.abc import Sequence
from typing import Any

# torch's operations over many tensors at once have no public names
# pyright: reportPrivateUsage=false, reportPrivateImportUsage=false
import torch
from torch import Tensor

START = 10.0
"""log2 of the first factor."""
RISE = 0.0005
"""Added to log2 of the factor after an update: double after 2,000."""
FALL = 1.0
"""Taken from it where a gradient was not finite."""
LIMITS = (0.0, 24.0)
"""Of log2 of the factor: beyond, float32 gradients of the weights would lose range in their turn."""


class LossScale:
    """The factor of one network's loss. It lives on the device and never asks the host."""

    def __init__(self, device: torch.device) -> None:
        self._log2 = torch.tensor(START, device=device)

    def factor(self) -> Tensor:
        """What the loss is multiplied with: a power of two, so that dividing by it loses nothing."""
        return torch.exp2(self._log2.floor())

    @torch.no_grad()
    def undo(self, grads: Sequence[Tensor | None]) -> list[Tensor | None]:
        """Gradients of the loss itself, from those of the multiplied one, which are changed in place."""
        torch._foreach_mul_([slope for slope in grads if slope is not None], 1 / self.factor())
        return list(grads)

    @torch.no_grad()
    def learn(self, finite: Tensor) -> None:
        """Rise after a step that was taken, fall after one that was left out."""
        self._log2.add_(finite.float() * (RISE + FALL) - FALL).clamp_(*LIMITS)

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` needs."""
        return {"log2": float(self._log2)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self._log2.fill_(state["log2"])
