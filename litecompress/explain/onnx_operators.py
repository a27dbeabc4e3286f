"""What each node that ONNX Runtime ran is for, and what it multiplies in."""

from __future__ import annotations

import re
from typing import Any

from litecompress.cost import component
from litecompress.explain.finding import Arithmetic, Operator
from litecompress.explain.onnx_graph import Names, OnnxGraph
from litecompress.explain.onnx_profile import Profile, Run

INTEGER = {"MatMulInteger", "MatMulIntegerToFloat", "DynamicQuantizeMatMul", "QGemm"}
FLOAT = {"MatMul", "Gemm", "FusedMatMul", "FusedGemm"}
LOOK_UP = {"Gather", "GatherBlockQuantized", "GatherND"}
BLOCKS = {4: "int4", 8: "int8 in blocks"}
_LAYER = re.compile(r"(?:encoder|decoder)\.\d+")
_STATE = re.compile(r"(cross_)?(key|value|conv)_(\d+)")
INLINED = "_inlfunc_"  # in the names that ONNX Runtime gives to nodes of functions
FLOAT_TYPES = (1, 10)  # of TensorProto: float32 and float16
Label = tuple[str, str]  # layer and component
UNKNOWN: Label = ("-", "positions and masks")


class Labels:
    """The layer and component of every value, from the weights that it was computed with."""

    def __init__(self, graph: OnnxGraph) -> None:
        self.graph = graph
        kinds = {i.name: i.data_type for i in graph.model.graph.initializer}
        self._kinds = kinds
        self.values: dict[str, Label] = {}
        for value in graph.model.graph.input:
            if state := _STATE.fullmatch(value.name):
                self.values[value.name] = _of_state(*state.groups())

    def weights(self, node: Any) -> Names:
        """The weights that a node reads, under whatever name the runtime folded them to."""
        return self.graph.made_of(node.input)

    def matrices(self, node: Any) -> list[str]:
        """Inputs of a node that are made of matrices."""
        return [
            name
            for name in node.input
            if any(weight.endswith(".weight") for weight in self.graph.made_of([name]))
        ]

    def is_densified(self, node: Any) -> bool:
        """Whether a matrix that it reads is held in codes, and not as it reads it."""
        return any(
            self._kinds.get(name) not in FLOAT_TYPES and self._is_coded(name)
            for name in self.matrices(node)
        )

    def label(self, node: Any, *, product: bool) -> Label:
        """By its own weights, else as the newest of its inputs; its outputs are then the same."""
        weights = self.weights(node)
        if weights:
            found = _of_weights(weights, product=product)
        else:
            known = [self.values[name] for name in node.input if name in self.values]
            found = known[-1] if known else UNKNOWN
        self.values.update(dict.fromkeys(node.output, found))
        return found

    def _is_coded(self, name: str) -> bool:
        """Whether any initializer behind a constant is no float."""
        if name in self._kinds:
            return self._kinds[name] not in FLOAT_TYPES
        producer = self.graph.producer.get(name)
        if producer is None:
            return False
        behind = (i for i in self.graph.nodes[producer].input if self.graph.constants.get(i))
        return any(map(self._is_coded, behind))


def operators(profile: Profile, graph: OnnxGraph) -> list[Operator]:
    """Every node that ran, in its order."""
    labels = Labels(graph)
    calls = _calls(graph)
    return [_operator(run, profile.role, labels, calls) for run in profile.nodes]


def _operator(run: Run, role: str, labels: Labels, calls: set[str]) -> Operator:
    if run.node is None:
        return Operator(
            role, "-", run.kernel, *UNKNOWN, "other", runs=run.runs, time_us=run.time_us
        )
    arithmetic = _arithmetic(run.node, run.kernel, labels)
    product = arithmetic in ("int8", "int4", "int8 in blocks", "float32")
    layer, part = labels.label(run.node, product=product)
    fallback = _stands_in(run.node, calls)
    return Operator(
        graph=role,
        name=run.node.name,
        kernel=run.kernel,
        layer=layer,
        component="convolution" if fallback else part,
        arithmetic=arithmetic,
        densified=arithmetic == "float32" and labels.is_densified(run.node),
        fallback=fallback,
        weights=tuple(sorted(labels.weights(run.node))),
        runs=run.runs,
        time_us=run.time_us,
    )


def _arithmetic(node: Any, kernel: str, labels: Labels) -> Arithmetic:
    """What a node multiplies weights in; `other` where it multiplies none."""
    if kernel in INTEGER:
        return "int8"
    if kernel == "MatMulNBits":
        bits = next((a.i for a in node.attribute if a.name == "bits"), 4)
        return BLOCKS.get(bits, "int4")  # type: ignore[return-value]
    if kernel in FLOAT and labels.matrices(node):
        return "float32"
    if kernel in LOOK_UP and labels.weights(node):
        return "look-up"
    return "quantizing" if kernel == "DynamicQuantizeLinear" else "other"


def _of_weights(weights: Names, *, product: bool) -> Label:
    """That of the first; the layer is `decoder.*` where they are of several."""
    part = component(weights[0])
    if part == "embedding" and product:
        return "output", "output"
    layers = {match[0] for weight in weights if (match := _LAYER.match(weight))}
    if len(layers) > 1:
        return weights[0].split(".")[0] + ".*", part
    return (layers.pop() if layers else part), part


def _of_state(cross: str | None, part: str, layer: str) -> Label:
    names = {"key": "attention", "value": "attention", "conv": "convolution"}
    return f"decoder.{layer}", "cross_attention" if cross else names[part]


def _stands_in(node: Any, calls: set[str]) -> bool:
    """Whether a node came of a function of ours that the runtime wrote out in its place."""
    return INLINED in node.name or any(o in calls or INLINED in o for o in node.output)


def _calls(graph: OnnxGraph) -> set[str]:
    """What the calls of functions give."""
    functions = {function.name for function in graph.model.functions}
    return {o for node in graph.nodes if node.op_type in functions for o in node.output}
