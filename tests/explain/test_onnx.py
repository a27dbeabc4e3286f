"""What ONNX Runtime really does with a package, by kind of storage."""

from __future__ import annotations

import pytest

from litecompress.artifact import Artifact
from litecompress.encoding import Palette
from litecompress.explain.finding import Operator, shares
from litecompress.explain.onnx_graph import OnnxGraph, module_name, weight_name
from litecompress.explain.run import explain
from litecompress.stages import Context, Quantize, apply
from tests import models
from tests.verify import packages

OPTIONS = {
    "float32": {"storage": "float32"},
    "int8": {"storage": "int8"},
    "int8 in blocks": {"storage": "int8", "activations": "per_block"},
    "int4": {"storage": "int4"},
    "palette": {"storage": "native"},
}


def palettes() -> Artifact:
    return apply(Quantize(), models.artifact(), Context())


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    known = {}

    def explained(kind):
        if kind not in known:
            artifact = palettes() if kind == "palette" else None
            folder = packages.made(tmp_path_factory.mktemp("made"), artifact, **OPTIONS[kind])
            known[kind] = explain(folder / "package", tokens=6, repeats=2)
        return known[kind]

    return explained


def arithmetics(explanation):
    multiplied = {"int8", "int4", "int8 in blocks", "float32"}
    return {op.arithmetic for op in explanation.operators} & multiplied


@pytest.mark.parametrize("kind", ["float32", "int8", "int8 in blocks", "int4"])
def test_matrices_are_multiplied_in_what_the_storage_says(found, kind):
    assert arithmetics(found(kind)) == {kind}
    assert not any(op.densified for op in found(kind).operators)


def test_palettes_are_expanded_and_then_floats(found):
    explanation = found("palette")
    assert arithmetics(explanation) == {"float32"}
    encodings = palettes().weights
    for op in explanation.operators:
        if op.arithmetic == "float32":
            matrices = [encodings[name] for name in op.weights if name.endswith(".weight")]
            assert op.densified is any(isinstance(m, Palette) for m in matrices)
    assert any(op.densified for op in explanation.operators)


@pytest.mark.parametrize("kind", ["float32", "int8", "palette"])
def test_every_matrix_is_read_by_some_node_of_its_layer(found, kind):
    explanation = found(kind)
    names = {n for n in models.artifact().weights if n.endswith(".weight") and "_norm" not in n}
    assert names <= {weight for op in explanation.operators for weight in op.weights}
    layers = {op.layer for op in explanation.operators}
    assert {"encoder.0", "encoder.1", "decoder.0", "decoder.1", "output"} <= layers
    parts = {"attention", "convolution", "cross_attention", "ffn", "norms", "output", "embedding"}
    assert parts <= {op.component for op in explanation.operators}


@pytest.mark.parametrize("kind", OPTIONS)
def test_times_are_of_every_run_but_the_first_and_shares_add_up(found, kind):
    explanation = found(kind)
    runs = {op.graph: op.runs for op in explanation.operators}
    assert runs == {"encoder": 1, "decoder": 11}
    for key in ("kind", "component", "layer"):
        assert sum(row["share"] for row in explanation.shares(key)) == pytest.approx(1)


def test_a_custom_operator_is_said_to_be_a_fallback(tmp_path):
    folder = packages.made(tmp_path, storage="float32", conv_branch="custom")
    operators = explain(folder / "package", tokens=6, repeats=2).operators
    assert {op.component for op in operators if op.fallback} <= {"convolution"}
    assert any(op.fallback for op in operators)


def test_the_builtin_branch_has_no_fallback(found):
    assert not any(op.fallback for op in found("float32").operators)


@pytest.mark.parametrize(
    ("initializer", "weight"),
    [
        ("litecompress.decoder.0.ffn.fc1.weight", "decoder.0.ffn.fc1.weight"),
        ("litecompress.model.encoder.3.conv.kernel.bits4", "encoder.3.conv.kernel"),
        ("litecompress.embedding.weight.part2.scale", "embedding.weight"),
        ("litecompress.output.weight.part0.bits1", "output.weight"),
    ],
)
def test_initializers_go_by_their_weights(initializer, weight):
    assert weight_name(initializer) == weight
    assert module_name("decoder.0.ffn.fc1.bias") == "decoder.0.ffn.fc1"


def test_shares_are_none_where_nothing_was_timed():
    op = Operator("main", "linear", "linear", "-", "-", "float16")
    (row,) = shares([op], "kind")
    assert (row["operators"], row["share"]) == (1, None)


def test_the_meeting_of_readers_is_the_output_of_their_module(tmp_path):
    folder = packages.made(tmp_path, storage="int8")
    graph = OnnxGraph(folder / "package" / "decoder.onnx")
    readers = graph.readers()
    meeting = graph.nodes[graph.meeting(readers["decoder.0.ffn.fc1"])]
    assert meeting.op_type == "Add"
    assert any(name.endswith("decoder.0.ffn.fc1.bias") for name in meeting.input)
