"""Writes red_square.onnx: a made-up network with YuNet's inputs and outputs that takes red squares for faces.

`pip install onnx && python make.py` in this folder. A cell of 32 x 32 pixels that is red gives a face: its box is the
cell, its landmarks lie at `POINTS` in it. The cells of 8 and 16 pixels give none.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

POINTS = ((8, 10), (24, 11), (16, 18), (10, 25), (22, 26))
STRIDES = (8, 16, 32)
RED = (-0.05, -0.05, 0.1)  # of BGR

nodes, weights, outputs = [], [], []
for stride in STRIDES:
    nodes.append(
        helper.make_node(
            "AveragePool", ["input"], [f"mean_{stride}"], kernel_shape=[stride, stride], strides=[stride, stride]
        )
    )
    points = np.array(POINTS, np.float32).ravel() / 32
    heads = {"cls": ([RED], [-10]), "obj": ([RED], [-10]), "bbox": ([(0, 0, 0)] * 4, [0.5, 0.5, 0, 0])}
    if stride != 32:
        heads |= {"cls": ([(0, 0, 0)], [-20]), "obj": ([(0, 0, 0)], [-20])}
    heads["kps"] = ([(0, 0, 0)] * 10, points)
    for head, (kernel, bias) in heads.items():
        name = f"{head}_{stride}"
        weights.append(numpy_helper.from_array(np.array(kernel, np.float32).reshape(-1, 3, 1, 1), f"{name}_kernel"))
        weights.append(numpy_helper.from_array(np.array(bias, np.float32), f"{name}_bias"))
        nodes.append(helper.make_node("Conv", [f"mean_{stride}", f"{name}_kernel", f"{name}_bias"], [f"{name}_map"]))
        last = f"{name}_map"
        if head in ("cls", "obj"):
            nodes.append(helper.make_node("Sigmoid", [last], [f"{name}_share"]))
            last = f"{name}_share"
        nodes.append(helper.make_node("Transpose", [last], [f"{name}_last"], perm=[0, 2, 3, 1]))
        weights.append(numpy_helper.from_array(np.array([1, -1, len(bias)], np.int64), f"{name}_shape"))
        nodes.append(helper.make_node("Reshape", [f"{name}_last", f"{name}_shape"], [name]))
for head in ("cls", "obj", "bbox", "kps"):
    outputs += [
        helper.make_tensor_value_info(f"{head}_{stride}", TensorProto.FLOAT, [1, None, None]) for stride in STRIDES
    ]
inputs = [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 640, 640])]
graph = helper.make_graph(nodes, "red_square", inputs, outputs, weights)
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=8), "red_square.onnx")
