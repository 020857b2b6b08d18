"""Loss scaling for float16, whose smallest number is 6e-8 (Micikevicius et al. 2018)."""

from collections.abc import Sequence
from typing import Any

# torch's operations over many tensors at once have no public names
# pyright: reportPrivateUsage=false, reportPrivateImportUsage=false
import torch
from torch import Tensor

INITIAL_LOG2 = 10.0
GROWTH = 0.0005
"""Added to log2 of the scale after an update: it doubles after 2,000."""
BACKOFF = 1.0
"""Subtracted from log2 of the scale where a gradient was not finite."""
LOG2_RANGE = (0.0, 24.0)
"""Beyond it, float32 gradients of the weights would lose range in turn."""


class LossScale:
    """The scale of one network's loss, kept on the device so that the host never waits for it."""

    def __init__(self, device: torch.device) -> None:
        self._log2 = torch.tensor(INITIAL_LOG2, device=device)

    def factor(self) -> Tensor:
        """What the loss is multiplied by: a power of two, so that unscaling is exact."""
        return torch.exp2(self._log2.floor())

    @torch.no_grad()
    def unscale(self, gradients: Sequence[Tensor | None]) -> list[Tensor | None]:
        """Gradients of the loss from those of the scaled loss, which are changed in place."""
        torch._foreach_mul_([gradient for gradient in gradients if gradient is not None], 1 / self.factor())
        return list(gradients)

    @torch.no_grad()
    def update(self, finite: Tensor) -> None:
        """Increase the scale after a step that was taken, reduce it after one that was skipped."""
        self._log2.add_(finite.float() * (GROWTH + BACKOFF) - BACKOFF).clamp_(*LOG2_RANGE)

    def state_dict(self) -> dict[str, Any]:
        """The state for `load_state_dict`."""
        return {"log2": float(self._log2)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a saved state."""
        self._log2.fill_(state["log2"])
