"""Gradients of a loss as one compiled function.

`torch.compile` cannot differentiate twice, which the gradient penalty needs. So a loss is traced together with its
backward pass into one graph of ATen operations, in which nothing is left to differentiate; Inductor compiles that and
fuses the elementwise operations between the convolutions.
"""

# functions that torch documents only in its sources
# pyright: reportPrivateUsage=false, reportPrivateImportUsage=false

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.utils.stateless import _reparametrize_module
from torch.utils import _pytree as pytree

from pipeline.params import TrainRun, WganLoss
from training.runtime.graph_passes import share_weights, write_masks
from training.runtime.signals import nothing_to_save

logger = logging.getLogger(__name__)

TOLERANCES = {"float32": 1e-3, "tf32": 1e-2, "bfloat16": 0.1}
"""Largest difference of compiled from eager gradients, relative to the norm of all, by precision."""

OPTIONS = {"realize_reads_threshold": 16, "realize_opcount_threshold": 200, "realize_acc_reads_threshold": 24}
"""Inductor computes again, instead of writing and reading, what follows from so few tensors: RGB layers above all."""

R = TypeVar("R")
States = Sequence[dict[str, Tensor]]


def compiles(run: TrainRun, device: torch.device) -> bool:
    """Whether the gradients of a run are compiled: on a GPU, unless they draw noise, change statistics or are scaled.

    A deterministic run is not compiled, because Inductor chooses kernels by their measured speed.
    """
    return (
        run.speed.compile
        and device.type == "cuda"
        and run.speed.precision in TOLERANCES
        and isinstance(run.loss, WganLoss)
        and not (run.deterministic or run.networks.use_batchnorm)
    )


class CompiledFunction(Generic[R]):
    """Compiles a function that computes with networks and may differentiate, any number of times.

    It is compiled for the shapes, dtypes and other arguments of a call, and anew when they change. The first results
    are compared with those of the function itself. Where they differ too much, or the compilation fails, the function
    is called as it is, and a warning is logged.

    Parameters
    ----------
    function
        Returns tensors, or containers of them. Depends on nothing but its arguments and the parameters and buffers of
        `networks`, and changes none of them.
    trained
        The one of `networks` whose parameters it differentiates with respect to.
    tolerance
        Norm of the difference of all results, relative to their norm.
    """

    def __init__(
        self,
        function: Callable[..., R],
        networks: Sequence[nn.Module],
        trained: nn.Module,
        *,
        tolerance: float,
    ) -> None:
        self._function = function
        self._networks = networks
        self._trained = trained
        self._tolerance = tolerance
        self._key: Any = None
        self._compiled: Callable[[States, Sequence[Tensor]], Sequence[Tensor]] | None = None
        self._structure: Any = None

    def __call__(self, *args: Any) -> R:
        """The results of the function."""
        leaves, structure = pytree.tree_flatten(args)
        key = structure, [(leaf.shape, leaf.dtype) if isinstance(leaf, Tensor) else leaf for leaf in leaves]
        if key != self._key:
            self._key, self._compiled = key, None
            try:
                with nothing_to_save("gradients were compiled"):
                    return self._first_call(args)
            except Exception as error:  # noqa: BLE001 - whatever compilers raise, training continues
                self._compiled = None
                logger.warning("not compiled, because of %s: %s", type(error).__name__, str(error).partition("\n")[0])
        return self._function(*args) if self._compiled is None else self._call(args)

    def _first_call(self, args: Sequence[Any]) -> R:
        """Compile, and compare the results."""
        expected = self._function(*args)
        self._compiled = torch.compile(self._trace(args), fullgraph=True, dynamic=False, options=dict(OPTIONS))
        difference = _difference(self._call(args), expected)
        if not difference <= self._tolerance:  # nor a number
            self._compiled = None
            logger.warning(
                "not compiled: the compiled gradients differ from the eager ones by %.2g of their norm (at most %.2g)",
                difference,
                self._tolerance,
            )
        return expected

    @torch.no_grad()
    def _call(self, args: Sequence[Any]) -> R:
        assert self._compiled is not None
        return pytree.tree_unflatten(self._compiled(self._states(), _tensors(args)), self._structure)

    def _states(self) -> States:
        return [{**dict(network.named_parameters()), **dict(network.named_buffers())} for network in self._networks]

    @torch.no_grad()
    def _trace(self, args: Sequence[Any]) -> torch.fx.GraphModule:
        """The function and its backward passes as a graph of ATen operations."""
        leaves, structure = pytree.tree_flatten(args)

        def traced(states: States, tensors: Sequence[Tensor]) -> list[Any]:
            given = iter(tensors)
            inputs = [next(given) if isinstance(leaf, Tensor) else leaf for leaf in leaves]
            with torch.enable_grad(), ExitStack() as replaced:
                for network, state in zip(self._networks, states, strict=True):
                    parameters = {name for name, _ in network.named_parameters()} if network is self._trained else set()
                    values = {key: value.detach().requires_grad_(key in parameters) for key, value in state.items()}
                    replaced.enter_context(_reparametrize_module(network, values))
                results, self._structure = pytree.tree_flatten(
                    self._function(*pytree.tree_unflatten(inputs, structure))
                )
            return [result.detach() if isinstance(result, Tensor) else result for result in results]

        graph = make_fx(traced, tracing_mode="fake", _allow_non_fake_inputs=True)(self._states(), _tensors(args))
        share_weights(graph)
        write_masks(graph)
        return graph


def _tensors(args: Sequence[Any]) -> list[Tensor]:
    return [leaf for leaf in pytree.tree_leaves(args) if isinstance(leaf, Tensor)]


def _difference(found: Any, expected: Any) -> float:
    """Norm of the difference of all tensors, relative to the norm of the expected ones; infinite if None differs."""
    pairs = list(zip(pytree.tree_leaves(found), pytree.tree_leaves(expected), strict=True))
    if any((a is None) != (b is None) for a, b in pairs):
        return float("inf")
    tensors = [(a.double(), b.double()) for a, b in pairs if a is not None]
    squares = [torch.stack([(a - b).square().sum(), b.square().sum()]) for a, b in tensors]
    difference, norm = torch.stack(squares).sum(dim=0).sqrt().tolist()
    return difference / norm if norm else difference
