"""Encodings as trees of plain values and streams, and back."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np

from litecompress.encoding import Affine, Array, Bands, Dense, Encoding, Palette, Sparse
from litecompress.errors import ArtifactError
from litecompress.litec.streams import natural, plain, symbols

Spec = Mapping[str, Any]


def describe(encoding: Encoding) -> dict[str, Any]:
    """What the file says of an encoding, with its arrays as streams."""
    spec: dict[str, Any] = {"shape": list(encoding.shape)}
    match encoding:
        case Dense(values):
            return spec | {"kind": "dense", "values": plain(values)}
        case Affine(values, scale, zero_point, axis, num_bits, group_size):
            spec |= {"kind": "affine", "values": symbols(values), "scale": plain(scale)}
            spec |= {"zero_point": symbols(zero_point), "num_bits": num_bits}
            return spec | ({"group_size": group_size} if group_size else {"axis": axis})
        case Palette(indices, codebook, num_bits):
            spec |= {"kind": "palette", "num_bits": num_bits, "codebook": plain(codebook)}
            return spec | {"indices": symbols(indices)}
        case Sparse(mask, Palette(indices, codebook, num_bits)) if len(codebook) < 256:
            codes = np.zeros(mask.shape, np.uint8)  # zero is one more symbol of the alphabet
            codes[mask] = indices + 1
            spec |= {"kind": "sparse_palette", "num_bits": num_bits, "codebook": plain(codebook)}
            return spec | {"symbols": symbols(codes)}
        case Sparse(mask, values):
            return spec | {"kind": "sparse", "mask": symbols(mask), "values": describe(values)}
        case Bands(band, parts):
            spec |= {"kind": "bands", "parts": [describe(part) for part in parts]}
            return spec | {"band": symbols(band) if band.dtype == np.uint8 else plain(band)}
    raise ArtifactError(f"cannot store an encoding of type {type(encoding).__name__}")


def restore(spec: Spec) -> Any:
    """The encoding of a tree whose streams are arrays again."""
    shape = tuple(natural(n) for n in spec["shape"])
    match spec["kind"]:
        case "dense":
            return Dense(_array(spec["values"], shape))
        case "affine":
            return _affine(spec, shape)
        case "palette":
            indices, codebook = _array(spec["indices"], shape), _array(spec["codebook"])
            return Palette(indices, codebook, natural(spec["num_bits"]))
        case "sparse_palette":
            codes, codebook = _array(spec["symbols"], shape), _array(spec["codebook"])
            mask = codes > 0
            return Sparse(mask, Palette(codes[mask] - 1, codebook, natural(spec["num_bits"])))
        case "sparse":
            mask, values = _array(spec["mask"], shape), restore(spec["values"])
            if isinstance(values, Sparse | Bands) or np.any(mask > 1):
                raise ArtifactError("expected a mask of 0 and 1 around plain values; update")
            return Sparse(mask.astype(bool), values)
        case "bands":
            parts = tuple(restore(part) for part in spec["parts"])
            if not parts or any(isinstance(part, Bands) for part in parts):
                raise ArtifactError("expected bands of one level; update litecompress")
            return Bands(_array(spec["band"], shape[:1]), parts)
    raise ArtifactError(f"expected a known encoding, got {spec['kind']!r}; update litecompress")


def _affine(spec: Spec, shape: tuple[int, ...]) -> Affine:
    values, scale, zero = (_array(spec[key]) for key in ("values", "scale", "zero_point"))
    group_size = natural(spec.get("group_size", 0))
    if group_size:
        groups = (shape[0], -(-shape[1] // group_size))
        scale, zero = _array(scale, groups), _array(zero, groups)
    axis, num_bits = natural(spec.get("axis", 0)), natural(spec["num_bits"])
    return Affine(_array(values, shape), scale, zero, axis, num_bits, group_size)


def _array(values: Any, shape: tuple[int, ...] | None = None) -> Array:
    """An array of the expected size, in shape."""
    if not isinstance(values, np.ndarray):
        raise ArtifactError(f"expected a stream, got {type(values).__name__}")
    if shape is not None and values.size != prod(shape):
        raise ArtifactError(f"expected {prod(shape)} values, got {values.size}")
    return values if shape is None else values.reshape(shape)
