"""Size and speed of the entropy coder: the weights of a preset, or of a trained checkpoint.

    python benchmarks/entropy_speed.py                                  # embed496, 39.4 M symbols
    python benchmarks/entropy_speed.py --model models/multi30k-en-de --rivals

A preset's weights are random: Gaussian, each row and column with a scale of its own, rounded to an
even grid of levels with a band of zeros. A checkpoint's are pruned by 0.3 and quantized by k-means.
Times are of one thread; where processor and wall time differ by much, something else was using the
core. Rivals are zstd at level 19, and constriction where it is installed.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import zstandard
from numpy.typing import NDArray

from litecompress.artifact_file import load_model
from litecompress.encoding import Palette, Sparse
from litecompress.entropy import decode_all, encode_all, table_bytes
from litecompress.model.presets import preset
from litecompress.model.shapes import weight_shapes
from litecompress.stages.base import Context, apply
from litecompress.stages.prune import Prune
from litecompress.stages.quantize import Quantize

Arrays = list[NDArray[np.uint8]]


def random_symbols(name: str, bits: int, sparsity: float) -> Arrays:
    rng = np.random.default_rng(0)
    shapes = [s for s in weight_shapes(preset(name)).values() if len(s) > 1]
    return [_random(rng, (s[0], int(np.prod(s[1:]))), bits, sparsity) for s in shapes]


def _random(
    rng: np.random.Generator, shape: tuple[int, int], bits: int, sparsity: float
) -> NDArray[np.uint8]:
    weight = rng.standard_normal(shape, np.float32)
    weight *= np.exp(0.2 * rng.standard_normal((shape[0], 1), np.float32))
    weight *= np.exp(0.2 * rng.standard_normal((1, shape[1]), np.float32))
    magnitude = np.abs(weight)
    zero = np.quantile(magnitude.reshape(-1)[:100_000], sparsity)
    levels = 2**bits - 1
    step = 2 * 4.0 / levels
    symbols = np.clip(np.rint(weight / step) + levels // 2, 0, levels - 1).astype(np.uint8) + 1
    symbols[magnitude < zero] = 0
    return symbols


def trained_symbols(folder: Path, bits: int, sparsity: float) -> Arrays:
    artifact = apply(Prune(sparsity=sparsity), load_model(folder), Context())
    artifact = apply(Quantize(num_bits=bits), artifact, Context())
    arrays = []
    for weight in artifact.weights.values():
        if isinstance(weight, Sparse) and isinstance(weight.values, Palette):
            symbols = np.zeros(weight.mask.shape, np.uint8)
            symbols[weight.mask] = weight.values.indices + 1
            arrays.append(symbols.reshape(len(symbols), -1))
    return arrays


def entropy_bytes(arrays: Arrays) -> float:
    """Sum of the streams' own entropies of order 0."""
    total = 0.0
    for array in arrays:
        counts = np.bincount(array.reshape(-1))
        counts = counts[counts > 0]
        total -= float((counts * np.log2(counts / counts.sum())).sum()) / 8
    return total


def timed(work: Callable[[], Any]) -> tuple[Any, float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, time.perf_counter() - wall, time.process_time() - cpu


def measure(arrays: Arrays) -> dict[str, float]:
    count, bound = sum(a.size for a in arrays), entropy_bytes(arrays)
    streams, encode_wall, encode_cpu = timed(lambda: encode_all(arrays))
    pairs = [(s, a.size) for s, a in zip(streams, arrays, strict=True)]
    decoded, decode_wall, decode_cpu = timed(lambda: decode_all(pairs))
    if any((d != a.reshape(-1)).any() for d, a in zip(decoded, arrays, strict=True)):
        raise SystemExit("what was decoded is not what was encoded")
    size = sum(map(len, streams))
    tables = sum(table_bytes(*pair) for pair in pairs)
    return {
        "symbols": count,
        "entropy_bytes": round(bound),
        "bytes": size,
        "table_bytes": tables,
        "over_entropy_percent": round(100 * (size / bound - 1), 3),
        "without_tables_percent": round(100 * ((size - tables) / bound - 1), 3),
        "encode_wall_s": round(encode_wall, 3),
        "encode_cpu_s": round(encode_cpu, 3),
        "decode_wall_s": round(decode_wall, 3),
        "decode_cpu_s": round(decode_cpu, 3),
        "decode_million_per_s": round(count / decode_wall / 1e6, 1),
    }


def zstd(arrays: Arrays) -> dict[str, float]:
    packer = zstandard.ZstdCompressor(19)
    frames, _, seconds = timed(lambda: [packer.compress(a.tobytes()) for a in arrays])
    size, count = sum(map(len, frames)), sum(a.size for a in arrays)
    unpacker = zstandard.ZstdDecompressor()
    _, _, decode = timed(lambda: [unpacker.decompress(f) for f in frames])
    return _rival(arrays, size, seconds, count / decode / 1e6)


def constriction(arrays: Arrays) -> dict[str, float]:
    from constriction import stream

    Categorical, AnsCoder = stream.model.Categorical, stream.stack.AnsCoder

    def pack(array: NDArray[np.uint8]) -> tuple[Any, Any, int]:
        counts = np.bincount(array.reshape(-1)).astype(float)
        model, coder = Categorical(counts, perfect=False), AnsCoder()
        coder.encode_reverse(array.reshape(-1).astype(np.int32), model)
        return coder.get_compressed(), model, array.size

    packed, _, seconds = timed(lambda: [pack(a) for a in arrays])
    _, _, decode = timed(lambda: [AnsCoder(p).decode(m, n).astype(np.uint8) for p, m, n in packed])
    size = sum(p.nbytes for p, _, _ in packed)
    return _rival(arrays, size, seconds, sum(a.size for a in arrays) / decode / 1e6)


def _rival(arrays: Arrays, size: int, encode: float, speed: float) -> dict[str, float]:
    return {
        "bytes": size,
        "over_entropy_percent": round(100 * (size / entropy_bytes(arrays) - 1), 3),
        "encode_cpu_s": round(encode, 3),
        "decode_million_per_s": round(speed, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--model", type=Path, help="a checkpoint folder instead of a preset")
    parser.add_argument("--preset", default="wmt14-en-fr-embed496")
    parser.add_argument("--bits", type=int, nargs="+", default=[8, 4, 3])
    parser.add_argument("--sparsity", type=float, default=0.3)
    parser.add_argument("--flat", action="store_true", help="one table a tensor, no classes")
    parser.add_argument("--rivals", action="store_true", help="measure other coders too")
    options = parser.parse_args()
    for bits in options.bits:
        if options.model:
            arrays = trained_symbols(options.model, bits, options.sparsity)
        else:
            arrays = random_symbols(options.preset, bits, options.sparsity)
        arrays = [a.reshape(-1) for a in arrays] if options.flat else arrays
        print(json.dumps({"bits": bits, "coder": "litecompress", **measure(arrays)}))
        for rival in (zstd, constriction) if options.rivals else ():
            print(json.dumps({"bits": bits, "coder": rival.__name__, **rival(arrays)}), flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"peak_rss_mb": round(peak / 1000)}))


if __name__ == "__main__":
    main()
