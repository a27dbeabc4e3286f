"""The ways in which a Core ML program can hold a weight, and the smallest of them.

Programs for iOS 18 have blocks, joint sparse forms, 4-bit integers and look-up tables of 3 bits;
those for iOS 17 one codebook or one grid a tensor, and masks around plain values.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import numpy as np

from litecompress.encoding import Array, Encoding, packed_bytes
from litecompress.export.coreml_codes import Codes, Form, Grid, Survivors, form_of
from litecompress.export.coreml_stored import (
    NUMBERS,
    Constant,
    Deployment,
    Number,
    Step,
    Stored,
    width,
)

INDEX_BITS = {"iOS17": (1, 2, 4, 6, 8), "iOS18": (1, 2, 3, 4, 6, 8)}
INTEGERS = {"int4": (-8, 7), "uint4": (0, 15), "int8": (-128, 127), "uint8": (0, 255)}
TO_DENSE = Step("constexpr_sparse_to_dense", {}, ("mask", "nonzero_data"))


def smallest(encoding: Encoding, number: Number, deployment: Deployment) -> Stored | None:
    """The form of a weight that takes the fewest bytes; None where plain numbers take no more.

    Vectors stay plain: coremltools keeps off them too, for a fault in the runtime (rdar 113860800).
    """
    form = form_of(encoding)
    if form is None or len(form.shape) < 2:
        return None
    found = min(forms(form, number, deployment), key=lambda stored: stored.nbytes, default=None)
    plain = packed_bytes(prod(form.shape), width(number))
    return found if found is not None and found.nbytes < plain else None


def is_carried(encoding: Encoding, deployment: Deployment) -> bool:
    """Whether such programs can hold an encoding exactly, up to the rounding to half precision."""
    form = form_of(encoding)
    return form is not None and any(True for _ in forms(form, "fp32", deployment))


def forms(form: Form, number: Number, deployment: Deployment) -> Iterator[Stored]:
    """Every way in which a program can hold a form."""
    if isinstance(form, Survivors):
        yield _survivors(form, number, deployment)
        return
    if isinstance(form, Grid):
        yield from _grids(form, number, deployment)
    codes = form if isinstance(form, Codes) else form.codes()
    if codes is not None:
        yield from _lookups(codes, number, deployment)


def _survivors(form: Survivors, number: Number, deployment: Deployment) -> Stored:
    values = Constant(form.values.astype(NUMBERS[number]), number)
    mask = {"mask": Constant(form.mask.astype(np.uint8), "uint1")}
    if deployment == "iOS17":
        mask = {"mask": _packed(form.mask, 1), "shape": _shape(form.shape)}
    return Stored((Step("constexpr_sparse_to_dense", {"nonzero_data": values, **mask}),))


def _lookups(codes: Codes, number: Number, deployment: Deployment) -> Iterator[Stored]:
    """Through a table; with a mask jointly, where programs know how, or zero as a code."""
    dense = codes.dense()
    if deployment == "iOS17":
        if dense is not None and len(dense.codebooks) == 1:
            yield _one_table(dense, number)
        return
    if dense is not None:
        indices, table = _table(dense, number)
        yield Stored((Step("constexpr_lut_to_dense", {"indices": indices, "lut": table}),))
    if codes.mask is not None:
        indices, table = _table(codes, number)
        mask = Constant(codes.mask.astype(np.uint8), "uint1")
        arrays = {"indices_mask": mask, "indices_nonzero_data": indices, "lut": table}
        yield Stored((Step("constexpr_lut_to_sparse", arrays), TO_DENSE))


def _table(codes: Codes, number: Number) -> tuple[Constant, Constant]:
    """Indices, and codebooks filled up with zeros to a power of two."""
    groups, count = codes.codebooks.shape
    bits = index_bits(count, "iOS18")
    table = np.zeros((groups, 2**bits), NUMBERS[number])
    table[:, :count] = codes.codebooks
    shape = (groups, *[1] * (len(codes.shape) - 1), 2**bits, 1)
    return Constant(codes.indices, f"uint{bits}"), Constant(table.reshape(shape), number)


def _one_table(codes: Codes, number: Number) -> Stored:
    count = codes.codebooks.shape[1]
    bits = index_bits(count, "iOS17")
    table = np.zeros(2**bits, NUMBERS[number])
    table[:count] = codes.codebooks[0]
    arrays = {
        "indices": _packed(codes.indices, bits),
        "lut": Constant(table, number),
        "shape": _shape(codes.shape),
    }
    return Stored((Step("constexpr_lut_to_dense", arrays),))


def _grids(grid: Grid, number: Number, deployment: Deployment) -> Iterator[Stored]:
    dense = grid.dense()
    kind = _integers(dense, deployment)
    if kind is None:
        return
    if deployment == "iOS17":
        if _axis(dense) is not None:
            yield _one_grid(dense, kind, number)
        return
    yield Stored((_shift_scale(dense, {"data": Constant(dense.values, kind)}, kind, number),))
    count = dense.span()[1]
    if count <= 2**6 and dense.scale.size > 1 and index_bits(count, "iOS18") < width(kind):
        yield _coded_grid(dense, number)
    if grid.mask is not None:
        arrays = {
            "data_mask": Constant(grid.mask.astype(np.uint8), "uint1"),
            "nonzero_data": Constant(grid.values, kind),
        }
        step = _shift_scale(grid, arrays, kind, number, "constexpr_sparse_blockwise_shift_scale")
        yield Stored((step, TO_DENSE))


def _shift_scale(
    grid: Grid,
    arrays: dict[str, Constant],
    kind: str,
    number: Number,
    operator: str = "constexpr_blockwise_shift_scale",
    feeds: tuple[str, ...] = (),
) -> Step:
    """Scales and, if any is not 0, zero points, which have the type of the values."""
    arrays = {**arrays, "scale": Constant(grid.scale.astype(NUMBERS[number]), number)}
    if grid.zero.any():
        arrays["offset"] = Constant(grid.zero, kind)
    return Step(operator, arrays, feeds)


def _coded_grid(grid: Grid, number: Number) -> Stored:
    """A grid of few points as codes of their integers, which are then shifted and scaled."""
    low, count = grid.span()
    points = np.arange(low, low + count, dtype=np.float32)
    indices = (grid.values.astype(np.int32) - low).astype(np.uint8)
    codes, table = _table(Codes(grid.shape, indices, points[None]), number)
    first = Step("constexpr_lut_to_dense", {"indices": codes, "lut": table})
    return Stored((first, _shift_scale(grid, {}, number, number, feeds=("data",))))


def _one_grid(grid: Grid, kind: str, number: Number) -> Stored:
    """One scale, or one a channel of one axis."""
    one = grid.scale.size == 1
    arrays = {
        "quantized_data": Constant(grid.values, kind),
        "zero_point": Constant(grid.zero.reshape(() if one else -1), kind),
        "scale": Constant(grid.scale.astype(NUMBERS[number]).reshape(() if one else -1), number),
        "axis": Constant(np.array(_axis(grid) or 0), "int32"),
    }
    return Stored((Step("constexpr_affine_dequantize", arrays),))


def _axis(grid: Grid) -> int | None:
    """The one axis along which scales differ, 0 for one scale; None for blocks."""
    several = [axis for axis, count in enumerate(grid.scale.shape) if count > 1]
    whole = all(grid.scale.shape[axis] == grid.shape[axis] for axis in several)
    if len(several) > 1 or not whole:
        return None
    return several[0] if several else 0


def _integers(grid: Grid, deployment: Deployment) -> str | None:
    """The narrowest type that holds values and zero points, if there is one."""
    low, count = grid.span()
    first, last = min(low, int(grid.zero.min())), max(low + count - 1, int(grid.zero.max()))
    for kind, (least, greatest) in INTEGERS.items():
        if least <= first and last <= greatest and (deployment == "iOS18" or width(kind) == 8):
            return kind
    return None


def index_bits(count: int, deployment: Deployment) -> int:
    """The narrowest index that reaches every code."""
    return next(bits for bits in INDEX_BITS[deployment] if 2**bits >= count)


def _packed(values: Array, bits: int) -> Constant:
    """Unsigned integers as bytes, lowest bits first."""
    single = (values.reshape(-1, 1).astype(np.uint8) >> np.arange(bits, dtype=np.uint8)) & 1
    return Constant(np.packbits(single.reshape(-1), bitorder="little"), "uint8")


def _shape(shape: tuple[int, ...]) -> Constant:
    return Constant(np.array(shape), "uint32")
