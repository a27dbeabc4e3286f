"""A function in fewer bytes: each small constant once, and short names for what is computed."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any


def compact(function: Any) -> None:
    """Change a function (MIL.proto) in place; its inputs, outputs and weights keep their names."""
    for block in function.block_specializations.values():
        renamed = dict(_merged_constants(block))
        operations = [op for op in block.operations if not _is_merged(op, renamed)]
        kept = {value.name for value in function.inputs} | set(block.outputs)
        kept |= {output.name for op in operations if _is_weight(op) for output in op.outputs}
        fresh = (name for name in (f"v{i}" for i in count()) if name not in kept)
        short = {o.name: next(fresh) for op in operations for o in op.outputs if o.name not in kept}
        short |= {old: short[new] for old, new in renamed.items()}
        for op in operations:
            _rename(op, short, fresh)
        del block.operations[:]
        block.operations.extend(operations)


def _merged_constants(block: Any) -> Iterator[tuple[str, str]]:
    """Names of constants in the graph that equal one before them, with that one's."""
    known: dict[bytes, str] = {}
    for op in block.operations:
        if op.type == "const" and not _is_weight(op) and op.outputs[0].name not in block.outputs:
            key = op.attributes["val"].SerializeToString(deterministic=True)
            first = known.setdefault(key, op.outputs[0].name)
            if first != op.outputs[0].name:
                yield op.outputs[0].name, first


def _is_merged(op: Any, renamed: dict[str, str]) -> bool:
    return op.type == "const" and op.outputs[0].name in renamed


def _is_weight(op: Any) -> bool:
    """Whether an operator's name says which weight it gives."""
    if op.type == "const":
        return bool(op.attributes["val"].WhichOneof("value") == "blobFileValue")
    return bool(op.type.startswith("constexpr_"))


def _rename(op: Any, short: dict[str, str], fresh: Iterator[str]) -> None:
    for argument in op.inputs.values():
        for binding in argument.arguments:
            if binding.WhichOneof("binding") == "name":
                binding.name = short.get(binding.name, binding.name)
    for output in op.outputs:
        output.name = short.get(output.name, output.name)
    own = op.outputs[0].name if op.outputs else next(fresh)
    op.attributes["name"].immediateValue.tensor.strings.values[0] = own
