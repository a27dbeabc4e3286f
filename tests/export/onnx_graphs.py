"""Graphs of one weight, written and run: a linear layer, a look-up and any other use of it."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime

from litecompress.export.onnx import write_graphs
from litecompress.export.onnx_network import Network
from litecompress.export.onnx_stored import StoredWeight
from litecompress.export.onnx_writer import FLOAT, INT64

LINEAR, LOOK_UP, OTHER = "linear", "look_up", "other"


def written(folder, encodings, *uses, activations="per_tensor"):
    """A model that uses weights so, written to a folder and checked.

    Of one weight `w.weight` any use; of several, `w0.weight` and so on, their joined product.
    """
    several = isinstance(encodings, list)
    encodings = encodings if several else [encodings]
    names = [f"w{i}" if several else "w" for i in range(len(encodings))]
    weights = {
        f"{name}.weight": StoredWeight.of(f"{name}.weight", encoding, turned=LINEAR in uses)
        for name, encoding in zip(names, encodings)
    }
    network, columns = Network(weights, activations), encodings[0].shape[1]
    rows = sum(encoding.shape[0] for encoding in encodings)
    x = network.writer.input("x", FLOAT, "n", columns)
    ids = network.writer.input("ids", INT64, "n", "t")
    for use in uses:
        match use:
            case "linear":
                network.writer.output(network.linear(x, *names), use, "n", rows)
            case "look_up":
                found = network.rows("w.weight", ids)
                network.writer.output(found, use, "n", "t", columns)
            case "other":
                opposite = network.emit("Neg", network.floats("w.weight"))
                network.writer.output(opposite, use, rows, columns)
    write_graphs({"model": network.writer}, folder)
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
