"""Likelihoods against a sentence-by-sentence computation by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from litecompress.evaluate.batching import by_length
from litecompress.evaluate.corpus import Samples
from litecompress.evaluate.likelihood import likelihood_statistics, sentence_nll, token_nll
from litecompress.evaluate.model import translations
from litecompress.model.config import EOS_ID
from litecompress.model.lite_transformer import LiteTransformer
from litecompress.runtime.search import SearchConfig, translate
from litecompress.runtime.torch_session import TorchSession
from tests import models

TARGETS = ["zwei Hunde", "ein Mann am Strand reitet ein Pferd", "Kinder im Park", "Hut"]


@pytest.fixture(scope="module")
def network():
    checkpoint = models.checkpoint("dynamic")
    return LiteTransformer.from_weights(checkpoint.config, checkpoint.weights)


@pytest.fixture(scope="module")
def samples():
    return Samples.of(models.LINES, TARGETS, models.tokenizer(), 64)


def by_hand(network, source, reference) -> float:
    """The product rule, one token after another, without padding."""
    nll = 0.0
    with torch.no_grad():
        for i, token in enumerate(reference):
            previous = torch.tensor([[EOS_ID, *reference[:i]]])
            logits = network(torch.tensor([source]), previous)[0, -1].double()
            nll -= (logits[token] - torch.logsumexp(logits, 0)).item()
    return nll


def test_every_sentence_is_as_likely_as_by_hand(network, samples):
    rows = sentence_nll(network, samples)
    pairs = zip(samples.source_ids, samples.reference_ids)
    assert rows[:, 0] == pytest.approx([by_hand(network, *pair) for pair in pairs], abs=1e-4)
    assert rows[:, 1].tolist() == [len(ids) for ids in samples.reference_ids]
    assert token_nll(network, samples) == pytest.approx(rows[:, 0].sum() / rows[:, 1].sum())


def test_batches_change_nothing(network, samples, monkeypatch):
    whole = sentence_nll(network, samples)
    monkeypatch.setattr("litecompress.evaluate.likelihood.MAX_ROWS", 1)
    assert sentence_nll(network, samples) == pytest.approx(whole, abs=1e-4)


def test_perplexity_is_e_to_the_mean():
    rows = np.array([[2.0, 1], [1.0, 5]])
    statistics = likelihood_statistics(rows, "", "")
    assert statistics["token_nll"].score == 0.5
    assert statistics["perplexity"].score == pytest.approx(math.sqrt(math.e))
    hopeless = likelihood_statistics(np.array([[1e6, 1]]), "", "")
    assert 1e300 < hopeless["perplexity"].score < math.inf


@pytest.mark.parametrize("max_rows", [1, 2, 64])
def test_translations_are_those_of_the_search_in_the_order_of_the_sources(
    network, samples, monkeypatch, max_rows
):
    monkeypatch.setattr("litecompress.evaluate.model.MAX_SENTENCES", max_rows)
    tokenizer, config = models.tokenizer(), SearchConfig(beam=2, max_length_a=0, max_length_b=9)
    seen = []

    def track(batches, label):
        seen.append(label)
        return batches

    texts = translations(network, samples, tokenizer, config, track)
    alone = [translate(TorchSession(network), [ids], config)[0] for ids in samples.source_ids]
    assert texts == [" ".join(tokenizer.decode(h.tokens).splitlines()) for h in alone]
    assert seen == ["decoding"]


def test_batches_hold_every_index_once_within_their_limits():
    lengths = [*np.random.default_rng(0).integers(1, 30, 200).tolist(), 500]
    batches = by_length(lengths, max_tokens=100, max_rows=8)
    assert sorted(i for batch in batches for i in batch) == list(range(201))
    for batch in batches:
        assert len(batch) <= 8
        assert len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= 100
    assert batches[-1] == [200]
    assert by_length([], 100, 8) == []
