"""Operators that take several sentences at a time, where a program is written for one.

What depends on an input has the rows before the axes that a program knows; constants have not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from litecompress.runtime.mil_ops import OPERATORS, Array

Arguments = dict[str, Any]
ALIGNED = frozenset(  # whose operands broadcast against each other
    {"add", "equal", "greater", "greater_equal", "less", "logical_and", "matmul", "maximum"}
    | {"minimum", "mul", "not_equal", "select", "sub"}
)
AXES = frozenset(  # which have an `axis` or `axes`
    {"concat", "cumsum", "expand_dims", "gather", "layer_norm", "reduce_sum", "softmax", "split"}
)


def batched(operator: str, ranks: Mapping[str, int | tuple[int, ...]]) -> Callable[..., Any]:
    """The operator for rows; `ranks` are those of operands with rows, as the program knows them.

    A tuple is for an operand of several values, -1 in it for one without rows.
    """
    run = OPERATORS[operator]
    if operator in ALIGNED:
        most = max(rank for rank in ranks.values() if isinstance(rank, int))
        return lambda **given: run(**_aligned(given, ranks, most))
    if operator == "gather":
        return _gather(ranks)
    if operator == "concat":
        return lambda **given: run(**_with_rows(given, ranks))
    adapt = _ADAPTED.get(operator)
    if adapt is None:
        return run
    return lambda **given: run(**adapt(given))


def shifted(operator: str, constants: Arguments) -> Arguments:
    """Constant options of an operator that count axes from the front, with one more before."""
    if operator not in AXES:
        return constants
    return {
        key: _behind(value) if key in ("axis", "axes") else value
        for key, value in constants.items()
    }


def _behind(axes: Any) -> Any:
    found = np.asarray(axes)
    moved = np.where(found >= 0, found + 1, found)
    return moved if found.ndim else int(moved)


def _aligned(given: Arguments, ranks: Mapping[str, Any], most: int) -> Arguments:
    """Operands of lower rank with the axes that broadcasting would put before the rows."""
    aligned = dict(given)
    for key, rank in ranks.items():
        x = given[key]
        if rank < most:
            aligned[key] = x.reshape(len(x), *[1] * (most - rank), *x.shape[1:])
    constants = [k for k, v in given.items() if k not in ranks and np.ndim(v) > most]
    for key in ranks if constants else ():
        x = aligned[key]
        more = max(np.ndim(given[k]) for k in constants) - most
        aligned[key] = x.reshape(len(x), *[1] * more, *x.shape[1:])
    return aligned


def _gather(ranks: Mapping[str, Any]) -> Callable[..., Any]:
    """Rows of indices into one table, one choice of each row's values, or both apart."""
    run = OPERATORS["gather"]

    def gather(x: Array, indices: Array, axis: int, **options: Any) -> Array:
        own = axis - 1 if axis > 0 else axis  # `shifted` counted the rows in
        if "x" not in ranks:
            at = own + x.ndim if own < 0 else own
            return np.moveaxis(run(x, indices, at, **options), at, 0)
        if "indices" not in ranks:
            return run(x, indices, axis, **options)  # type: ignore[no-any-return]
        return np.stack([run(a, i, own, **options) for a, i in zip(x, indices, strict=True)])

    return gather


def _with_rows(given: Arguments, ranks: Mapping[str, Any]) -> Arguments:
    """Several values, constants among them repeated for every row."""
    values, known = given["values"], ranks["values"]
    rows = next(len(v) for v, rank in zip(values, known, strict=True) if rank >= 0)
    pairs = zip(values, known, strict=True)
    whole = [v if rank >= 0 else np.broadcast_to(v, (rows, *v.shape)) for v, rank in pairs]
    return {**given, "values": whole}


def _reshape(given: Arguments) -> Arguments:
    return {"x": given["x"], "shape": (len(given["x"]), *given["shape"])}


def _tile(given: Arguments) -> Arguments:
    return {"x": given["x"], "reps": (1, *given["reps"])}


def _transpose(given: Arguments) -> Arguments:
    return {"x": given["x"], "perm": (0, *_behind(given["perm"]))}


def _slice(given: Arguments) -> Arguments:
    """All rows."""
    size = len(given["begin"])
    no = np.zeros(size, bool)
    masks = {key: given.get(key) for key in ("begin_mask", "end_mask", "squeeze_mask")}
    whole = {
        key: np.array([key != "squeeze_mask", *(no if m is None else m)])
        for key, m in masks.items()
    }
    stride = given.get("stride")
    first = {
        "begin": [0, *given["begin"]],
        "end": [0, *given["end"]],
        "stride": [1, *(np.ones(size, int) if stride is None else stride)],
    }
    return {**given, **whole, **first}


_ADAPTED: dict[str, Callable[[Arguments], Arguments]] = {
    "reshape": _reshape,
    "slice_by_index": _slice,
    "slice_update": _slice,
    "tile": _tile,
    "transpose": _transpose,
}
