"""The averaged generator: what images are made with (SPEC §6)."""

# torch's operations over many tensors at once have no public names
# pyright: reportPrivateUsage=false, reportPrivateImportUsage=false

import torch
from torch import nn


@torch.no_grad()
def update(average: nn.Module, source: nn.Module, decay: float) -> None:
    """Move every parameter and running statistic of `average` by 1 - `decay` of its way to that of `source`.

    To be called before the update of `source` in the same training step.
    """
    ours, theirs = [*average.parameters(), *average.buffers()], [*source.parameters(), *source.buffers()]
    torch._foreach_lerp_(ours, theirs, 1 - decay)
