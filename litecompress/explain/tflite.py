"""A TFLite file's operators: what each multiplies in, and whether XNNPACK takes it.

LiteRT tells Python of no times, and of what it delegates in the first of its graphs only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from litecompress.backends import load_backend
from litecompress.errors import InputError
from litecompress.explain.finding import Arithmetic, Operator
from litecompress.silence import silenced

PRODUCTS = {"FULLY_CONNECTED", "BATCH_MATMUL", "CONV_2D", "DEPTHWISE_CONV_2D"}
LOOK_UP = {"EMBEDDING_LOOKUP", "GATHER"}
FILE = "model.tflite"


def operators(folder: Path) -> list[Operator]:
    """Those of every graph of the file, in order."""
    path = folder / FILE
    schema = load_backend("ai_edge_litert.schema_py_generated")
    try:
        model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
        names = {value: name for name, value in vars(schema.BuiltinOperator).items()}
        kinds = {value: name for name, value in vars(schema.TensorType).items()}
        signatures = {s.subgraphIndex: s.signatureKey.decode() for s in model.signatureDefs or ()}
        delegated = _delegated(path)
        return [
            op
            for index, graph in enumerate(model.subgraphs)
            for op in _graph(
                model,
                graph,
                signatures.get(index, f"graph {index}"),
                names,
                kinds,
                delegated if index == 0 else None,
            )
        ]
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RuntimeError) as error:
        raise InputError(f"{path}: expected a TFLite file, got {error}; export again") from error


def _graph(
    model: Any,
    graph: Any,
    role: str,
    names: Mapping[int, str],
    kinds: Mapping[int, str],
    delegated: set[int] | None,
) -> Iterator[Operator]:
    """The operators of one graph; constants are known by their buffers."""
    constants = {
        i
        for i, tensor in enumerate(graph.tensors)
        if model.buffers[tensor.buffer].data is not None or model.buffers[tensor.buffer].offset > 1
    }
    expanded = set()
    for index, op in enumerate(graph.operators):
        code = model.operatorCodes[op.opcodeIndex]
        kernel = names.get(max(code.builtinCode, code.deprecatedBuiltinCode), "?")
        if kernel == "DEQUANTIZE" and op.inputs[0] in constants:
            expanded.update(op.outputs)
        read = [i for i in op.inputs if i >= 0]
        weights = [i for i in read[1:] if i in constants or i in expanded][:1]
        kind = kinds.get(graph.tensors[weights[0]].type, "") if weights else ""
        yield Operator(
            graph=role,
            name=f"{kernel} {index}",
            kernel=kernel,
            layer="-",
            component=_component(kernel, bool(weights)),
            arithmetic=_arithmetic(kernel, kind),
            densified=bool(weights) and weights[0] in expanded,
            delegated=None if delegated is None else index in delegated,
        )


def _arithmetic(kernel: str, weights: str) -> Arithmetic:
    """By the type of the constant that a product reads."""
    if kernel in LOOK_UP and weights:
        return "look-up"
    if kernel not in PRODUCTS or not weights:
        return "quantizing" if kernel == "QUANTIZE" else "other"
    return {"INT8": "int8", "INT4": "int4", "FLOAT16": "float16"}.get(weights, "float32")  # type: ignore[return-value]


def _component(kernel: str, weights: bool) -> str:
    """Inner tensors have no names here: as much as the operator says."""
    if kernel in LOOK_UP:
        return "embedding"
    return "linear" if kernel in PRODUCTS and weights else "-"


def _delegated(path: Path) -> set[int]:
    """Operators of the first graph that lie between a delegate's inputs and outputs."""
    backend = load_backend("ai_edge_litert.interpreter")
    with silenced():
        interpreter = backend.Interpreter(model_path=str(path), num_threads=1)
        interpreter.allocate_tensors()
        details = interpreter._get_ops_details()
    real = [op for op in details if op["op_name"] != "DELEGATE"]
    makers = {int(o): op for op in real for o in op["outputs"]}
    found: set[int] = set()
    for delegate in (op for op in details if op["op_name"] == "DELEGATE"):
        stop = set(map(int, delegate["inputs"]))
        left = [int(o) for o in delegate["outputs"]]
        while left:
            value = left.pop()
            op = makers.get(value)
            if value in stop or op is None or op["index"] in found:
                continue
            found.add(op["index"])
            left.extend(int(i) for i in op["inputs"])
    return found
