"""Configs of models that were pruned in structure: read, checked, built, and older ones as ever."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from litecompress.errors import CheckpointError
from litecompress.model.build import network
from litecompress.model.config import Kept, ModelConfig
from litecompress.model.layer_shape import Heads, kept, layer_shapes
from litecompress.model.shapes import weight_shapes
from tests import models

ENCODER = (Kept(8, 1, 2, 3), Kept(24, 4, 4, 4))
DECODER = (Kept(16, 3, 1, 4, 2), Kept(5, 2, 3, 1, 1))
PRUNED = {"encoder_kept": ENCODER, "decoder_kept": DECODER}
KINDS = {
    "lightweight": PRUNED,
    "dynamic": {"conv_type": "dynamic", **PRUNED},
    "one stack": {"conv_type": "dynamic", "decoder_kept": DECODER},
    "Transformer": {
        "encoder_kernel_sizes": (0, 0),
        "decoder_kernel_sizes": (0, 0),
        "encoder_kept": (Kept(8, 1), Kept(9, 2)),
        "decoder_kept": (Kept(8, 1, 0, 0, 3), Kept(9, 2, 0, 0, 1)),
    },
    "LightConv": {
        "attention_heads": 0,
        "encoder_kept": (Kept(8, 0, 1, 8), Kept(9, 0, 4, 3)),
        "decoder_kept": (Kept(8, 0, 1, 8, 3), Kept(9, 0, 4, 3, 1)),
    },
    "language model": {
        "encoder_kernel_sizes": (),
        "decoder_kept": (Kept(8, 1, 2, 3), Kept(24, 4, 4, 4)),
    },
}


@pytest.fixture(params=KINDS)
def config(request):
    return models.config(**{"conv_type": "lightweight", **KINDS[request.param]})


def test_a_config_reads_back_and_announces_its_weights(config):
    values = json.loads(json.dumps(config.to_dict()))
    assert ModelConfig.from_dict(values) == config
    state = network(config).state_dict()
    assert weight_shapes(config) == {name: tuple(w.shape) for name, w in state.items()}


@torch.no_grad()
def test_steps_equal_the_whole_sequence(config):
    torch.manual_seed(0)
    model = network(config).eval()
    target = torch.randint(4, 60, (3, 9))
    if config.is_language_model:
        whole, states = model.features(target), model.start(3, 9)
        memory = ()
    else:
        source = torch.randint(4, 60, (3, 6))
        whole = model(source, target)
        memory = model.encode(source)
        states = model.start(memory[0], 9)
    for i in range(9):
        found, states = model.step(target[:, i : i + 1], torch.tensor([i]), *memory[1:], states)
        torch.testing.assert_close(found, whole[:, i], atol=1e-5, rtol=0)


def test_a_whole_model_says_nothing_of_it():
    config = models.config("dynamic")
    assert not any(key.endswith("_kept") for key in config.to_dict())
    whole = kept(config, "decoder")
    assert whole == (Kept(32, 4, 4, 4, 4),) * 2
    spelt_out = replace(config, encoder_kept=kept(config, "encoder"), decoder_kept=whole)
    assert weight_shapes(spelt_out) == weight_shapes(config)
    assert layer_shapes(spelt_out, "encoder") == layer_shapes(config, "encoder")


def test_heads_keep_their_width():
    first, second = layer_shapes(models.config(**PRUNED), "decoder")
    assert first.attention == Heads(16, 3, 4)
    assert first.cross_attention == Heads(32, 2, 8)
    assert second.conv == Heads(16, 3, 1)
    assert [h.inner for h in (first.attention, first.cross_attention, second.conv)] == [12, 16, 3]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"encoder_kept": [{}]}, "encoder_kept.0.ffn_dim: Field required"),
        ({"encoder_kept": [{"ffn_dim": 8, "heads": 3}] * 2}, r"encoder_kept.0.heads: Unexpected"),
        ({"encoder_kept": [{"ffn_dim": 8, "attention_heads": 4}]}, "one a layer or none, got 1"),
        (
            {"decoder_kept": [{"ffn_dim": 0, "attention_heads": 5}] * 2},
            "decoder_kept.0.ffn_dim must be positive, got 0; .*attention_heads must be from 1 to "
            "4, got 5; .*conv_heads must be from 1 to 4, got 0; .*conv_head_dim must be from 1 to "
            "4, got 0; .*cross_attention_heads must be from 1 to 4, got 0; decoder_kept.1",
        ),
        (
            {"encoder_kept": [{"ffn_dim": 8, "cross_attention_heads": 1}] * 2},
            "encoder_kept.0.*cross_attention_heads must be from 0 to 0, got 1",
        ),
        ({"decoder_kept": 3}, "decoder_kept: Input should be a valid tuple"),
    ],
)
def test_what_cannot_be_kept(change, message):
    with pytest.raises(CheckpointError, match=message):
        ModelConfig.from_dict({**models.config().to_dict(), **change})
