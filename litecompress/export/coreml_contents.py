"""What a Core ML package really holds, read back from disk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

from litecompress.backends import load_backend

proto = load_backend("coremltools.proto")

MODEL = "Data/com.apple.CoreML/model.mlmodel"
MATRIX_OF = {"linear": "weight", "matmul": "y", "gather": "x"}  # that input, where constant
STORED = ("indices", "indices_nonzero_data", "data", "nonzero_data", "quantized_data")


@dataclass
class Contents:
    """Operators of all functions, names of what constant expressions give, and matrices by name."""

    ops: Counter[str] = field(default_factory=Counter)
    encoded: set[str] = field(default_factory=set)
    matrices: dict[str, tuple[int, bool]] = field(default_factory=dict)  # float32 bytes, in 8 bits

    @property
    def quantized_byte_share(self) -> float:
        """Share of the bytes of all matrices, as float32, that are in 8 bits or fewer."""
        total = sum(size for size, _ in self.matrices.values())
        return sum(size for size, small in self.matrices.values() if small) / max(1, total)

    def read(self, package: Path) -> None:
        """Add what a package holds; matrices are found by their use."""
        model = proto.Model_pb2.Model.FromString((package / MODEL).read_bytes())
        for function in model.mlProgram.functions.values():
            self._read(function.block_specializations[function.opset].operations)

    def _read(self, operations: Any) -> None:
        makers = {output.name: op for op in operations for output in op.outputs}
        used = set()
        for op in operations:
            if op.type != "const":
                self.ops[op.type] += 1
            if op.type.startswith("constexpr_"):
                self.encoded.update(output.name for output in op.outputs)
            if op.type in MATRIX_OF:
                used.add(op.inputs[MATRIX_OF[op.type]].arguments[0].name)
        for name in used & makers.keys():
            maker = makers[name]
            if maker.type == "const" or maker.type.startswith("constexpr_"):
                shape = [d.constant.size for d in maker.outputs[0].type.tensorType.dimensions]
                self.matrices[name] = 4 * prod(shape), _is_small(maker, makers)


def _is_small(op: Any, makers: Mapping[str, Any]) -> bool:
    """Whether an operator is a constant expression over integers of 8 bits or fewer."""
    values = {key: argument.arguments[0] for key, argument in op.inputs.items()}
    stored = next((values[key] for key in STORED if key in values), None)
    if stored is not None and stored.name:
        return _is_small(makers[stored.name], makers)
    own = next((op.attributes[key] for key in STORED if key in op.attributes), None)
    value = own if stored is None else stored.value
    if value is None:
        return False
    kind = proto.MIL_pb2.DataType.Name(value.type.tensorType.dataType)
    return kind in {"INT8", "UINT8", "INT4"} or (kind.startswith("UINT") and int(kind[4:]) < 8)
