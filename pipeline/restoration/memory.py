"""The memory that a network needs for its largest tile, from its own tensors."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from weakref import finalize

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from pipeline.restoration.networks import RestorationNetwork
from pipeline.restoration.weights import DESCRIPTION, WEIGHTS, load_network

PROBE_PIXELS = 64
TORCH_MIB = 150
"""Of a process that has loaded torch and its kernels, above the other libraries."""

CONVOLUTION = 1.25
"""Times the peak of the tensors: room for convolutions' own copies. Measured processes needed 0.98 to 1.04 times it."""


def network_mib(folder: Path, tile_pixels: int) -> int:
    """MiB that the network of a fitting stage needs in a worker, with torch, for a tile; 0 where there is none."""
    if not (folder / DESCRIPTION).is_file() or not (folder / WEIGHTS).is_file():
        return 0
    network = load_network(folder / WEIGHTS)
    weights = sum(tensor.nbytes for tensor in network.state_dict().values())
    return TORCH_MIB + int((weights + bytes_per_pixel(network) * tile_pixels**2 * CONVOLUTION) / 2**20)


def bytes_per_pixel(network: RestorationNetwork) -> float:
    """The peak of a network's tensors, of those that live at once, per input pixel."""
    device = next(network.parameters()).device
    image = torch.zeros(1, 3, PROBE_PIXELS, PROBE_PIXELS, device=device)
    with torch.no_grad(), _LiveTensors() as live:
        network(image)
    return live.peak / PROBE_PIXELS**2


class _LiveTensors(TorchDispatchMode):
    """Counts the bytes of the tensors that operations make, until the last one of a storage is gone."""

    def __init__(self) -> None:
        super().__init__()
        self.peak = 0
        self._bytes = 0
        self._users: dict[int, int] = {}

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor):
                self._count(tensor)
        return made

    def _count(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        place, size = storage.data_ptr(), storage.nbytes()
        if place not in self._users:
            self._bytes += size
            self.peak = max(self.peak, self._bytes)
        self._users[place] = self._users.get(place, 0) + 1
        finalize(tensor, self._release, place, size)

    def _release(self, place: int, size: int) -> None:
        self._users[place] -= 1
        if self._users[place] == 0:
            del self._users[place]
            self._bytes -= size
