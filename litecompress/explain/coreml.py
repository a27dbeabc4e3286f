"""A Core ML package's operators: which read weights, and how these are held.

Core ML itself decides where each runs, on a device only: nothing is said here of times.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from litecompress.backends import load_backend
from litecompress.cost import component
from litecompress.errors import InputError
from litecompress.explain.finding import Arithmetic, Operator
from litecompress.silence import silenced

WEIGHT_OF = {"linear": "weight", "matmul": "y", "gather": "x", "conv": "weight"}
HELD = {  # by the operators that expand them, which Core ML may put off until they are used
    "constexpr_lut_to_dense": "palette",
    "constexpr_lut_to_sparse": "palette",
    "constexpr_sparse_to_dense": "sparse",
    "constexpr_blockwise_shift_scale": "grid",
    "constexpr_sparse_blockwise_shift_scale": "grid",
}
_LAYER = re.compile(r"(encoder|decoder)[._](\d+)[._](.+)")


def operators(folder: Path) -> list[Operator]:
    """Those of every function of every program."""
    ct = load_backend("coremltools")
    found: list[Operator] = []
    for package in sorted(folder.glob("*.mlpackage")):
        try:
            with silenced():
                program = ct.utils.load_spec(str(package)).mlProgram
        except Exception as error:  # protobuf's own, down to DecodeError
            raise InputError(
                f"{package}: expected an ML program, got {error}; export again"
            ) from error
        for name, function in program.functions.items():
            role = package.stem if name == "main" else f"{package.stem} {name}"
            block = function.block_specializations[function.opset]
            found += _operators(block.operations, role)
    return found


def _operators(operations: Any, role: str) -> Iterator[Operator]:
    makers = {output.name: op for op in operations for output in op.outputs}
    for index, op in enumerate(operations):
        if op.type == "const" or op.type.startswith("constexpr_"):
            continue
        weight = _weight(op, makers)
        held = _held(makers[weight], makers) if weight else ""
        layer, part = _place(weight)
        yield Operator(
            graph=role,
            name=op.outputs[0].name if op.outputs else f"{op.type} {index}",
            kernel=f"{op.type} of {held}" if held else op.type,
            layer=layer,
            component=part,
            arithmetic=_arithmetic(op, bool(weight)),
            weights=(weight,) if weight else (),
        )


def _weight(op: Any, makers: Mapping[str, Any]) -> str:
    """The constant matrix that an operator reads; empty where it reads none."""
    key = WEIGHT_OF.get(op.type)
    if key is None or key not in op.inputs:
        return ""
    name: str = op.inputs[key].arguments[0].name
    maker = makers.get(name)
    constant = maker is not None and (maker.type == "const" or maker.type.startswith("constexpr_"))
    return name if constant else ""


def _held(maker: Any, makers: Mapping[str, Any]) -> str:
    """`floats`, or what they are expanded from: `sparse palette`."""
    if maker.type == "const":
        return "floats"
    names = [a.name for inside in maker.inputs.values() for a in inside.arguments if a.name]
    nested = {_held(makers[n], makers) for n in names if makers[n].type.startswith("constexpr_")}
    return " ".join([HELD.get(maker.type, maker.type), *sorted(nested)])


def _arithmetic(op: Any, weights: bool) -> Arithmetic:
    """Core ML multiplies in the type that the program declares, whatever weights are held in."""
    if not weights:
        return "other"
    if op.type == "gather":
        return "look-up"
    half = op.outputs[0].type.tensorType.dataType == 10  # FLOAT16 of MIL.proto
    return "float16" if half else "float32"


def _place(weight: str) -> tuple[str, str]:
    """Layer and component by the name of a weight, in which dots may have become bars."""
    match = _LAYER.search(weight)
    if match is None:
        return ("-", "embedding" if "embedding" in weight else "output" if weight else "-")
    part = "cross_attention" if match[3].startswith("cross") else re.split(r"[._]", match[3])[0]
    return f"{match[1]}.{match[2]}", component(f"{match[1]}.{match[2]}.{part}.x.weight")
