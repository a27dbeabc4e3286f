"""Operators that shapes alone decide are gone, and what is computed is the same."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest
from onnx_ir.passes.common import RemoveUnusedNodesPass

from litecompress.export.onnx_simplify import simplify


def model(text):
    return ir.from_onnx_text(f'<ir_version: 10, opset_import: ["" : 21]>\n{text}')


def run(made, x):
    path = ir.serde.serialize_model(made).SerializeToString()
    return onnxruntime.InferenceSession(path).run(None, {"x": x})[0]


def simplified(text, x):
    """Operators that are left, once the result is known to be the same."""
    made = model(text)
    before = run(made, x)
    simplify(made.graph)
    RemoveUnusedNodesPass()(made)
    np.testing.assert_array_equal(run(made, x), before)
    return [node.op_type for node in made.graph]


ONE_POSITION = """
g (float[batch, 1, 8] x) => (float[batch, 4, 1, 2] y)
<int64[4] shape = {-1, 1, 4, 2}, float[batch, 1, 4, 2] h> {
    h = Reshape(x, shape)
    y = Transpose<perm = [0, 2, 1, 3]>(h)
}
"""
POSITIONS = """
g (float[batch, length, 8] x) => (float[batch, 4, length, 2] y)
<int64[4] shape = {0, 0, 4, 2}, float[batch, length, 4, 2] h> {
    h = Reshape(x, shape)
    y = Transpose<perm = [0, 2, 1, 3]>(h)
}
"""
KNOWN = """
g (float[batch, 3, 8] x) => (float[batch, 3, 8] y) {
    size = Shape<start = 1, end = 2>(x)
    number = Cast<to = 1>(size)
    y = Mul(x, number)
}
"""
UNKNOWN = KNOWN.replace("start = 1, end = 2", "start = 0, end = 1")


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(
    ("text", "shape", "left"),
    [
        (ONE_POSITION, (1, 8), ["Reshape"]),
        (POSITIONS, (5, 8), ["Reshape", "Transpose"]),
        (KNOWN, (3, 8), ["Cast", "Mul"]),
        (UNKNOWN, (3, 8), ["Shape", "Cast", "Mul"]),
    ],
)
def test_what_shapes_decide_is_decided_once(text, shape, left, batch):
    x = np.random.default_rng(0).standard_normal((batch, *shape)).astype(np.float32)
    assert simplified(text, x) == left
