"""Changes of traced gradients after which they move fewer bytes, and results stay the same."""

# torch documents operators only in its sources
# pyright: reportPrivateUsage=false

from typing import Any

import torch
from torch import Tensor, fx
from torch.utils import _pytree as pytree

_aten = torch.ops.aten
_UNCHANGED = (_aten.detach.default, _aten.alias.default)
_ELEMENTWISE = (*_UNCHANGED, _aten.add.Tensor, _aten._to_copy.default)

_PREPARATION = (
    *_UNCHANGED, _aten.mul.Tensor, _aten._to_copy.default, _aten.permute.default, _aten.view.default, _aten.t.default,
    _aten.expand.default, _aten._unsafe_view.default, _aten.mm.default, _aten.bmm.default, _aten.clone.default,
    _aten.constant_pad_nd.default, _aten.slice.Tensor, _aten.cat.default, _aten.repeat.default,
)  # fmt: skip


def share_weights(graph: fx.GraphModule) -> None:
    """Prepare each kernel once: passes through a network scale, filter and pack the same weights.

    Equal operations become one where all that they compute with are inputs, or computed from inputs by the operations
    that prepare kernels, and where nothing changes the result. The graph was traced with fake tensors.
    """
    kept: dict[tuple[Any, str, str], fx.Node] = {}
    changed = _changed(graph)
    prepared = {node for node in graph.graph.find_nodes(op="placeholder") if not _storages(node) & changed}
    for node in list(graph.graph.nodes):
        prepares = node.target in _PREPARATION and prepared.issuperset(node.all_input_nodes)
        if not prepares or _storages(node) & changed:
            continue
        first = kept.setdefault((node.target, repr(node.args), repr(node.kwargs)), node)
        prepared.add(first)
        if first is not node:
            node.replace_all_uses_with(first)
            graph.graph.erase_node(node)
    graph.recompile()


def _changed(graph: fx.GraphModule) -> set[int]:
    """The storages of the tensors, or of what they are views of, that operations which write to any of them take."""
    writes = [node for node in graph.graph.nodes if getattr(getattr(node.target, "_schema", None), "is_mutable", False)]
    return {storage for node in writes for read in node.all_input_nodes for storage in _storages(read)}


def _storages(node: fx.Node) -> set[int]:
    """Of the tensors that a node stands for; views of a tensor have its storage."""
    leaves = pytree.tree_leaves(node.meta.get("val"))
    return {leaf.untyped_storage()._cdata for leaf in leaves if isinstance(leaf, Tensor)}


def write_masks(graph: fx.GraphModule) -> None:
    """Let a traced graph keep masks of the leaky ReLUs after convolutions, where that moves fewer bytes.

    A mask is written with the result, by one kernel. It is read by every backward pass and, of a penalty, by the second
    forward pass and the derivatives of both. Other activations, above all those of RGB images, are computed again.
    """
    changed = _changed(graph)
    readers: dict[fx.Node, list[fx.Node]] = {}
    for node in graph.graph.nodes:
        if node.target is _aten.leaky_relu_backward.default:
            y, gradient = _source(node.args[1], _UNCHANGED), node.args[0]
            promoted = gradient.meta["val"].dtype != node.meta["val"].dtype
            if _convolves(y) and not promoted and not _storages(y) & changed:
                readers.setdefault(y, []).append(node)
    for y, nodes in readers.items():
        result = y.meta["val"]
        if len(nodes) * result.element_size() > len(nodes) + 1:
            _replace(graph.graph, y, nodes)
    graph.recompile()


def _replace(graph: fx.Graph, y: fx.Node, readers: list[fx.Node]) -> None:
    result = y.meta["val"]
    with graph.inserting_after(y):
        positive = graph.call_function(_aten.gt.Scalar, (y, 0))
    with graph.inserting_after(positive):
        # Inductor writes what is viewed in this way; else it would compare again in every kernel
        geometry = list(result.shape), list(result.stride())
        mask = graph.call_function(_aten.as_strided.default, (positive, *geometry))
    positive.meta["val"] = mask.meta["val"] = result > 0
    for reader in readers:
        gradient, _, negative_slope = reader.args[:3]
        with graph.inserting_before(reader):
            scaled = graph.call_function(_aten.mul.Tensor, (gradient, negative_slope))
            chosen = graph.call_function(_aten.where.self, (mask, gradient, scaled))
        scaled.meta["val"] = chosen.meta["val"] = reader.meta["val"]
        reader.replace_all_uses_with(chosen)
        graph.erase_node(reader)


def _convolves(y: fx.Node) -> bool:
    """Whether a node is the leaky ReLU of a convolution."""
    relu = y.target is _aten.leaky_relu.default
    return relu and _source(y.args[0], _ELEMENTWISE).target is _aten.convolution.default


def _source(node: Any, through: tuple[Any, ...]) -> fx.Node:
    while node.target in through:
        node = node.args[0]
    return node
