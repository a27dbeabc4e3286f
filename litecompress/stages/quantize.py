"""Quantization of matrices: through a codebook (arXiv:1510.00149 sec. 3) or on a grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from litecompress.artifact import Artifact
from litecompress.encoding import Bands, Dense, Encoding, Palette, Sparse, stored_values
from litecompress.errors import StageError
from litecompress.stages.affine_grid import affine_quantized
from litecompress.stages.base import Context, Outcome, matching
from litecompress.stages.half_precision import half_precision
from litecompress.stages.kmeans import kmeans, nearest, row_groups

Granularity = Literal["per_tensor", "per_channel", "per_group"]


@dataclass(frozen=True)
class Quantize:
    """Replace each matched matrix by numbers of `num_bits` bits; zeros of a pruned one survive.

    `kmeans` takes the nearest of 2^b centroids, one codebook a tensor or, per_group, one for every
    `group_size` rows; of a pruned tensor one code is the zero, so 2^b - 1 centroids remain for
    its survivors. `affine` rounds to a grid per tensor, per channel (row) or per group of
    `group_size` neighbours in a row, `symmetric` about zero or not; with `clipped` its scale is
    that of least squared error. What is not worth it (vectors, tiny matrices) is stored in half
    precision, with the reason.
    """

    name: ClassVar[str] = "quantize"
    method: Literal["kmeans", "affine"] = "kmeans"
    num_bits: int = 8
    granularity: Granularity | None = None
    group_size: int | None = None
    symmetric: bool = True
    clipped: bool = True
    targets: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= self.num_bits <= 8:
            raise StageError(f"quantize: expected num_bits from 1 to 8, got {self.num_bits}")
        if (self.granularity == "per_group") != (self.group_size is not None):
            raise StageError(
                "quantize: expected a group_size with granularity per_group and only there, got "
                f"{self.granularity} and {self.group_size}"
            )
        if self.group_size is not None and self.group_size < 1:
            raise StageError(f"quantize: expected a group_size of 1 or more, got {self.group_size}")
        if self.method == "kmeans" and self.granularity == "per_channel":
            raise StageError("quantize: expected kmeans per_tensor or per_group, got per_channel")
        if self.method == "affine" and self.symmetric and self.num_bits == 1:
            raise StageError("quantize: expected 2 bits or more for a symmetric grid, got 1")

    def __call__(self, artifact: Artifact, context: Context) -> Outcome:
        left_out = set(matching(self.exclude, artifact))
        names = [n for n in matching(self.targets, artifact) if n not in left_out]
        if not names:
            raise StageError("quantize: expected weights, got all of them excluded; narrow it")
        encoded: dict[str, Encoding] = {}
        skipped: dict[str, str] = {}
        for name in names:
            encoded[name], reason = self._encoded(name, artifact.weights[name])
            if reason:
                skipped[name] = reason
        total = sum(e.nbytes for e in artifact.weights.values())
        done = sum(artifact.weights[n].nbytes for n in encoded if n not in skipped)
        return Outcome(
            encoded,
            {
                "tensors": len(encoded) - len(skipped),
                "quantized_byte_share": round(done / total, 6),
                "skipped": skipped,
            },
        )

    def _encoded(self, name: str, encoding: Encoding) -> tuple[Encoding, str]:
        """The new encoding, and why it is in half precision where it is."""
        values = stored_values(encoding)
        if not isinstance(values, Dense):
            raise StageError(
                f"quantize: expected {name} in floating point, got {type(values).__name__.lower()};"
                " it is quantized already: narrow `targets`"
            )
        rounded = Dense(half_precision(values.values, name, self.name))
        half: Encoding = rounded
        if len(encoding.shape) < 2:
            return half, "vector: half precision"
        if isinstance(encoding, Sparse):
            half = Sparse(encoding.mask, rounded)
        quantized = self._quantized(encoding)
        if quantized.nbytes < half.nbytes:
            return quantized, ""
        what = "a codebook" if self.method == "kmeans" else "a grid"
        return half, f"{what} saves nothing: half precision"

    def _quantized(self, encoding: Encoding) -> Encoding:
        if self.method == "affine":
            granularity = self.granularity or "per_channel"
            return affine_quantized(
                encoding.decode(),
                self.num_bits,
                granularity,
                symmetric=self.symmetric,
                group_size=self.group_size,
                clipped=self.clipped,
            )
        if self.group_size is None:
            return self._palette(encoding)
        groups = row_groups(encoding.shape[0], -(-encoding.shape[0] // self.group_size))
        band = np.repeat(np.arange(len(groups)), [g.stop - g.start for g in groups])
        kind = np.min_scalar_type(len(groups))
        parts = tuple(self._palette(_rows(encoding, group)) for group in groups)
        return Bands(band.astype(kind), parts)

    def _palette(self, encoding: Encoding) -> Palette | Sparse:
        """One codebook for all of it."""
        if isinstance(encoding, Sparse):
            survivors = encoding.values.decode()
            return Sparse(encoding.mask, palettized(survivors, 2**self.num_bits - 1, self.num_bits))
        return palettized(encoding.decode(), 2**self.num_bits, self.num_bits)


def palettized(values: NDArray[np.float32], clusters: int, num_bits: int) -> Palette:
    """Indices to the nearest of at most `clusters` half-precision centroids."""
    flat = values.reshape(-1)
    centroids = kmeans(flat, clusters) if flat.size and clusters else np.zeros(1)
    codebook = np.unique(centroids.astype(np.float16))
    indices = nearest(flat, codebook.astype(np.float64)).astype(np.uint8)
    return Palette(indices.reshape(values.shape), codebook, num_bits)


def _rows(encoding: Encoding, rows: slice) -> Encoding:
    """Some rows of a matrix in floating point."""
    weight = encoding.decode()[rows]
    if not isinstance(encoding, Sparse):
        return Dense(weight)
    mask = encoding.mask[rows]
    return Sparse(mask, Dense(weight[mask]))
