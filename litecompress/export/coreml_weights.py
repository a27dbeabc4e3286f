"""How Core ML holds our encodings: a graph pass that puts them in the place of plain constants.

An iOS18 program decompresses constants itself (`constexpr_*` operators). The pass hands it our own
indices, codebooks, masks and integers; coremltools' optimizers would look for them anew, leave
out weights below 2048 elements, and round an int8 grid a second time.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from litecompress.backends import load_backend
from litecompress.encoding import Affine, Array, Dense, Encoding, Palette, Sparse, packed_bytes

mil = load_backend("coremltools.converters.mil.mil")
passes = load_backend("coremltools.converters.mil.mil.passes.graph_pass")
registry = load_backend("coremltools.converters.mil.mil.passes.pass_registry")
helper = load_backend("coremltools.converters.mil.mil.passes.helper")

Key = tuple[str, tuple[int, ...], bytes]  # type, shape and values of a constant

PASS = "litecompress::store_encoded"
CARRIES = frozenset({"palette", "affine", "sparse_dense", "sparse_palette", "sparse_affine"})
INDEX_BITS = (1, 2, 3, 4, 6, 8)  # widths that an index may have; 5 and 7 are rounded up
OPERATOR_BYTES = 192  # what an operator and its blobs' headers cost a package, as measured


@registry.register_pass(namespace="litecompress", name="store_encoded", override=True)
class StoreEncoded(passes.AbstractGraphPass):  # type: ignore[misc,name-defined]
    """Replace each constant that equals a decoded weight by the weight's encoding, under its name.

    Constants are told by shape and value, so that renaming and casting to float16 do not matter.
    """

    weights: Mapping[str, Encoding] = {}

    def apply(self, prog: Any) -> None:
        """Every use of such a constant then reads the one encoded weight."""
        wanted = {n: w for n, w in self.weights.items() if not isinstance(w, Dense)}
        names = {
            _key(weight.decode().astype(dtype)): name
            for name, weight in wanted.items()
            for dtype in (np.float16, np.float32)
        }
        for function in prog.functions.values():
            _replace_constants(function, names, wanted)


@helper.block_context_manager  # type: ignore[untyped-decorator]
def _replace_constants(
    block: Any, names: Mapping[Key, str], wanted: Mapping[str, Encoding]
) -> None:
    for op in list(block.operations):
        if op.op_type != "const" or not isinstance(op.outputs[0].val, np.ndarray):
            continue
        value = op.outputs[0].val
        name = names.get(_key(value))
        form = smallest(wanted[name], value.dtype) if name else None
        if name is None or form is None:
            continue
        encoded = _build(form, value.dtype, name=program_name(name), before_op=op)
        block.replace_uses_of_var_after_op(
            anchor_op=op, old_var=op.outputs[0], new_var=encoded, no_check_var_types=True
        )
        block.remove_ops([op])


def program_name(name: str) -> str:
    """The name of an encoded weight inside a program, where dots are not allowed."""
    return name.replace(".", "_")


def _key(value: Array) -> Key:
    return value.dtype.str, value.shape, value.tobytes()


def smallest(encoding: Encoding, dtype: np.dtype[Any]) -> Encoding | None:
    """The form of an encoding that a package holds in fewest bytes; None where a plain one does."""
    if len(encoding.shape) < 2:
        return (
            None  # coremltools keeps off vectors too, for a fault in the runtime (rdar 113860800)
        )
    forms = [encoding, _zero_as_code(encoding)]
    sizes = [_stored_bytes(form, dtype) if form else inf for form in forms]
    plain = prod(encoding.shape) * dtype.itemsize
    return forms[sizes.index(min(sizes))] if min(sizes) < plain else None


def _zero_as_code(encoding: Encoding) -> Palette | None:
    """A sparse palette as one whose first centroid is zero; None for other encodings."""
    if not isinstance(encoding, Sparse) or not isinstance(encoding.values, Palette):
        return None
    palette = encoding.values
    if len(palette.codebook) >= 2 ** INDEX_BITS[-1]:
        return None
    indices = np.zeros(encoding.shape, np.uint8)
    indices[encoding.mask] = palette.indices + 1
    return Palette(indices, np.concatenate([[0], palette.codebook]))


def _stored_bytes(encoding: Encoding, dtype: np.dtype[Any]) -> float:
    """Bytes of an encoded constant in a package; infinite where Core ML has no such form."""
    if isinstance(encoding, Sparse):
        if not encoding.mask.any() or len(getattr(encoding.values, "scale", [1])) > 1:
            return inf
        mask_bytes = packed_bytes(encoding.mask.size, 1)
        return OPERATOR_BYTES + mask_bytes + _stored_bytes(encoding.values, dtype)
    count = prod(encoding.shape)
    match encoding:
        case Palette() if len(encoding.codebook) <= 2 ** INDEX_BITS[-1]:
            bits = index_bits(encoding)
            return OPERATOR_BYTES + packed_bytes(count, bits) + (dtype.itemsize << bits)
        case Affine() if _integer(encoding):
            return OPERATOR_BYTES + count + len(encoding.scale) * (dtype.itemsize + 1)
        case Dense():
            return count * dtype.itemsize
    return inf


def index_bits(palette: Palette) -> int:
    """The narrowest index that reaches every centroid."""
    return next(bits for bits in INDEX_BITS if 2**bits >= len(palette.codebook))


def _build(encoding: Encoding, dtype: np.dtype[Any], **where: Any) -> Any:
    """Operators that give the decoded weight; the last one is named and its output returned."""
    mb = mil.Builder
    match encoding:
        case Palette():
            return mb.constexpr_lut_to_dense(
                **_lookup(encoding, dtype, len(encoding.shape)), **where
            )
        case Affine():
            return mb.constexpr_blockwise_shift_scale(**_grid(encoding, dtype), **where)
        case Sparse():
            mask, values = _survivors(encoding, dtype, before_op=where["before_op"])
            return mb.constexpr_sparse_to_dense(nonzero_data=values, mask=mask, **where)
    raise TypeError(f"expected an encoding that Core ML carries, got {type(encoding).__name__}")


def _survivors(sparse: Sparse, dtype: np.dtype[Any], **where: Any) -> tuple[Any, Any]:
    """A mask and the values where it is set, themselves encoded."""
    mb, rank = mil.Builder, sparse.mask.ndim
    mask = _packed(sparse.mask, 1)
    match sparse.values:
        case Palette():
            lookup = _lookup(sparse.values, dtype, rank)
            indices = lookup.pop("indices")
            return mb.constexpr_lut_to_sparse(  # type: ignore[no-any-return]
                indices_mask=mask, indices_nonzero_data=indices, **lookup, **where
            )
        case Affine():
            grid = _grid(sparse.values, dtype)
            values = grid.pop("data")
            grid = {key: value.reshape([1] * rank) for key, value in grid.items()}
            return mb.constexpr_sparse_blockwise_shift_scale(  # type: ignore[no-any-return]
                data_mask=mask, nonzero_data=values, **grid, **where
            )
        case Dense():
            return mask, sparse.values.values.astype(dtype)


def _lookup(palette: Palette, dtype: np.dtype[Any], rank: int) -> dict[str, Array]:
    """One codebook for the whole tensor, filled up with zeros to a power of two."""
    bits = index_bits(palette)
    codebook = np.zeros(2**bits, dtype)
    codebook[: len(palette.codebook)] = palette.codebook
    return {
        "indices": _packed(palette.indices, bits),
        "lut": codebook.reshape(*[1] * rank, 2**bits, 1),
    }


def _grid(affine: Affine, dtype: np.dtype[Any]) -> dict[str, Array]:
    """Integers, and a scale and zero point along the channels' axis."""
    along = [1] * affine.values.ndim
    along[affine.axis] = len(affine.scale)
    kind = _integer(affine)
    grid: dict[str, Array] = {
        "data": affine.values.astype(kind),
        "scale": affine.scale.astype(dtype).reshape(along),
    }
    if affine.zero_point.any():
        grid["offset"] = affine.zero_point.astype(kind).reshape(along)
    return grid


def _integer(affine: Affine) -> type[np.int8 | np.uint8] | None:
    """The 8-bit type that holds values and zero points, if there is one."""
    ends = [end(a) for a in (affine.values, affine.zero_point) for end in (np.min, np.max)]
    for kind in (np.int8, np.uint8):
        if np.iinfo(kind).min <= min(ends) and max(ends) <= np.iinfo(kind).max:
            return kind
    return None


def _packed(values: Array, bits: int) -> NDArray[np.uint8]:
    """Unsigned integers of a type that coremltools packs into so many bits."""
    name = mil.types.string_to_builtin(f"uint{bits}")
    return values.astype(mil.types.nptype_from_builtin(name))
