"""A graph pass that puts our own encodings in the place of a program's plain constants.

A program decompresses constants itself (`constexpr_*` operators). The pass hands it our own
indices, codebooks, masks and integers; coremltools' optimizers would look for them anew, leave
out weights below 2048 elements, and round an int8 grid a second time.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import numpy as np

from litecompress.backends import load_backend
from litecompress.encoding import Array
from litecompress.export.coreml_plan import Layout, is_kernel
from litecompress.export.coreml_stored import Constant, Stored

mil = load_backend("coremltools.converters.mil.mil")
passes = load_backend("coremltools.converters.mil.mil.passes.graph_pass")
registry = load_backend("coremltools.converters.mil.mil.passes.pass_registry")
helper = load_backend("coremltools.converters.mil.mil.passes.helper")

Key = tuple[str, tuple[int, ...], bytes]  # type, shape and digest of a constant's values
PASS = "litecompress::store_encoded"


class KnownWeights:
    """A model's matrices, found by the values that they decode to, or by those turned.

    Renaming and casting to float16 then do not matter.
    """

    def __init__(self, layout: Layout) -> None:
        self.forms = layout.stored
        self._found: dict[Key, tuple[str, bool]] = {}
        for name, encoding in layout.planned.weights.items():
            if len(encoding.shape) == 2 and not is_kernel(name):
                values = encoding.decode()
                for turned, own in ((True, values.T), (False, values)):
                    for typed in (own, own.astype(np.float16)):
                        self._found[_key(typed)] = name, turned

    def find(self, values: Array) -> tuple[str, bool]:
        """The name of the weight with these values, "" for none; and whether they are turned."""
        return self._found.get(_key(values), ("", False))


@registry.register_pass(namespace="litecompress", name="store_encoded", override=True)
class StoreEncoded(passes.AbstractGraphPass):  # type: ignore[misc,name-defined]
    """Replace each constant that equals a decoded weight by the weight's form, under its name.

    A turned copy beside it goes as well: every matrix is in a program once.
    """

    weights: KnownWeights | None = None

    def apply(self, prog: Any) -> None:
        """Every use of such a constant then reads the one encoded weight."""
        if self.weights is not None:
            for function in prog.functions.values():
                _replace_constants(function, self.weights)


@helper.block_context_manager  # type: ignore[untyped-decorator]
def _replace_constants(block: Any, weights: KnownWeights) -> None:
    known: dict[str, Any] = {}
    for op in list(block.operations):
        value = op.outputs[0].val if op.op_type == "const" else None
        name, turned = weights.find(value) if isinstance(value, np.ndarray) else ("", False)
        if not name or (name not in weights.forms and name not in known):
            known |= {name: op.outputs[0]} if name and not turned else {}
            continue
        if name not in known:
            known[name] = build(weights.forms[name], name=program_name(name), before_op=op)
        if turned:
            _multiply_unturned(block, op, known[name])
        elif op.outputs[0] is not known[name]:
            block.replace_uses_of_var_after_op(
                anchor_op=op, old_var=op.outputs[0], new_var=known[name], no_check_var_types=True
            )
            block.remove_ops([op])


def _multiply_unturned(block: Any, op: Any, weight: Any) -> None:
    """Let linear layers that read a turned copy of a weight read the weight itself."""
    for linear in list(op.outputs[0].child_ops):
        if linear.op_type != "linear":
            continue
        product = mil.Builder.matmul(x=linear.x, y=weight, name=linear.name, before_op=linear)
        if linear.bias is not None and linear.bias.val.any():
            product = mil.Builder.add(x=product, y=linear.bias, before_op=linear)
        block.replace_uses_of_var_after_op(
            anchor_op=linear, old_var=linear.outputs[0], new_var=product, no_check_var_types=True
        )
        block.remove_ops([linear])
    if not op.outputs[0].child_ops:
        block.remove_ops([op])


def program_name(name: str) -> str:
    """The name of an encoded weight inside a program, where dots are not allowed."""
    return name.replace(".", "_")


def _key(values: Array) -> Key:
    return values.dtype.str, values.shape, sha256(values.tobytes()).digest()


def build(stored: Stored, name: str, before_op: Any) -> Any:
    """The operators of a form; the last one is named and its output returned."""
    before: tuple[Any, ...] = ()
    for i, step in enumerate(stored.steps):
        last = i == len(stored.steps) - 1
        inputs = {key: _typed(constant) for key, constant in step.constants.items()}
        inputs |= dict(zip(step.feeds, before, strict=True))
        result = getattr(mil.Builder, step.operator)(
            **inputs, name=name if last else f"{name}_{i}", before_op=before_op
        )
        before = tuple(result) if isinstance(result, (tuple, list)) else (result,)
    return before[0]


def _typed(constant: Constant) -> Any:
    """Values in the NumPy type by which coremltools knows how many bits they have."""
    kind = mil.types.nptype_from_builtin(mil.types.string_to_builtin(constant.kind))
    values = constant.values.astype(kind)
    return values if values.ndim else values[()]
