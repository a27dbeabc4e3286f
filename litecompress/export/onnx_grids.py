"""Which affine grids ONNX Runtime multiplies with as they are, and 4-bit blocks of any weight."""

from __future__ import annotations

from math import gcd

import numpy as np
from numpy.typing import NDArray

from litecompress.encoding import Affine, Array, Encoding
from litecompress.export.onnx_packing import index_bits

BLOCK = 32  # weights that share a scale where we round to 4 bits
LEAST_BLOCK, GREATEST_BLOCK = 16, 256  # of MatMulNBits, which takes powers of two
NIBBLE_ZERO = 8  # its zero point where none is given


def unsigned(affine: Affine) -> tuple[NDArray[np.uint8], NDArray[np.int32], int]:
    """Values of a grid as codes from 0, its zero points among them, and the bits of a code."""
    values = affine.values.astype(np.int32)
    low, high = int(values.min(initial=0)), int(values.max(initial=0))
    bits = affine.num_bits
    first = -(1 << bits >> 1) if affine.values.dtype.kind == "i" else 0
    if low < first or high >= first + (1 << bits):  # fewer bits declared than there are
        first, bits = low, index_bits(high - low + 1)
    codes = (values - first).astype(np.uint8)
    return codes, affine.zero_point.astype(np.int32) - first, bits


def common_zero(zeros: Array) -> int | None:
    """The zero point that all share, if they do; it is written as a constant of the graph."""
    return int(zeros.flat[0]) if (zeros == zeros.flat[0]).all() else None


def is_integer_grid(encoding: Encoding) -> bool:
    """Whether MatMulInteger takes a matrix: a scale for all or one a row, zeros from 0 to 255."""
    if not isinstance(encoding, Affine) or encoding.group_size:
        return False
    if len(encoding.scale) > 1 and encoding.axis != 0:
        return False
    zeros = unsigned(encoding)[1]
    return bool(zeros.min() >= 0 and zeros.max() <= 255)


def is_blockwise(encoding: Encoding) -> bool:
    """Whether MatMulNBits takes a matrix: 4 bits, groups of 16, 32, 64, 128 or 256."""
    if not isinstance(encoding, Affine) or encoding.num_bits != 4:
        return False
    group = encoding.group_size
    if not group or group != _block_size(group):
        return False
    _, zeros, bits = unsigned(encoding)
    return bool(bits == 4 and zeros.min() >= 0 and zeros.max() <= 15)


def in_blocks(encoding: Encoding) -> Affine | None:
    """A grid of at most 4 bits in blocks that MatMulNBits takes, exactly; None for any other."""
    if not isinstance(encoding, Affine) or is_blockwise(encoding):
        return encoding if isinstance(encoding, Affine) else None
    codes, zeros, bits = unsigned(encoding)
    if bits > 4 or zeros.min() < 0 or zeros.max() > 15:
        return None
    (rows, columns), scale = encoding.shape, encoding.scale
    if not encoding.group_size:
        if len(scale) > 1 and encoding.axis != 0:
            return None
        scale, zeros = (np.broadcast_to(a.reshape(-1, 1), (rows, 1)) for a in (scale, zeros))
    group = encoding.group_size or columns
    block = GREATEST_BLOCK if group >= columns else _block_size(group)
    if not block:
        return None
    blocks = -(-columns // block)
    times = blocks if group >= columns else group // block
    scale, zeros = (a.repeat(times, axis=1)[:, :blocks] for a in (scale, zeros))
    return _blockwise(codes, zeros, scale, block)


def symmetric_int4(weight: NDArray[np.float32]) -> Affine:
    """Round a matrix to 4 bits, a scale in half precision for 32 neighbours in a row.

    The greatest magnitude of a block stands at -8, the side of zero with one more step.
    """
    rows, columns = weight.shape
    blocks = np.pad(weight, ((0, 0), (0, -columns % BLOCK))).reshape(rows, -1, BLOCK)
    at = np.abs(blocks).argmax(axis=2, keepdims=True)
    scale = (np.take_along_axis(blocks, at, 2)[..., 0] / -8).astype(np.float16)
    step = np.where(scale == 0, 1, scale).astype(np.float32)[..., None]
    values = np.clip(np.rint(blocks / step), -8, 7).astype(np.int8).reshape(rows, -1)
    return Affine(values[:, :columns], scale, np.zeros(scale.shape, np.int8), 0, 4, BLOCK)


def _blockwise(codes: Array, zeros: Array, scale: Array, block: int) -> Affine:
    """A grid of 4 bits; about zero where there is but one zero point and the codes allow it."""
    common = common_zero(zeros)
    if common is not None:
        steps = codes.astype(np.int32) - common
        if steps.min() >= -8 and steps.max() <= 7:
            none = np.zeros(scale.shape, np.int8)
            return Affine(steps.astype(np.int8), scale, none, 0, 4, block)
    return Affine(codes, scale, zeros.astype(np.uint8), 0, 4, block)


def _block_size(group_size: int) -> int:
    """The largest block of MatMulNBits that divides a group; 0 for none."""
    block = gcd(group_size, GREATEST_BLOCK)
    return block if block >= LEAST_BLOCK else 0
