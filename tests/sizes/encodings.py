"""Random encodings of every kind, for weights of a given shape."""

from __future__ import annotations

from math import prod

import numpy as np
from hypothesis import strategies as st

from litecompress.artifact import Artifact
from litecompress.encoding import Affine, Bands, Dense, Encoding, Palette, Sparse
from tests import models

VECTOR = ("half", "dense")
ALL = (
    *VECTOR,
    *("affine", "channels", "groups", "palette", "bands"),
    *("sparse", "sparse_palette", "sparse_affine", "full_sparse_palette"),
)
BASE = models.artifact(embed_dim=16, ffn_dim=16)
MATRICES = sorted(n for n, w in BASE.weights.items() if n.endswith(".weight") and len(w.shape) == 2)


def palette(shape, rng, num_bits=3) -> Palette:
    codebook = np.sort(rng.standard_normal(2**num_bits)).astype(np.float16)
    return Palette(rng.integers(0, 2**num_bits, shape).astype(np.uint8), codebook, num_bits)


def affine(shape, rng, scales=1, **options) -> Affine:
    values = rng.integers(-127, 128, shape).astype(np.int8)
    size = scales if isinstance(scales, tuple) else (scales,)
    return Affine(values, rng.random(size).astype("f4"), np.zeros(size, np.int8), **options)


def encoding(kind: str, shape: tuple[int, ...], rng) -> Encoding:
    """A random weight of this shape in this form."""
    mask = rng.random(shape) < 0.6
    survivors = (int(mask.sum()),)
    match kind:
        case "dense":
            return Dense(rng.standard_normal(shape).astype(np.float32))
        case "half":
            return Dense(rng.standard_normal(shape).astype(np.float16))
        case "affine":
            return affine(shape, rng)
        case "channels":
            return affine(shape, rng, shape[0])
        case "groups":
            return affine(shape, rng, (shape[0], -(-shape[1] // 5)), group_size=5, num_bits=4)
        case "palette":
            return palette(shape, rng)
        case "sparse":
            return Sparse(mask, Dense(rng.standard_normal(survivors).astype(np.float32)))
        case "sparse_palette":
            return Sparse(mask, palette(survivors, rng))
        case "full_sparse_palette":  # 256 centroids leave no code for the zero
            return Sparse(mask, palette(survivors, rng, 8))
        case "sparse_affine":
            return Sparse(mask, affine(survivors, rng))
    band = np.arange(shape[0], dtype=np.uint8) % 3
    rows = np.bincount(band, minlength=3)
    kinds = ("sparse_palette", "palette", "half")
    parts = [encoding(k, (int(n), *shape[1:]), rng) for k, n in zip(kinds, rows, strict=True)]
    return Bands(band, tuple(parts))


@st.composite
def artifacts(draw, kinds=ALL, history=()) -> Artifact:
    """Small models, a few of whose matrices have encodings of these kinds."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    chosen = draw(st.dictionaries(st.sampled_from(MATRICES), st.sampled_from(kinds), max_size=9))
    weights = dict(BASE.weights)
    weights |= {n: encoding(kind, weights[n].shape, rng) for n, kind in chosen.items()}
    assert all(prod(w.shape) for w in weights.values())
    target = draw(st.sampled_from([None, BASE.tokenizer]))
    return Artifact(BASE.config, weights, BASE.tokenizer, history, target)
