"""Quality of a translation model: token negative log-likelihood and BLEU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from litecompress.artifact_file import load_model
from litecompress.errors import InputError
from litecompress.model.lite_transformer import LiteTransformer
from litecompress.runtime.search import SearchConfig, translate
from litecompress.runtime.torch_session import TorchSession
from litecompress.text import read_lines
from litecompress.tokenizer import Tokenizer, encode_all
from litecompress.train.data import Batch, read_parallel
from litecompress.train.loop import token_logits


@dataclass(frozen=True)
class Bleu:
    """A sacreBLEU score and the signature that says how it was computed."""

    score: float
    low: float | None
    high: float | None
    signature: str


@dataclass(frozen=True)
class Samples:
    """Sentence pairs, as text and as ids."""

    sources: tuple[str, ...]
    references: tuple[str, ...]
    source_ids: tuple[tuple[int, ...], ...]
    reference_ids: tuple[tuple[int, ...], ...]

    @classmethod
    def of(
        cls, sources: Sequence[str], references: Sequence[str], tokenizer: Tokenizer, limit: int
    ) -> Samples:
        """Encode both sides; what is empty or longer than `limit` tokens is an InputError."""
        ids = (encode_all(tokenizer, side, limit) for side in (sources, references))
        source_ids, reference_ids = (tuple(map(tuple, side)) for side in ids)
        return cls(tuple(sources), tuple(references), source_ids, reference_ids)


def read_samples(path: Path) -> tuple[list[str], list[str]]:
    """A file of `source<TAB>reference` lines."""
    rows = [line.split("\t") for line in read_lines(path) if line.strip()]
    wrong = [i for i, row in enumerate(rows, 1) if len(row) != 2]
    if wrong or not rows:
        where = f"line {wrong[0]}" if wrong else "an empty file"
        raise InputError(f"{path}: expected lines `source<TAB>reference`, got {where} otherwise")
    return [r[0] for r in rows], [r[1] for r in rows]


@torch.inference_mode()
def token_nll(model: LiteTransformer, samples: Samples, batch: int = 64) -> float:
    """Mean negative log-likelihood of a reference token, </s> included, in nats."""
    sides = zip(samples.source_ids, samples.reference_ids, strict=True)
    pairs = [(list(source), list(reference)) for source, reference in sides]
    device = next(model.parameters()).device
    pairs.sort(key=lambda pair: len(pair[1]))
    total, tokens = 0.0, 0
    for i in range(0, len(pairs), batch):
        logits, target = token_logits(model, Batch.of(pairs[i : i + batch]).to(str(device)))
        total += cross_entropy(logits, target, reduction="sum").item()
        tokens += len(target)
    return total / tokens


def translations(
    model: LiteTransformer, samples: Samples, tokenizer: Tokenizer, config: SearchConfig
) -> list[str]:
    """The best translation of every source."""
    hypotheses = translate(TorchSession(model), samples.source_ids, config, batch=64)
    return [tokenizer.decode(h.tokens) for h in hypotheses]


def bleu(
    hypotheses: Sequence[str],
    references: Sequence[str],
    *,
    lowercase: bool = False,
    resamples: int = 0,
) -> Bleu:
    """Corpus BLEU (sacreBLEU, 13a); with `resamples` a 95 % bootstrap interval."""
    from sacrebleu.metrics import BLEU

    metric = BLEU(lowercase=lowercase)
    result = metric.corpus_score(list(hypotheses), [list(references)], n_bootstrap=resamples or 1)
    low = high = None
    if resamples > 1:
        low, high = result.score - result._ci, result.score + result._ci
    return Bleu(result.score, low, high, str(metric.get_signature()))


def evaluate_model(model: Path, source: Path, reference: Path, beam: int) -> dict[str, Any]:
    """Token NLL and BLEU, cased and lower-cased, on two files of one sentence a line."""
    artifact = load_model(model)
    tokenizer = Tokenizer(artifact.tokenizer)
    text = read_parallel(source, reference)
    samples = Samples.of(*text, tokenizer, artifact.config.max_positions)
    network = TorchSession.of(artifact).model
    hypotheses = translations(network, samples, tokenizer, SearchConfig(beam=beam))
    scores = {
        name: asdict(bleu(hypotheses, samples.references, lowercase=lowercase, resamples=1000))
        for name, lowercase in (("cased", False), ("lowercased", True))
    }
    return {
        "model": str(model),
        "sentences": len(hypotheses),
        "beam": beam,
        "token_nll": token_nll(network, samples),
        "bleu": scores,
    }
