"""Closed forms against the built network and against the paper's figures (shared/facts)."""

from __future__ import annotations

import pytest

from litecompress.artifact import Artifact
from litecompress.cost import EMBED496_EN_FR, body_macs, parameters, transformer_parameters
from litecompress.ledger import paper_ledger
from litecompress.model.config import ModelConfig
from tests import models

SIX = (3, 7, 15, 31, 31, 31)


@pytest.mark.parametrize("conv_type", ["lightweight", "dynamic"])
@pytest.mark.parametrize("shared", [True, False])
def test_parameters_equal_those_of_the_network(conv_type, shared):
    checkpoint = models.checkpoint(conv_type, share_embeddings=shared, ffn_dim=48)
    counted = parameters(checkpoint.config)
    assert counted.total == sum(w.size for w in checkpoint.weights.values())
    scope = Artifact.from_checkpoint(checkpoint).float32_bytes(embeddings=False)
    assert 4 * counted.nonembed == scope


def iwslt(dim):
    return ModelConfig(
        8848,
        6632,
        dim,
        dim,
        SIX,
        SIX,
        conv_type="lightweight",
        conv_glu=False,
        share_embeddings=False,
    )


def wmt(dim):
    heads = {"attention_heads": 4, "conv_heads": 4, "cross_attention_heads": 8}
    return ModelConfig(44512, 44512, dim, dim, SIX, SIX, **heads)


@pytest.mark.parametrize(
    ("config", "params_m", "macs_m"),
    [
        (iwslt(160), 2.8, 54),
        (iwslt(240), 5.4, 119),
        (iwslt(320), 8.9, 209),
        (wmt(200), 2.9, 90),
        (wmt(408), 11.7, 360),
        (wmt(496), 17.3, 527),
    ],
)
def test_the_papers_columns(config, params_m, macs_m):
    assert parameters(config).nonembed / 1e6 == pytest.approx(params_m, abs=0.0501)
    assert body_macs(config, 30, 30) / 1e6 == pytest.approx(macs_m, rel=0.0035)


def test_transformer_base():
    assert transformer_parameters(512, 2048, 0).nonembed == 44138496


def test_the_papers_ledger_from_closed_form():
    ledger = paper_ledger()
    scope = [row["paper_scope_bytes"] / 1e6 for row in ledger["rows"]]
    assert scope == pytest.approx([176.6, 69.1, 17.3, 9.7], abs=0.06)
    assert ledger["ratios"]["paper_scope"] == pytest.approx(18.2, abs=0.1)
    everything = [row["everything_bytes"] for row in ledger["rows"]]
    assert everything[1] == 4 * parameters(EMBED496_EN_FR).total
    assert all(e > s * 1e6 for e, s in zip(everything, scope, strict=True))
    assert ledger["ratios"]["everything"] < ledger["ratios"]["paper_scope"]
