"""Fewer operators for one step: what shapes alone decide is decided when the graph is written.

A decoder step has one position, so dividing channels into heads moves no number, and the windows
of its convolutions are known. A runtime that sees only symbolic shapes does both in every step.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from litecompress.export.onnx_writer import GraphWriter


def simplify(graph: ir.Graph) -> None:
    """Known shapes as constants, transposes that move nothing as reshapes, two of these as one."""
    writer = GraphWriter(graph)
    for node in list(graph):
        writer.before = node
        match node.op_type:
            case "Shape":
                _constant_shape(writer, node)
            case "Transpose":
                _as_reshape(writer, node)
    for node in graph:
        if node.op_type == "Reshape":
            _skip_first(node)


def _constant_shape(writer: GraphWriter, node: ir.Node) -> None:
    """Replace a Shape all of whose dimensions are known."""
    (value,) = node.inputs
    if value is None or value.shape is None:
        return
    start = node.attributes.get_int("start", 0)
    end = node.attributes.get_int("end", len(value.shape))
    sizes = value.shape[start:end]
    if all(isinstance(size, int) for size in sizes):
        _replace(node, writer.integers(*map(int, sizes)))  # type: ignore[arg-type]


def _as_reshape(writer: GraphWriter, node: ir.Node) -> None:
    """Replace a Transpose that only moves dimensions of size 1."""
    (value,) = node.inputs
    order = node.attributes["perm"].as_ints()
    if value is None or value.shape is None:
        return
    sizes = list(value.shape)
    moved = [axis for axis in order if sizes[axis] != 1]
    if moved != sorted(moved) or sum(not isinstance(size, int) for size in sizes) > 1:
        return
    shape = _with_unknown([sizes[axis] for axis in order])
    _replace(node, writer.emit("Reshape", value, writer.integers(*shape)))


def _with_unknown(sizes: Sequence[int | ir.SymbolicDim]) -> list[int]:
    return [size if isinstance(size, int) else -1 for size in sizes]


def _skip_first(node: ir.Node) -> None:
    """Let a Reshape read what the Reshape before it reads."""
    value, shape = node.inputs
    before = value.producer() if value is not None else None
    if before is None or before.op_type != "Reshape" or shape is None or shape.const_value is None:
        return
    if (np.asarray(shape.const_value) != 0).all():
        node.replace_input_with(0, before.inputs[0])


def _replace(node: ir.Node, new: ir.Value) -> None:
    old = node.outputs[0]
    if not new.is_initializer():
        new.name, new.shape, new.type = old.name, old.shape, old.type
    ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)
    node.graph.remove(node, safe=True)  # type: ignore[union-attr]
