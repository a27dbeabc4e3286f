"""Every kind of model of the family: weights as announced, steps equal whole sequences."""

from __future__ import annotations

import pytest
import torch

from litecompress.errors import CheckpointError
from litecompress.model.build import from_weights, network
from litecompress.model.config import ModelConfig
from litecompress.model.dropout import dropout
from litecompress.model.shapes import weight_shapes

LIGHT = {"conv_type": "lightweight", "conv_glu": False}
KINDS = {
    "lite": {"encoder_kernel_sizes": (3, 7), "decoder_kernel_sizes": (3, 7)},
    "transformer": {"encoder_kernel_sizes": (0, 0), "decoder_kernel_sizes": (0, 0)},
    "lightconv": {
        "encoder_kernel_sizes": (3, 7, 7),
        "decoder_kernel_sizes": (3, 7),
        "attention_heads": 0,
        **LIGHT,
    },
    "mixed, pre-norm": {
        "encoder_kernel_sizes": (0, 7),
        "decoder_kernel_sizes": (3, 0),
        "normalize_before": True,
    },
    "unshared": {
        "encoder_kernel_sizes": (3,),
        "decoder_kernel_sizes": (3,),
        "share_embeddings": False,
    },
}
LANGUAGE_MODELS = {
    "tied": {"decoder_kernel_sizes": (3, 7)},
    "post-norm transformer": {"decoder_kernel_sizes": (0, 0), "normalize_before": False},
    "adaptive": {"decoder_kernel_sizes": (3, 7), "adaptive_cutoffs": (20, 30)},
}


def build(**changes):
    values = {"source_vocab_size": 50, "target_vocab_size": 50, "embed_dim": 32, "ffn_dim": 48}
    torch.manual_seed(0)
    config = ModelConfig(**{**values, **changes})
    return config, network(config).eval()


def tokens(rows, length):
    return torch.randint(4, 50, (rows, length), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("kind", [*KINDS, *LANGUAGE_MODELS])
def test_weights_are_those_that_the_config_announces(kind):
    changes = KINDS.get(kind) or {"encoder_kernel_sizes": (), **LANGUAGE_MODELS[kind]}
    config, model = build(**changes)
    weights = {name: w.numpy() for name, w in model.state_dict().items()}
    assert {name: w.shape for name, w in weights.items()} == weight_shapes(config)
    assert ModelConfig.from_dict(config.to_dict()) == config
    assert type(from_weights(config, weights)) is type(model)
    weights.popitem()
    with pytest.raises(CheckpointError, match="1 weights do not fit"):
        from_weights(config, weights)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_steps_equal_the_whole_sequence(kind):
    _, model = build(**KINDS[kind])
    target = tokens(3, 9)
    whole = model(tokens(3, 6), target)
    memory, bias = model.encode(tokens(3, 6))
    states = model.start(memory, 9)
    for i in range(9):
        logits, states = model.step(target[:, i : i + 1], torch.tensor([i]), bias, states)
        torch.testing.assert_close(logits, whole[:, i], atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_padding_changes_nothing(kind):
    _, model = build(**KINDS[kind])
    source, target = tokens(2, 6), tokens(2, 5)
    alone = model(source, target)
    pads = torch.ones(2, 4, dtype=torch.int64)
    for padded in (torch.cat([source, pads], 1), torch.cat([pads, source], 1)):
        torch.testing.assert_close(model(padded, target), alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", LANGUAGE_MODELS)
@torch.no_grad()
def test_language_models(kind):
    _, model = build(encoder_kernel_sizes=(), **{"normalize_before": True, **LANGUAGE_MODELS[kind]})
    text = tokens(3, 9)
    whole, features = model(text), model.features(text)
    torch.testing.assert_close(whole.exp().sum(-1), torch.ones(3, 9))
    states = model.start(3, 9)
    for i in range(9):
        found, states = model.step(text[:, i : i + 1], torch.tensor([i]), states)
        torch.testing.assert_close(found, features[:, i], atol=1e-5, rtol=0)
    following = text[:, 1:].flatten()
    found = model.target_log_probs(features[:, :-1].flatten(0, 1), following)
    expected = whole[:, :-1].flatten(0, 1).gather(1, following[:, None])[:, 0]
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"attention_heads": 0, "encoder_kernel_sizes": (3, 0)}, "attention_heads or a kernel"),
        ({"encoder_kernel_sizes": (), "share_embeddings": False}, "has one table"),
        ({"adaptive_cutoffs": (20,)}, "belong to a language model"),
        ({"encoder_kernel_sizes": (), "adaptive_cutoffs": (30, 20)}, "must rise from 0 to 50"),
        ({"encoder_kernel_sizes": (), "adaptive_cutoffs": (9, 20, 30)}, "divide embed_dim at"),
    ],
)
def test_configs_that_make_no_model(change, message):
    with pytest.raises(CheckpointError, match=message):
        build(**{**KINDS["lite"], **change})


def test_dropout_keeps_the_share_and_the_mean():
    x = torch.ones(1000, 1001, requires_grad=True)
    dropped = dropout(x, 0.3, training=True)
    assert (dropped == 0).float().mean().item() == pytest.approx(0.3, abs=2e-3)
    assert dropped.mean().item() == pytest.approx(1, abs=4e-3)
    dropped.sum().backward()
    torch.testing.assert_close(x.grad, dropped.detach())  # the same places, the same scale
    assert dropout(x, 0.3, training=False) is x
    assert dropout(x, 0.0, training=True) is x
