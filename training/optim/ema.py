"""The exponential moving average of the generator's weights, which images are generated with (Karras et al. 2018)."""

# torch's operations over many tensors at once have no public names
# pyright: reportPrivateUsage=false, reportPrivateImportUsage=false

import torch
from torch import nn


@torch.no_grad()
def update(average: nn.Module, source: nn.Module, decay: float) -> None:
    """average = decay * average + (1 - decay) * source, for every parameter and running statistic.

    Called before the update of `source` in the same training step.
    """
    ours, theirs = [*average.parameters(), *average.buffers()], [*source.parameters(), *source.buffers()]
    torch._foreach_lerp_(ours, theirs, 1 - decay)
