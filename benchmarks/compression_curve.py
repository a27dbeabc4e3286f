"""Bytes against loss of every way to quantize a trained model, none of them recovered by training.

    python benchmarks/compression_curve.py models/multi30k-en-de ../shared/data/multi30k en de

Bytes are of the whole `.litec` file, ratios against the float32 checkpoint with its tokenizer; the
loss is the token NLL (nats) on validation text, above the uncompressed model's, with its standard
error over sentences. `rate_distortion` learns what matters from the training text.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from litecompress.artifact import Artifact
from litecompress.artifact_file import dump_artifact, load_model
from litecompress.corpus import ParallelText
from litecompress.evaluate.job import Corpus
from litecompress.ledger import unpacked_bytes
from litecompress.model.build import from_weights
from litecompress.scan.text import read_text
from litecompress.stages import Context, Prune, Quantize, RateDistortion, Stage, apply

BUDGETS = (1_000_000, 825_000, 700_000, 620_000)


def ways(data: ParallelText, budgets: tuple[int, ...]) -> Iterator[tuple[str, list[Stage]]]:
    for bits in (8, 6, 5, 4, 3, 2):
        yield f"k-means, {bits} bits", [Quantize(num_bits=bits)]
    for bits in (8, 6, 5, 4, 3):
        grid = Quantize(method="affine", granularity="per_tensor", num_bits=bits)
        yield f"affine per tensor, {bits} bits", [grid]
    yield "pruned 0.3, k-means, 6 bits", [Prune(0.3), Quantize(num_bits=6)]
    yield "pruned 0.5, k-means, 4 bits", [Prune(0.5), Quantize(num_bits=4)]
    for budget in budgets:
        yield f"rate_distortion, {budget:,} bytes", [RateDistortion(data, max_bytes=budget)]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("source")
    parser.add_argument("target")
    parser.add_argument("--sentences", type=int, default=1000)
    parser.add_argument("--budgets", type=int, nargs="+", default=BUDGETS)
    options = parser.parse_args()
    data = ParallelText("parallel", str(options.folder), options.source, options.target)
    artifact = load_model(options.model)
    files = [options.folder / f"{data.valid}.{side}" for side in (data.source, data.target)]
    text = read_text(Corpus(*files, limit=options.sentences), artifact)
    whole = unpacked_bytes(artifact, artifact.float32_bytes(embeddings=True))

    def nll(model: Artifact) -> np.ndarray:
        return text.nll(from_weights(model.config, model.decode()))

    before = nll(artifact)
    tokens = before[:, 1]
    print(f"uncompressed: {whole:,} bytes, {before[:, 0].sum() / tokens.sum():.4f} nats a token")
    for name, stages in ways(data, tuple(options.budgets)):
        model = artifact
        for stage in stages:
            model = apply(stage, model, Context())
        size = len(dump_artifact(model))
        rise = nll(model)[:, 0] - before[:, 0]
        mean = rise.sum() / tokens.sum()
        error = np.sqrt(((rise - mean * tokens) ** 2).sum()) / tokens.sum()
        print(
            f"| {name} | {size:,} | {whole / size:.2f}x | {mean:+.4f} +- {error:.4f} |", flush=True
        )


if __name__ == "__main__":
    main()
