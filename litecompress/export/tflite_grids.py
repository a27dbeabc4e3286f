"""Which grids LiteRT computes with as they are, and what we round other weights to."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from litecompress.encoding import Affine, Bands, Encoding, Sparse

BLOCK = 32  # weights that share a scale where we round to 4 bits in blocks
KERNEL_BLOCK = 32  # XNNPACK takes multiples of it, and nothing else runs blocks fast
BITS = (8, 4)  # what the file can hold

_Rows = tuple[NDArray[np.int32], NDArray[np.float32]]


def on_rows(encoding: Encoding) -> Affine | None:
    """The same weight as integers around 0 with one scale for all or one a row, if that is exact.

    Zero points are taken off, zeros of a pruned grid and bands of rows written out.
    """
    found = _codes(encoding)
    if found is None:
        return None
    codes, scale = found
    if codes.min(initial=0) < -128 or codes.max(initial=0) > 127 or (scale <= 0).any():
        return None
    bits = 4 if fits_nibbles(codes) else 8
    return Affine(codes.astype(np.int8), scale, np.zeros(len(scale), np.int8), 0, bits)


def fits_nibbles(codes: NDArray[Any]) -> bool:
    """Whether 4 bits hold codes around 0, in rows of an even number: LiteRT misreads others."""
    return bool(
        codes.min(initial=0) >= -8 and codes.max(initial=0) <= 7 and codes.shape[1] % 2 == 0
    )


def in_blocks(encoding: Encoding) -> tuple[Affine, bool] | None:
    """A grid of groups as blocks of 4 bits, and whether that is exact; None if it has no such form.

    XNNPACK keeps 8 significant bits of a scale: others are rounded here, where it can be told.
    """
    if not isinstance(encoding, Affine) or not encoding.group_size:
        return None
    group, columns = encoding.group_size, encoding.shape[1]
    if group % KERNEL_BLOCK and group < columns:
        return None
    zeros = encoding.zero_point.astype(np.int32).repeat(group, axis=1)[:, :columns]
    codes = encoding.values.astype(np.int32) - zeros
    scale = encoding.scale.astype(np.float32)
    if codes.min(initial=0) < -8 or codes.max(initial=0) > 7 or (scale <= 0).any():
        return None
    short = shortened(scale)
    block = min(group, -(-columns // KERNEL_BLOCK) * KERNEL_BLOCK)
    none = np.zeros(short.shape, np.int8)
    blocks = Affine(codes.astype(np.int8), short, none, 0, 4, block)
    return blocks, bool((short.astype(np.float32) == scale).all())


def symmetric_int4_blocks(weight: NDArray[np.float32]) -> Affine:
    """Round a matrix to 4 bits, a scale of 8 significant bits for 32 neighbours in a row."""
    rows, columns = weight.shape
    blocks = np.pad(weight, ((0, 0), (0, -columns % BLOCK))).reshape(rows, -1, BLOCK)
    scale = _nibble_scale(np.abs(blocks).max(axis=2))
    step = scale.astype(np.float32)[..., None]
    values = np.clip(np.rint(blocks / step), -8, 7).astype(np.int8).reshape(rows, -1)
    return Affine(values[:, :columns], scale, np.zeros(scale.shape, np.int8), 0, 4, BLOCK)


def symmetric_int4_rows(weight: NDArray[np.float32]) -> Affine:
    """Round a matrix to 4 bits with one scale a row, largest magnitude at 7."""
    peak = np.abs(weight).max(axis=1, initial=0)
    scale = np.where(peak > 0, peak / 7, 1).astype(np.float32)
    values = np.clip(np.rint(weight / scale[:, None]), -8, 7).astype(np.int8)
    return Affine(values, scale, np.zeros(len(scale), np.int8), 0, 4)


def shortened(scale: NDArray[np.float32]) -> NDArray[np.float16]:
    """Scales rounded to 8 significant bits, in half precision, where they are normal numbers."""
    mantissa, exponent = np.frexp(scale)
    short = np.ldexp(np.rint(mantissa * 256) / 256, exponent)
    tiny, most = float(np.finfo(np.float16).tiny), 65280.0
    half: NDArray[np.float16] = np.clip(short, tiny, most).astype(np.float16)
    return half


def _nibble_scale(peak: NDArray[np.float32]) -> NDArray[np.float16]:
    return shortened(np.where(peak > 0, peak / 7, 1).astype(np.float32))


def _codes(encoding: Encoding) -> _Rows | None:
    """Integers around 0 (R, C) and their scales, one or R of them."""
    match encoding:
        case Affine():
            return _of_grid(encoding)
        case Sparse(values=Affine() as values) if len(values.scale) == 1:
            codes = np.zeros(encoding.mask.shape, np.int32)
            codes[encoding.mask] = values.values.astype(np.int32) - int(values.zero_point[0])
            return codes, values.scale.astype(np.float32)
        case Bands():
            return _of_bands(encoding)
    return None


def _of_grid(affine: Affine) -> _Rows | None:
    if affine.group_size or (len(affine.scale) > 1 and affine.axis != 0):
        return None
    zeros = affine.zero_point.astype(np.int32)
    return affine.values.astype(np.int32) - zeros[:, None], affine.scale.astype(np.float32)


def _of_bands(bands: Bands) -> _Rows | None:
    parts = [_codes(part) for part in bands.parts]
    codes, scale = np.zeros(bands.shape, np.int32), np.ones(bands.shape[0], np.float32)
    for i, part in enumerate(parts):
        if part is None:
            return None
        codes[bands.band == i], scale[bands.band == i] = part
    return codes, scale
