"""A tiny model all of whose matrices have one encoding, for every encoding that stages make."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial

import numpy as np
from numpy.typing import NDArray

from litecompress.artifact import Artifact
from litecompress.encoding import Affine, Bands, Dense, Encoding, Palette, Sparse
from litecompress.export.base import is_matrix
from litecompress.export.tflite_grids import shortened
from litecompress.model.config import ModelConfig
from litecompress.model.shapes import weight_shapes
from litecompress.stages.affine_grid import affine_quantized
from litecompress.stages.quantize import palettized

CONFIG = ModelConfig(  # a language model of one layer: its one graph is soon written
    source_vocab_size=64,
    target_vocab_size=64,
    embed_dim=128,  # halves of 64, which groups of 32 really divide
    ffn_dim=64,
    encoder_kernel_sizes=(),
    decoder_kernel_sizes=(3,),
)
Matrix = NDArray[np.float32]
Encode = Callable[[Matrix], Encoding]


@cache
def one_encoding(name: str) -> Artifact:
    """The model with one of `ENCODINGS`."""
    return artifact(ENCODINGS[name])


def artifact(encode: Encode, config: ModelConfig = CONFIG) -> Artifact:
    """The model with random weights; `encode` is for its matrices."""
    weights = dict(_random(config))
    weights |= {n: encode(w.values) for n, w in weights.items() if is_matrix(n, w)}
    return Artifact(config, weights, b"")


def _random(config: ModelConfig) -> Mapping[str, Dense]:
    rng = np.random.default_rng(0)
    return {
        name: Dense(rng.normal(0, shape[-1] ** -0.5, shape).astype(np.float32))
        for name, shape in weight_shapes(config).items()
    }


def _palette(matrix: Matrix, num_bits: int) -> Palette:
    return palettized(matrix, 2**num_bits, num_bits)


def _pruned(matrix: Matrix, values: Encode) -> Sparse:
    """Half of a matrix left, the survivors encoded by `values`."""
    mask = np.abs(matrix) > np.median(np.abs(matrix))
    return Sparse(mask, values(matrix[mask]))


def _bands(matrix: Matrix, parts: tuple[Encode, ...]) -> Bands:
    """Rows divided evenly into bands, each encoded in its own way."""
    band = (np.arange(len(matrix)) * len(parts) // len(matrix)).astype(np.uint8)
    return Bands(band, tuple(part(matrix[band == i]) for i, part in enumerate(parts)))


def _short_groups(matrix: Matrix) -> Affine:
    """Groups of 32 with scales of 8 significant bits."""
    own = GROUPS(matrix)
    scale = shortened(own.scale.astype(np.float32))
    return Affine(own.values, scale, own.zero_point, num_bits=4, group_size=32)


def _grid(num_bits: int, granularity: str = "per_channel", **options) -> partial[Affine]:
    return partial(affine_quantized, num_bits=num_bits, granularity=granularity, **options)


GROUPS = _grid(4, "per_group", group_size=32)
PALETTE, NARROW = partial(_palette, num_bits=4), partial(_palette, num_bits=3)
ENCODINGS: dict[str, Encode] = {
    "dense": Dense,
    "zeros among plain numbers": partial(_pruned, values=Dense),
    "palette of 4 bits": PALETTE,
    "palette of 8 bits": partial(_palette, num_bits=8),
    "palette of 4 bits with zeros": partial(_pruned, values=PALETTE),
    "int8 grid per tensor": _grid(8, "per_tensor"),
    "int8 grid per row": _grid(8),
    "shifted int8 grid per row": _grid(8, symmetric=False),
    "int8 grid with zeros": partial(_pruned, values=_grid(8, "per_tensor")),
    "4-bit grid per row": _grid(4),
    "4-bit groups of 32": GROUPS,
    "4-bit groups of 32 with short scales": _short_groups,
    "4-bit groups of 40": _grid(4, "per_group", group_size=40),
    "bands of grids": partial(_bands, parts=(_grid(8), _grid(4))),
    "bands of palettes": partial(_bands, parts=(PALETTE, NARROW)),
}
