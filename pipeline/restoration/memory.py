"""The memory that a network needs for a tile, from its own tensors."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from weakref import finalize

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from pipeline.restoration.networks import RestorationNetwork
from pipeline.restoration.weights import load_network

PROBE_PIXELS = 64


def measure(weights: Path) -> dict[str, Any]:
    """`weights_bytes` and `bytes_per_pixel` of the network in a file; `NetworkError` as `load_network`."""
    network = load_network(weights)
    size = sum(tensor.nbytes for tensor in network.state_dict().values())
    return {"weights_bytes": size, "bytes_per_pixel": round(bytes_per_pixel(network), 1)}


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
