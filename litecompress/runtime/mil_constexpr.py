"""Core ML's constant expressions in NumPy: evaluated once, when a program is loaded.

Those of iOS 17 programs have packed bytes and a `shape`; those of iOS 18 arrays in that shape.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from litecompress.errors import UnsupportedOpError

Array = NDArray[Any]


def lut_to_dense(
    indices: Array, lut: Array, shape: Array | None = None, vector_axis: Any = None
) -> Array:
    """Codebooks `lut` (blocks.., n, 1), one for each block of indices; or one vector for all."""
    if shape is not None:
        bits = len(lut).bit_length() - 1
        return np.asarray(lut[_unpacked(indices, tuple(shape), bits)])
    if vector_axis is not None or lut.shape[-1] != 1:
        raise UnsupportedOpError(
            "emulated Core ML: expected codebooks of numbers, got vectors; such a program runs on "
            "a device only"
        )
    return _looked_up(indices, lut, np.arange(indices.size), indices.shape).reshape(indices.shape)


def lut_to_sparse(
    indices_mask: Array, indices_nonzero_data: Array, lut: Array, vector_axis: Any = None
) -> tuple[Array, Array]:
    """The mask as it is, and the values of its survivors, each from its block's codebook."""
    if vector_axis is not None or lut.shape[-1] != 1:
        return lut_to_dense(indices_mask, lut, vector_axis=0), lut  # refuses
    places = np.flatnonzero(indices_mask)
    return indices_mask, _looked_up(indices_nonzero_data, lut, places, indices_mask.shape)


def blockwise_shift_scale(data: Array, scale: Array, offset: Array | None = None) -> Array:
    """Give scale * (data - offset), each scale for a block of elements, in the type of scales."""
    shift: Any = 0 if offset is None else _spread(offset, data.shape).astype(np.float32)
    values = _spread(scale, data.shape) * (data.astype(np.float32) - shift)
    return np.asarray(values.astype(scale.dtype))


def sparse_blockwise_shift_scale(
    data_mask: Array, nonzero_data: Array, scale: Array, offset: Array | None = None
) -> tuple[Array, Array]:
    """The mask as it is, and the scaled values of its survivors."""
    dense = sparse_to_dense(nonzero_data, data_mask)
    return data_mask, blockwise_shift_scale(dense, scale, offset)[data_mask != 0]


def sparse_to_dense(nonzero_data: Array, mask: Array, shape: Array | None = None) -> Array:
    """Zero where the mask is."""
    if shape is not None:
        mask = _unpacked(mask, tuple(shape), 1)
    dense = np.zeros(mask.shape, nonzero_data.dtype)
    dense[mask != 0] = nonzero_data
    return dense


def affine_dequantize(quantized_data: Array, zero_point: Array, scale: Array, axis: int) -> Array:
    """Give scale * (values - zero point), with one of each or one a channel of `axis`."""
    along = [1] * quantized_data.ndim
    along[int(axis)] = -1
    factors, zeros = (np.reshape(a, along) for a in (scale, zero_point))
    steps = quantized_data.astype(np.float32) - zeros.astype(np.float32)
    return np.asarray(factors * steps).astype(np.asarray(scale).dtype)


def _looked_up(indices: Array, lut: Array, places: Array, shape: tuple[int, ...]) -> Array:
    """Values for indices at `places` of a row-major tensor that is divided into blocks."""
    blocks = lut.shape[:-2]
    if prod(blocks) == 1:
        return np.asarray(lut.reshape(-1)[indices.reshape(-1)])
    at = np.unravel_index(places, shape)
    block = np.zeros(len(places), np.intp)
    for axis, count in enumerate(blocks):
        block = block * count + at[axis] // (shape[axis] // count)
    books = lut.reshape(-1, lut.shape[-2])
    return np.asarray(books[block, indices.reshape(-1)])


def _spread(blocks: Array, shape: tuple[int, ...]) -> Array:
    """One value a block to one value an element, or to what broadcasts to that."""
    for axis, size in enumerate(shape):
        if blocks.shape[axis] not in (1, size):
            blocks = np.repeat(blocks, size // blocks.shape[axis], axis=axis)
    return blocks


def _unpacked(content: Array, shape: tuple[int, ...], bits: int) -> Array:
    count = prod(shape)
    single = np.unpackbits(content, count=count * bits, bitorder="little").reshape(count, bits)
    return np.asarray(single @ (1 << np.arange(bits)).astype(np.uint8)).reshape(shape)


CONSTANT_EXPRESSIONS: dict[str, Callable[..., Any]] = {
    "constexpr_affine_dequantize": affine_dequantize,
    "constexpr_blockwise_shift_scale": blockwise_shift_scale,
    "constexpr_lut_to_dense": lut_to_dense,
    "constexpr_lut_to_sparse": lut_to_sparse,
    "constexpr_sparse_blockwise_shift_scale": sparse_blockwise_shift_scale,
    "constexpr_sparse_to_dense": sparse_to_dense,
}
