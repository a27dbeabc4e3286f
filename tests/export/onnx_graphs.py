"""Graphs of one weight, lowered and run: a linear layer, a look-up and any other use of it."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime

from litecompress.export.conv_branch import DOMAIN
from litecompress.export.onnx_lowering import Lowering, store
from litecompress.export.onnx_weights_file import WeightsFile

LINEAR, LOOK_UP, OTHER = "linear", "look_up", "other"


def lowered(folder, encoding, *uses, activations="per_tensor"):
    """A model that uses a weight so, written to a folder and checked."""
    rows, columns = encoding.shape
    weight = _value("model.w.weight", encoding.decode())
    x = _input("x", ir.DataType.FLOAT, ["n", columns])
    ids = _input("ids", ir.DataType.INT64, ["n", "t"])
    nodes, shapes = [], {LINEAR: ["n", rows], LOOK_UP: ["n", "t", columns], OTHER: [rows, columns]}
    for use in uses:
        match use:
            case "linear":
                nodes.append(ir.node("Linear", [x, weight], domain=DOMAIN))
            case "look_up":
                nodes.append(ir.node("Embedding", [weight, ids], domain=DOMAIN))
            case "other":
                nodes.append(ir.node("Neg", [weight]))
        output = nodes[-1].outputs[0]
        output.name, output.shape = use, ir.Shape(shapes[use])
        output.type = ir.TensorType(ir.DataType.FLOAT)
    outputs = [node.outputs[0] for node in nodes]
    opsets = {"": 21, "com.microsoft": 1}
    graph = ir.Graph(
        [x, ids], outputs, nodes=nodes, initializers=[weight], opset_imports=opsets, name="g"
    )
    Lowering(graph, store({"w.weight": encoding}, [graph]), activations).run()
    graph.initializers.pop(weight.name)
    model = ir.Model(graph, ir_version=10)
    file = WeightsFile(folder / "weights.bin")
    file.take(model)
    file.write()
    ir.save(model, folder / "model.onnx")
    onnx.checker.check_model(folder / "model.onnx", full_check=True)
    return folder / "model.onnx"


def run(path, use, x=None, ids=None, optimized=None):
    """One output of a model."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    if optimized:
        options.optimized_model_filepath = str(optimized)
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    columns = session.get_inputs()[0].shape[1]
    x = np.zeros((1, columns), np.float32) if x is None else x
    ids = np.zeros((1, 1), np.int64) if ids is None else ids
    return session.run([use], {"x": x, "ids": ids})[0]


def operators(path):
    """Operator types of a written model."""
    return [node.op_type for node in onnx.load(path, load_external_data=False).graph.node]


def _value(name, array):
    tensor = ir.tensor(np.ascontiguousarray(array), name=name)
    return ir.Value(
        name=name, const_value=tensor, shape=tensor.shape, type=ir.TensorType(tensor.dtype)
    )


def _input(name, dtype, shape):
    return ir.Value(name=name, shape=ir.Shape(shape), type=ir.TensorType(dtype))
