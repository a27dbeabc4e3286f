"""How likely a model finds a reference: negative log-likelihood a token, and perplexity."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from litecompress.evaluate.batching import Track, by_length, untracked
from litecompress.evaluate.bootstrap import Floats, Statistics
from litecompress.evaluate.corpus import Samples
from litecompress.model.config import EOS_ID, PAD_ID
from litecompress.model.lite_transformer import LiteTransformer
from litecompress.runtime.search import pad_right

LOGITS = 2**23  # numbers of one batch's output; far larger arrays cost time, being mapped anew
MAX_ROWS = 256


@torch.inference_mode()
def sentence_nll(
    model: LiteTransformer, samples: Samples, track: Track = untracked, label: str = "likelihood"
) -> Floats:
    """Rows (sentences, 2): negative log-likelihood of a reference in nats, and its tokens.

    Teacher forcing; </s> counts as a token.
    """
    sides = zip(samples.source_ids, samples.reference_ids, strict=True)
    lengths = [max(len(source), len(reference)) for source, reference in sides]
    rows = np.zeros((len(lengths), 2))
    max_tokens = min(4096, LOGITS // model.config.target_vocab_size)
    for batch in track(by_length(lengths, max_tokens, MAX_ROWS), label):
        references = [samples.reference_ids[i] for i in batch]
        nll = _batch_nll(model, [samples.source_ids[i] for i in batch], references)
        rows[batch] = [[part.sum(), len(part)] for part in nll]
    return rows


def _batch_nll(
    model: LiteTransformer, sources: Sequence[Sequence[int]], references: Sequence[Sequence[int]]
) -> list[Floats]:
    """Negative log-likelihood of every token of every reference."""
    device = next(model.parameters()).device
    source = torch.from_numpy(pad_right(sources)).to(device)  # (B, S)
    shifted = [(EOS_ID, *reference[:-1]) for reference in references]
    previous = torch.from_numpy(pad_right(shifted)).to(device)  # (B, T)
    target = torch.from_numpy(pad_right(references)).to(device)  # (B, T)
    real = target != PAD_ID
    features = model.decode(previous, *model.encode(source))  # (B, T, D)
    nll = cross_entropy(model.logits(features[real]), target[real], reduction="none")  # (N,)
    ends = np.cumsum([len(reference) for reference in references])
    return np.split(nll.double().cpu().numpy(), ends[:-1])


def token_nll(model: LiteTransformer, samples: Samples) -> float:
    """Mean negative log-likelihood of a reference token, </s> included, in nats."""
    nll, tokens = sentence_nll(model, samples).sum(axis=0)
    return float(nll / tokens)


def likelihood_statistics(rows: Floats, signature: str, unit: str) -> dict[str, Statistics]:
    """Token NLL and perplexity, from rows of nats and tokens."""
    signature = f"nats a token, and e to their power|{signature}"
    return {
        "token_nll": Statistics(rows, _mean, signature, unit),
        "perplexity": Statistics(rows, _perplexity, signature, unit),
    }


def _mean(sums: Floats) -> float:
    nll, tokens = sums
    return float(nll / tokens)


def _perplexity(sums: Floats) -> float:
    return math.exp(min(_mean(sums), 700.0))  # beyond it lies no float
