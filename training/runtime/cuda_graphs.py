"""Steps that a GPU repeats without being told each operation (CUDA graphs).

At low resolutions a step is thousands of short operations, and telling the GPU takes longer than computing them.
"""

from collections.abc import Callable, Hashable, Sequence

import torch
from torch import Tensor

FIRST_CALLS = 3
"""Calls that are computed as they come before one is recorded: libraries choose their kernels and memory in them."""

Inputs = Sequence[Tensor | None]


class Recorder:
    """Calls a function of tensors; on a GPU, records its operations once for each `key` and then repeats them.

    The function reads and writes tensors that persist (weights, moments), and its arguments; it asks the device for no
    value. Of results, only those of the last call are valid. Where `records` is false every call is the function's.
    """

    def __init__(self, function: Callable[..., Sequence[Tensor]], *, records: bool) -> None:
        self._function = function
        self._records = records
        self.forget()

    def forget(self) -> None:
        """Record anew: the persistent tensors were replaced."""
        self._key: Hashable = None
        self._calls = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._inputs: Inputs = ()
        self._results: Sequence[Tensor] = ()

    def plainly(self, key: Hashable, *inputs: Tensor | None) -> Sequence[Tensor]:
        """The function itself."""
        return self._function(key, *inputs)

    def __call__(self, key: Hashable, *inputs: Tensor | None) -> Sequence[Tensor]:
        """Results of the function. Calls with one key have inputs of the same shapes and types, and the same Nones."""
        if not self._records:
            return self.plainly(key, *inputs)
        if key != self._key:
            self.forget()
            self._key = key
        self._calls += 1
        if self._calls <= FIRST_CALLS:
            return self._beside(key, inputs)
        if self._graph is None:
            self._record(key, inputs)
        else:
            for kept, given in zip(self._inputs, inputs, strict=True):
                if kept is not None and given is not None:
                    kept.copy_(given)
        assert self._graph is not None
        self._graph.replay()
        return self._results

    def _beside(self, key: Hashable, inputs: Inputs) -> Sequence[Tensor]:
        """On a stream of its own, as recording is."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            results = self._function(key, *inputs)
        torch.cuda.current_stream().wait_stream(stream)
        return results

    def _record(self, key: Hashable, inputs: Inputs) -> None:
        """Recording computes nothing: the first repeat does."""
        self._inputs = [None if given is None else given.clone() for given in inputs]
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._results = self._function(key, *self._inputs)
        self._graph = graph
