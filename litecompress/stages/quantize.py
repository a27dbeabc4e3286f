"""Quantization through a codebook of k-means centroids a tensor (arXiv:1510.00149 sec. 3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from litecompress.artifact import Artifact
from litecompress.encoding import Dense, Encoding, Palette, Sparse
from litecompress.errors import StageError
from litecompress.stages.base import Context, Outcome, matching
from litecompress.stages.kmeans import kmeans, nearest


@dataclass(frozen=True)
class Quantize:
    """Replace each matched matrix by indices of `num_bits` bits; zeros of a pruned one survive.

    Of a pruned tensor one code is the zero, so 2^b - 1 centroids remain for its survivors. What
    is not worth a codebook (vectors, tiny matrices) is stored in half precision, with the reason.
    """

    name: ClassVar[str] = "quantize"
    method: Literal["kmeans"] = "kmeans"
    num_bits: int = 8
    targets: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= self.num_bits <= 8:
            raise StageError(f"quantize: expected num_bits from 1 to 8, got {self.num_bits}")

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
        """The new encoding, and why it is no palette where it is none."""
        values = encoding.values if isinstance(encoding, Sparse) else encoding
        if not isinstance(values, Dense):
            raise StageError(
                f"quantize: expected {name} in floating point, got {type(values).__name__.lower()};"
                " it is quantized already: narrow `targets`"
            )
        half = Dense(_half(values.values, name))
        if len(encoding.shape) < 2:
            return half, "vector: half precision"
        clusters = 2**self.num_bits - isinstance(encoding, Sparse)
        palette = palettized(values.decode(), clusters, self.num_bits)
        smaller: Encoding = palette if palette.nbytes < half.nbytes else half
        reason = "" if smaller is palette else "a codebook saves nothing: half precision"
        if isinstance(encoding, Sparse):
            return Sparse(encoding.mask, palette if smaller is palette else half), reason
        return smaller, reason


def palettized(values: NDArray[np.float32], clusters: int, num_bits: int) -> Palette:
    """Indices to the nearest of at most `clusters` half-precision centroids."""
    flat = values.reshape(-1)
    centroids = kmeans(flat, clusters) if flat.size and clusters else np.zeros(1)
    codebook = np.unique(centroids.astype(np.float16))
    indices = nearest(flat, codebook.astype(np.float64)).astype(np.uint8)
    return Palette(indices.reshape(values.shape), codebook, num_bits)


def _half(values: NDArray[np.floating], name: str) -> NDArray[np.float16]:
    if values.size and float(np.abs(values).max()) > float(np.finfo(np.float16).max):
        raise StageError(f"quantize: {name} has values beyond half precision; exclude it")
    return values.astype(np.float16)
