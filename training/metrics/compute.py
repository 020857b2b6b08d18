"""Where metrics are computed: on a GPU, or in threads of the CPU."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self, TypeVar

import torch

Result = TypeVar("Result")


class Compute:
    """A device, and `threads` for what the CPU does; their number changes no result.

    NumPy and OpenCV release the interpreter's lock, so threads share the images without copies.
    """

    def __init__(self, device: torch.device | None = None, threads: int = 1) -> None:
        self.device = device or torch.device("cpu")
        self.on_gpu = self.device.type == "cuda"
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None

    def map(self, function: Callable[..., Result], *values: Iterable[Any]) -> list[Result]:
        """`function` of each of `values`, in order."""
        return list(map(function, *values) if self._pool is None else self._pool.map(function, *values))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown()


ONE_THREAD = Compute()
