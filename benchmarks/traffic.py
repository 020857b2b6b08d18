"""Memory traffic and kernels of a training step: `python -m benchmarks.traffic [RUN] [RESOLUTION]`; needs no GPU.

Counted, not measured: bytes that a step reads and writes per image, where every operation is a kernel of its own and
where Inductor fuses them with the options of our runs (by its own count, for a CPU; fusion on a GPU differs a little).
Optimiser and average of G are left out of the fused count: they take 1.4 GB per step, whatever the minibatch.
"""

import json
import sys
from collections.abc import Sequence
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch._inductor import config
from torch._inductor.debug import DebugContext
from torch._inductor.decomposition import select_decomp_table
from torch._inductor.graph import GraphLowering
from torch._inductor.scheduler import ExternKernelSchedulerNode, NopKernelSchedulerNode
from torch._inductor.virtualized import V
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils import _pytree as pytree

from benchmarks.gpu import NoiseImages, operations, run_of, step_at, with_speed
from pipeline.params import TrainRun
from training import train_step, trainer
from training.data.real_images import Reals
from training.ops import conv2d
from training.runtime.compiled import OPTIONS, CompiledFunction
from training.schedule import Step

VARIANTS: dict[str, dict[str, Any]] = {
    "tf32": {"precision": "tf32"},
    "bfloat16": {"precision": "bfloat16"},
    "bfloat16, penalty too": {"precision": "bfloat16", "float32_penalty": False},
}


class Traced(CompiledFunction[Any]):
    """Counts instead of computing; all results are zeros."""

    counts: list[tuple[int, int, int]]

    def __call__(self, *args: Any) -> Any:
        """Trace, and lower the graph as Inductor does."""
        graph, states = self._trace(args), self._states()
        tensors = [leaf for leaf in pytree.tree_leaves(args) if isinstance(leaf, Tensor)]
        Traced.counts.append(inductor_counts(graph, states, tensors))
        (output,) = graph.graph.find_nodes(op="output")
        values = [None if node is None else node.meta["val"] for node in output.args[0]]
        zeros = [None if value is None else torch.zeros(value.shape, dtype=value.dtype) for value in values]
        return pytree.tree_unflatten(zeros, self._structure)


def inductor_counts(graph: torch.fx.GraphModule, states: Any, tensors: Sequence[Tensor]) -> tuple[int, int, int]:
    """Bytes, fused kernels and library calls of a traced graph."""
    leaves, structure = pytree.tree_flatten((states, list(tensors)))

    def flat(*leaves: Tensor) -> list[Tensor]:
        results = graph(*pytree.tree_unflatten(list(leaves), structure))
        return [result for result in results if result is not None]

    mode = FakeTensorMode(allow_non_fake_inputs=True)
    with mode, torch.no_grad():
        fakes = [torch.empty_strided(leaf.shape, leaf.stride(), dtype=leaf.dtype) for leaf in leaves]
        decomposed = make_fx(
            torch.func.functionalize(flat), decomposition_table=select_decomp_table(), tracing_mode="fake"
        )(*fakes)
    decomposed.graph.eliminate_dead_code()
    decomposed.recompile()
    with config.patch(**OPTIONS), V.set_fake_mode(mode), mode:
        lowering = GraphLowering(decomposed, example_inputs=fakes, is_inference=True)
        with V.set_graph_handler(lowering), V.set_debug_handler(DebugContext()):
            lowering.run(*fakes)
            lowering._update_scheduler()
            traffic, _, _ = lowering.count_bytes()
    nodes = [node for node in lowering.scheduler.nodes if not isinstance(node, NopKernelSchedulerNode)]
    library = sum(isinstance(node, ExternKernelSchedulerNode) for node in nodes)
    return traffic, len(nodes) - library, library


def fused(run: TrainRun, step: Step) -> list[tuple[int, int, int]]:
    """The counts of D's and of G's gradients."""
    Traced.counts = []
    with (
        patch.object(trainer, "compiles", lambda *_: True),
        patch.object(train_step, "CompiledFunction", Traced),
        patch.object(conv2d, "_on_gpu", lambda _: True),
    ):
        images: Any = NoiseImages(run.resolution)
        trainer.Trainer(run, Reals(images, run), torch.device("cpu")).update(step)
    return Traced.counts


def main(name: str, resolution: int) -> None:
    """Count and print."""
    for variant, speed in VARIANTS.items():
        run = with_speed(run_of(name), gpu_mib=0, **speed)
        step = step_at(run, resolution)
        plain = operations(run, step)
        traffic, kernels, library = (sum(column) for column in zip(*fused(run, step), strict=True))
        figures = {
            "unfused_gb_per_image": round(plain.traffic / step.minibatch / 1e9, 2),
            "fused_gb_per_image": round(traffic / step.minibatch / 1e9, 2),
            "unfused_operations": plain.launches,
            "fused_kernels": kernels,
            "library_calls": library,
        }
        print(f"{variant:22} {json.dumps(figures)}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "one-gpu", int(sys.argv[2]) if len(sys.argv) > 2 else 1024)
