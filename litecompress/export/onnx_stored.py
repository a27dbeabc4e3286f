"""What an ONNX package stores of a weight: arrays by a suffix to its name."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from litecompress.encoding import (
    Affine,
    Array,
    Bands,
    Dense,
    Encoding,
    Palette,
    Sparse,
)
from litecompress.export.onnx_grids import NIBBLE_ZERO, common_zero, is_blockwise, unsigned
from litecompress.export.onnx_packing import index_bits, nibbles, pack, pack_planes, plane_bytes

Arrays = dict[str, Array]


@dataclass(frozen=True, eq=False)
class StoredWeight:
    """A weight as an ONNX package stores it; `turned` for a matrix (out, in) stored (in, out)."""

    name: str
    encoding: Encoding
    turned: bool = False
    arrays: Arrays = field(default_factory=dict)

    @classmethod
    def of(cls, name: str, encoding: Encoding, *, turned: bool = False) -> StoredWeight:
        """The weight with the arrays that its encoding needs; bands and blocks are not turned."""
        turned = turned and not isinstance(encoding, Bands) and not is_blockwise(encoding)
        return cls(name, encoding, turned, _arrays(encoding, turned=turned))

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the weight in the order that it is stored in."""
        return self.encoding.shape[::-1] if self.turned else self.encoding.shape

    @property
    def has_codes(self) -> bool:
        """Whether it is stored as a palette, of which the zero of a sparse one is a code."""
        match self.encoding:
            case Palette():
                return True
            case Sparse(values=Palette() as palette):
                return len(self.arrays[".codebook"]) > len(palette.codebook)
        return False

    def part(self, index: int) -> StoredWeight:
        """A band of it, as a weight of its own."""
        assert isinstance(self.encoding, Bands)
        prefix = f".part{index}"
        arrays = {
            suffix.removeprefix(prefix): array
            for suffix, array in self.arrays.items()
            if suffix == prefix or suffix.startswith(prefix + ".")
        }
        return StoredWeight(self.name + prefix, self.encoding.parts[index], arrays=arrays)

    def survivors(self) -> StoredWeight:
        """The values of a masked one, as a weight of its own."""
        assert isinstance(self.encoding, Sparse)
        arrays = {s: a for s, a in self.arrays.items() if s != ".mask"}
        return StoredWeight(self.name, self.encoding.values, arrays=arrays)


def band_order(bands: Bands) -> NDArray[np.intp] | None:
    """Where each row stands when the parts are joined; None where that is its place."""
    if (np.diff(bands.band.astype(np.int64)) >= 0).all():
        return None
    return np.argsort(np.argsort(bands.band, kind="stable"))


def _arrays(encoding: Encoding, *, turned: bool = False) -> Arrays:
    """Everything that is stored of an encoding, by suffix."""
    match encoding:
        case Dense():
            return {"": _oriented(encoding.values, turned)}
        case Affine() if is_blockwise(encoding):
            return _block_arrays(encoding)
        case Affine():
            return _grid_arrays(encoding, turned)
        case Palette():
            planes = pack_planes(_oriented(encoding.indices, turned), _palette_bits(encoding))
            return {**planes, ".codebook": encoding.codebook}
        case Sparse():
            return _sparse_arrays(encoding, turned)
        case Bands():
            return _bands_arrays(encoding)
    raise TypeError(f"expected an encoding, got {type(encoding).__name__}")


def _block_arrays(affine: Affine) -> Arrays:
    """As MatMulNBits takes them, but for what fills up the last block of a row."""
    codes, zeros, _ = unsigned(affine)
    arrays: Arrays = {"": nibbles(codes), ".scale": affine.scale}
    if (zeros != NIBBLE_ZERO).any():
        arrays[".zero_point"] = nibbles(zeros)
    return arrays


def _grid_arrays(affine: Affine, turned: bool) -> Arrays:
    codes, zeros, bits = unsigned(affine)
    turned_groups = turned and affine.group_size > 0
    arrays = pack_planes(_oriented(codes, turned), bits)
    arrays[".scale"] = _oriented(affine.scale, turned_groups)
    if common_zero(zeros) is None:
        small = zeros.min() >= 0 and zeros.max() <= 255
        typed = zeros.astype(np.uint8) if small else zeros
        arrays[".zero_point"] = _oriented(typed, turned_groups)
    return arrays


