"""Weights on affine grids, scale * (integer - zero point), with zero on the grid."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from litecompress.encoding import Affine
from litecompress.errors import StageError
from litecompress.stages.affine_search import Form, least_error, quantized, ranges

Granularity = Literal["per_tensor", "per_channel", "per_group"]

Weights = NDArray[np.floating]


def affine_quantized(
    weight: Weights,
    num_bits: int,
    granularity: Granularity = "per_channel",
    *,
    symmetric: bool = True,
    axis: int = 0,
    group_size: int | None = None,
    clipped: bool = True,
    scale_type: type[np.floating[Any]] = np.float16,
) -> Affine:
    """The weight on grids of 2^num_bits integers, one less where symmetric.

    These are int8 between plus and minus 2^(num_bits - 1) - 1, or uint8 from 0. Where `clipped`, a
    grid may leave out the greatest weights; its squared error is never above that of the grid
    that spans them all. What is on a grid is at most half a scale off, and zero is always exact.
    """
    form = Form(num_bits, symmetric, np.dtype(scale_type))
    _check(np.shape(weight), form, granularity, axis, group_size)
    rows = np.moveaxis(np.asarray(weight, np.float32), axis, 0)
    blocks = _blocks(rows, granularity, group_size)
    _check_scales(blocks, form)
    grids = least_error(blocks, form) if clipped else form.spanning(*ranges(blocks))
    zero_point = np.zeros(len(blocks)) if symmetric else -grids.first
    values = quantized(blocks, grids, zero_point, form.integers)
    each = (len(rows), -1) if granularity == "per_group" else (-1,)
    flat = values.reshape(len(rows), -1)[:, : rows[0].size]
    return Affine(
        np.moveaxis(flat.reshape(rows.shape), 0, axis),
        grids.scale.astype(scale_type).reshape(each),
        zero_point.astype(form.integers).reshape(each),
        axis,
        num_bits,
        group_size or 0,
    )


def _blocks(
    rows: NDArray[np.float32], granularity: Granularity, group_size: int | None
) -> NDArray[np.float32]:
    """What shares a scale (blocks, size), the last groups filled up with zeros."""
    if granularity == "per_tensor":
        return rows.reshape(1, -1)
    flat = rows.reshape(len(rows), -1)
    if group_size is None:
        return flat
    missing = -flat.shape[1] % group_size
    return (np.pad(flat, ((0, 0), (0, missing))) if missing else flat).reshape(-1, group_size)


def _check(
    shape: tuple[int, ...],
    form: Form,
    granularity: Granularity,
    axis: int,
    group_size: int | None,
) -> None:
    """A StageError that lists what cannot be."""
    grouped = granularity == "per_group"
    problems = {
        f"num_bits from 1 to 8, got {form.num_bits}": not 1 <= form.num_bits <= 8,
        "2 bits or more for a symmetric grid, which holds zero; take symmetric=False": (
            form.symmetric and form.num_bits == 1
        ),
        f"scales in float16 or float32, got {form.scale_type}": (
            form.scale_type not in (np.float16, np.float32)
        ),
        f"an axis of a weight of shape {shape} that is not empty, got {axis}": (
            not 0 <= axis < len(shape) or 0 in shape
        ),
        f"a group_size from 1 for per_group, and none otherwise, got {group_size}": (
            grouped != (group_size is not None) or (group_size is not None and group_size < 1)
        ),
        f"a matrix and axis 0 for per_group, got shape {shape} and axis {axis}": (
            grouped and (axis != 0 or len(shape) != 2)
        ),
    }
    found = [text for text, wrong in problems.items() if wrong]
    if found:
        raise StageError("affine: expected " + "; ".join(found))


def _check_scales(blocks: NDArray[np.float32], form: Form) -> None:
    low, high = ranges(blocks)
    most = float(np.finfo(form.scale_type).max) * form.steps
    span = float((2 * np.maximum(high, -low) if form.symmetric else high - low).max())
    if span > most:
        raise StageError(
            f"affine: expected weights that span at most {most:g} for scales in "
            f"{form.scale_type}, got {span:g}; store the scales in float32"
        )
