"""Updates that a GPU replays as CUDA graphs.

At low resolutions an update is thousands of short operations; launching them takes longer than computing them.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from pipeline.params import TrainRun, WganLoss
from training.distributed.process_group import SINGLE_PROCESS, ProcessGroup

logger = logging.getLogger(__name__)

WARM_UP_CALLS = 3
"""Calls that are computed eagerly before the capture: in them, libraries choose kernels and allocate memory."""

R = TypeVar("R")


def graphs_up_to(run: TrainRun, device: torch.device) -> int:
    """The resolution up to which updates are captured; 0 for none. An update that draws noise on the host is not."""
    captures = device.type == "cuda" and isinstance(run.loss, WganLoss)
    return run.speed.graphs_up_to if captures else 0


class Capture:
    """The stream of all warm-up calls and captures of a run, and the memory pool of its graphs.

    Memory that was freed on one stream is not reused on another. Graphs may share a pool because they are replayed in
    the order of their captures, and their results are read before the next replay. Of several processes, each captures
    its exchange with the others; a thread of NCCL watches over it and must not end a capture by that.
    """

    def __init__(self, group: ProcessGroup = SINGLE_PROCESS) -> None:
        self.error_mode = "global" if group.world_size == 1 else "thread_local"
        self.stream = torch.cuda.Stream()
        self.pool: Any = torch.cuda.graph_pool_handle()


class GraphedUpdate(Generic[R]):
    """Calls a function a few times, captures it as a CUDA graph, and then replays that.

    The function reads and writes its arguments and tensors that persist (weights, moments); it must not synchronise
    with the host. Arguments may be tuples of tensors and of other values. A call with other shapes, dtypes or values
    that are not tensors is captured anew. The next replay overwrites the results. Where the capture fails, the function
    is called as it is, and a warning is logged.
    """

    def __init__(self, function: Callable[..., R], capture: Capture) -> None:
        self._function = function
        self._capture = capture
        self.reset()

    def reset(self) -> None:
        """Drop the graph, because the persistent tensors were replaced."""
        self._key: Any = None
        self._calls = 0
        self._fails = False
        self._graph: torch.cuda.CUDAGraph | None = None
        self._inputs: Sequence[Any] = ()
        self._results: Any = None

    def __call__(self, *args: Any) -> R:
        """The results of the function."""
        leaves, structure = pytree.tree_flatten(args)
        key = structure, [(leaf.shape, leaf.dtype) if isinstance(leaf, Tensor) else leaf for leaf in leaves]
        if key != self._key:
            self.reset()
            self._key = key
        if self._fails:
            return self._function(*args)
        self._calls += 1
        stream, pool = self._capture.stream, self._capture.pool
        if self._calls <= WARM_UP_CALLS:
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                results = self._function(*args)
            torch.cuda.current_stream().wait_stream(stream)
            return results
        if self._graph is None:
            self._inputs = [leaf.clone() if isinstance(leaf, Tensor) else leaf for leaf in leaves]
            static_args = pytree.tree_unflatten(self._inputs, structure)
            graph = torch.cuda.CUDAGraph()
            try:
                # computes nothing: the first replay does
                mode = self._capture.error_mode
                with torch.cuda.graph(graph, pool=pool, stream=stream, capture_error_mode=mode):
                    self._results = self._function(*static_args)
            except torch.OutOfMemoryError:
                raise
            except RuntimeError as error:  # raised by torch for an operation that cannot be captured
                self._fails = True
                logger.warning("not captured as a CUDA graph: %s", str(error).partition("\n")[0])
                return self._function(*args)
            self._graph = graph
        else:
            for static, leaf in zip(self._inputs, leaves, strict=True):
                if isinstance(leaf, Tensor):
                    static.copy_(leaf)
        self._graph.replay()
        return self._results
