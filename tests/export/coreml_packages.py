"""Artifacts with every encoding, and a package beside what it was made from."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from litecompress.artifact import Artifact
from litecompress.encoding import Affine, Bands, Dense, Palette, Sparse, symmetric_int8
from litecompress.export.coreml import CoreMLExport
from litecompress.model.config import PAD_ID
from litecompress.model.lite_transformer import LiteTransformer
from litecompress.runtime.mil_package import Package, tensor_of
from litecompress.runtime.torch_session import TorchSession
from litecompress.stages import Context, Prune, Quantize, apply
from tests import models

LENGTH = 12
ONE_LAYER = {"encoder_kernel_sizes": (3,), "decoder_kernel_sizes": (7,)}
UNTIED = {**ONE_LAYER, "share_embeddings": False, "conv_padding": "leaky"}
EXACT = CoreMLExport(length=LENGTH, precision="float32")
RANDOM = np.random.default_rng(0)


def four_bits(conv_type, **changes):
    pruned = apply(Prune(0.7), models.artifact(conv_type, **changes), Context())
    return apply(Quantize(num_bits=4), pruned, Context())


def codes(shape, count=20):
    return RANDOM.integers(0, count, shape).astype(np.uint8)


def mixed(conv_type, **changes):
    """One of everything that Core ML carries, and nothing else compressed."""
    artifact = models.artifact(conv_type, **changes)
    dense = artifact.decode()
    mask = RANDOM.random((32, 32)) < 0.4
    survivors = int(mask.sum())
    book = np.linspace(-0.3, 0.3, 20).astype(np.float16)
    zero = np.zeros(1, np.int8)
    scales = RANDOM.random(32).astype(np.float32) / 400
    band = np.repeat(np.arange(4), 8).astype(np.uint8)
    encodings = {
        "encoder.0.ffn.fc1": symmetric_int8(dense["encoder.0.ffn.fc1.weight"]),
        "encoder.0.ffn.fc2": Affine(codes((32, 32), 256), scales, codes(32, 150), axis=1),
        "encoder.0.attention.query": Palette(codes((16, 16)), book, 5),
        "encoder.0.attention.key": Affine(
            codes((16, 16), 7).astype(np.int8) - 4, scales[:16], np.zeros(16, np.int8), 0, 3
        ),
        "decoder.0.ffn.fc1": Palette(codes((32, 32)), book, 5),
        "decoder.0.ffn.fc2": Sparse(mask, Palette(codes(survivors), book, 5)),
        "decoder.0.cross_attention.query": Sparse(
            mask, Affine(codes(survivors, 200), np.array([0.003], np.float32), zero)
        ),
        "decoder.0.cross_attention.key": Sparse(
            mask, Dense(dense["decoder.0.cross_attention.key.weight"][mask])
        ),
        "decoder.0.cross_attention.value": Bands(
            band, tuple(Palette(codes((8, 32), n), book[:n], 5) for n in (3, 4, 9, 12))
        ),
        "decoder.0.cross_attention.out": Affine(
            codes((32, 32), 15).astype(np.int8) - 8,
            RANDOM.random((32, 4)).astype(np.float32) / 40,
            np.zeros((32, 4), np.int8),
            num_bits=4,
            group_size=8,
        ),
    }
    weights = {f"{name}.weight": encoding for name, encoding in encodings.items()}
    return Artifact(artifact.config, {**artifact.weights, **weights}, artifact.tokenizer)


CASES = {
    "mixed": (mixed, "dynamic", ONE_LAYER, EXACT),
    "plain": (models.artifact, "lightweight", ONE_LAYER, replace(EXACT, storage="float32")),
    "ios17": (
        four_bits,
        "dynamic",
        UNTIED,
        replace(EXACT, deployment="iOS17"),
    ),
    "states": (
        four_bits,
        "lightweight",
        ONE_LAYER,
        CoreMLExport(length=(5, LENGTH), stateful=True),
    ),
}


class PaddedSession(TorchSession):
    """Pads sources as a package does, which a leaky convolution notices."""

    def start(self, source, length):
        wide = np.full((len(source), LENGTH), PAD_ID)
        wide[:, : source.shape[1]] = source
        return super().start(wide, length)


class Case:
    """One package, the artifact that it was made from, and what became of its weights."""

    def __init__(self, name, folder):
        make, conv_type, changes, self.exporter = CASES[name]
        self.name, self.folder = name, folder / name
        self.folder.mkdir()
        self.artifact = make(conv_type, **changes)
        self.exported = self.exporter(self.artifact, self.folder)
        self.layout = self.exporter.layout(self.artifact)
        model = LiteTransformer.from_weights(self.artifact.config, self.layout.planned.decode())
        leaky = self.artifact.config.conv_padding == "leaky"
        self.reference = PaddedSession(model) if leaky else TorchSession(model)

    def packages(self) -> list[Package]:
        return [Package(path) for path in sorted(self.folder.glob("*.mlpackage"))]

    def operations(self) -> list[tuple[str, object]]:
        """Every operator with the name of its function."""
        return [
            (name, op)
            for package in self.packages()
            for name in package.functions
            for op in package.operations(name)
        ]


def stored_arrays(package: Package) -> Iterator[tuple[int, bytes]]:
    """Type and bytes of every array in a package's file of weights, from its first to its last."""
    content = (package.path / "Data/com.apple.CoreML/weights/weight.bin").read_bytes()
    (count,) = struct.unpack_from("<I", content)
    place = 64
    for _ in range(count):
        sentinel, kind, size, start = struct.unpack_from("<IIQQ", content, place)
        assert (sentinel, start) == (0xDEADBEEF, place + 64)
        yield kind, content[start : start + size]
        place = -(-(start + size) // 64) * 64
    assert place == len(content)


def shape_of(output) -> tuple[int, ...]:
    return tensor_of(output.type).shape