def _sparse_arrays(sparse: Sparse, turned: bool) -> Arrays:
    """A mask and the values where it is set, or of a palette the least of that and its codes."""
    palette = sparse.values
    if not isinstance(palette, Palette):
        return _masked(sparse, turned)
    size, kept = sparse.mask.size, palette.indices.size
    bits, with_zero = _palette_bits(palette), index_bits(len(palette.codebook) + 1)
    forms = [(plane_bytes(size, 1) + plane_bytes(kept, bits), _masked)]
    if with_zero <= 8:
        entry = palette.codebook.itemsize
        forms.insert(0, (plane_bytes(size, with_zero) + entry, _codes))
        masked_codes = plane_bytes(size, 1) + plane_bytes(kept + 1, with_zero)
        forms.insert(1, (masked_codes + entry, _masked_codes))
    _, form = min(forms, key=lambda sized: sized[0])
    return form(sparse, turned)


def _codes(sparse: Sparse, turned: bool) -> Arrays:
    """A palette whose code 0 is the zero."""
    codes, codebook = _codes_from_zero(sparse)
    planes = pack_planes(_oriented(codes, turned), index_bits(len(codebook)))
    return {**planes, ".codebook": codebook}


def _masked_codes(sparse: Sparse, turned: bool) -> Arrays:
    """A mask, and after a 0 for the zero the codes where it is set."""
    codes, codebook = _codes_from_zero(sparse)
    mask, codes = _oriented(sparse.mask, turned), _oriented(codes, turned)
    kept = np.concatenate([np.zeros(1, np.uint8), codes[mask]])
    planes = pack_planes(kept, index_bits(len(codebook)))
    return {".mask": _mask_plane(mask), **planes, ".codebook": codebook}


def _masked(sparse: Sparse, turned: bool) -> Arrays:
    """A mask, and the values where it is set, in their own encoding."""
    values = _turned_values(sparse) if turned else sparse.values
    return {".mask": _mask_plane(_oriented(sparse.mask, turned)), **_arrays(values)}


def _codes_from_zero(sparse: Sparse) -> tuple[NDArray[np.uint8], Array]:
    """Codes in the place of weights, and their codebook, whose first entry is the zero."""
    palette = sparse.values
    assert isinstance(palette, Palette)
    codes = np.zeros(sparse.mask.shape, np.uint8)
    codes[sparse.mask] = palette.indices + 1
    return codes, np.concatenate([np.zeros(1, palette.codebook.dtype), palette.codebook])


def _mask_plane(mask: Array) -> Array:
    return pack(mask.astype(np.uint8), 1)


def _turned_values(sparse: Sparse) -> Dense | Affine | Palette:
    """The survivors of a matrix column by column."""
    place = np.zeros(sparse.mask.shape, np.int64)
    place[sparse.mask] = np.arange(np.count_nonzero(sparse.mask))
    order = place.T[sparse.mask.T]
    match sparse.values:
        case Dense(values):
            return Dense(values[order])
        case Palette(indices, codebook, num_bits):
            return Palette(indices[order], codebook, num_bits)
        case Affine(values, scale, zero_point, axis, num_bits):
            if len(scale) > 1:
                scale, zero_point = scale[order], zero_point[order]
            return Affine(values[order], scale, zero_point, axis, num_bits)


def _bands_arrays(bands: Bands) -> Arrays:
    arrays = {
        f".part{i}{suffix}": array
        for i, part in enumerate(bands.parts)
        for suffix, array in _arrays(part).items()
    }
    order = band_order(bands)
    if order is not None:
        arrays[".rows"] = order.astype(np.uint16 if len(order) <= 2**16 else np.int32)
    return arrays


def _palette_bits(palette: Palette) -> int:
    """Bits of an index, no more than reach every centroid."""
    return min(palette.num_bits, index_bits(len(palette.codebook)))


def _oriented(matrix: Array, turned: bool) -> Array:
    return np.ascontiguousarray(matrix.T if turned else matrix)
