"""What compiled backward passes of leaky ReLUs read: a byte for each result that says whether it is positive."""

from typing import Any

import torch
from torch import fx

_aten = torch.ops.aten
_UNCHANGED = (_aten.detach.default, _aten.alias.default)
_ELEMENTWISE = (*_UNCHANGED, _aten.add.Tensor, _aten._to_copy.default)


def write_masks(graph: fx.GraphModule) -> None:
    """Let a traced graph keep masks of the leaky ReLUs after convolutions, where that moves fewer bytes.

    A mask is written with the result, by one kernel. It is read by every backward pass and, of a penalty, by the second
    forward pass and the derivatives of both. Other activations, above all those of RGB images, are computed again.
    """
    readers: dict[fx.Node, list[fx.Node]] = {}
    for node in graph.graph.nodes:
        if node.target is _aten.leaky_relu_backward.default:
            y = _source(node.args[1], _UNCHANGED)
            if y.target is _aten.leaky_relu.default and _convolves(y):
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
    return _source(y.args[0], _ELEMENTWISE).target is _aten.convolution.default


def _source(node: Any, through: tuple[Any, ...]) -> fx.Node:
    while node.target in through:
        node = node.args[0]
    return node
