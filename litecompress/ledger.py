"""The size sheet: bytes in named scopes that are never mixed, and the paper's own ledger."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zstandard

from litecompress.artifact import Artifact
from litecompress.cost import nonembed, parameters
from litecompress.encoding import packed_bytes
from litecompress.model.presets import preset

DOWNLOAD_LEVEL = 19
LITE = "wmt14-en-fr-embed496"


@dataclass(frozen=True)
class Size:
    """Bytes of the uncompressed and of the compressed model in one scope."""

    baseline: int
    compressed: int


def size_sheet(
    trained: Artifact,
    compressed: Artifact,
    checkpoint_bytes: int,
    artifact_bytes: int,
    packages: Mapping[str, Path],
) -> dict[str, Size]:
    """Sizes by scope. `weights_*` are bit-packed with masks, codebooks and scales counted;
    the baseline of a file is float32 weights, tokenizer and config."""
    sheet = {
        "weights_nonembed": Size(
            trained.float32_bytes(embeddings=False), compressed.nbytes(embeddings=False)
        ),
        "weights_all": Size(
            trained.float32_bytes(embeddings=True), compressed.nbytes(embeddings=True)
        ),
        "artifact_bytes": Size(checkpoint_bytes, artifact_bytes),
    }
    for target, folder in packages.items():
        files = [p for p in sorted(folder.rglob("*")) if p.is_file()]
        raw, download = sum(p.stat().st_size for p in files), sum(map(download_bytes, files))
        sheet[f"package_raw.{target}"] = Size(checkpoint_bytes, raw)
        sheet[f"package_download.{target}"] = Size(checkpoint_bytes, download)
    return sheet


def ratios(sheet: Mapping[str, Size]) -> list[dict[str, Any]]:
    """Every ratio with what it divides by what, in which scope."""
    return [
        ratio(scope, f"compressed ({scope})", size.baseline, size.compressed)
        for scope, size in sheet.items()
    ]


def ratio(scope: str, denominator: str, baseline: int, compressed: int) -> dict[str, Any]:
    """Uncompressed over compressed bytes within a scope; None where nothing is left."""
    return {
        "numerator": "float32 weights" if scope.startswith("weights") else "float32 checkpoint",
        "denominator": denominator,
        "scope": scope,
        "value": round(baseline / compressed, 4) if compressed else None,
    }


def unpacked_bytes(artifact: Artifact, weights_bytes: int) -> int:
    """Bytes of a model whose weights take so many: with its tokenizers and config as they are."""
    config = json.dumps(artifact.config.to_dict())
    texts = config, artifact.tokenizer, artifact.target_tokenizer or b""
    return weights_bytes + sum(map(len, texts))


def download_bytes(path: Path) -> int:
    """Bytes to download of a file: one zstd frame at level 19."""
    return len(zstandard.ZstdCompressor(DOWNLOAD_LEVEL).compress(path.read_bytes()))


def paper_ledger() -> dict[str, Any]:
    """The paper's 18.2x (arXiv:2004.11886 fig. 9, WMT'14 En-Fr) from closed form, in two scopes.

    Its scope counts weights without embeddings and without masks and codebooks; 44 % of the
    weights are pruned (9.7 of 17.3 MB stay). With everything counted the tables are pruned and
    quantized alike, a bit a weight says which survive, and every tensor has its codebook.
    """
    transformer = parameters(preset("transformer-wmt14-en-fr-embed512"))
    lite = parameters(preset(LITE))
    base_all, lite_all = sum(transformer.values()), sum(lite.values())
    sparsity = 0.44
    rows: list[dict[str, Any]] = []
    for name, paper_mb, bytes_of in (
        ("transformer_base_fp32", 176.0, lambda _: 4 * nonembed(transformer)),
        ("lite_fp32", 69.2, lambda n: 4 * n),
        ("lite_8bit", 17.3, lambda n: n),
        ("lite_8bit_pruned", 9.7, lambda n: round((1 - sparsity) * n)),
    ):
        rows.append(
            {
                "model": name,
                "paper_mb": paper_mb,
                "paper_scope_bytes": bytes_of(nonembed(lite)),
                "everything_bytes": _everything(name, base_all, lite_all, sparsity),
            }
        )
    first, last = rows[0], rows[-1]
    return {
        "source": "arXiv:2004.11886 fig. 9; WMT'14 En-Fr, vocabulary 44512, closed form",
        "assumed_sparsity": sparsity,
        "rows": rows,
        "ratios": {
            "paper_scope": round(first["paper_scope_bytes"] / last["paper_scope_bytes"], 2),
            "everything": round(first["everything_bytes"] / last["everything_bytes"], 2),
        },
    }


def _everything(name: str, transformer: int, lite: int, sparsity: float) -> int:
    """Bytes with tables, masks (1 bit a weight) and codebooks (256 halves a matrix) counted."""
    layers = len(preset(LITE).encoder_kernel_sizes)
    matrices = layers * (9 + 13) + 1  # of an encoder layer, of a decoder layer, and the table
    codebooks = matrices * 256 * 2
    match name:
        case "transformer_base_fp32":
            return 4 * transformer
        case "lite_fp32":
            return 4 * lite
        case "lite_8bit":
            return lite + codebooks
    return round((1 - sparsity) * lite) + packed_bytes(lite, 1) + codebooks
