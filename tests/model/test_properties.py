"""Properties of the network that hold for any weights."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from litecompress.errors import CheckpointError
from litecompress.model.config import ModelConfig
from litecompress.model.conv import convolve_band, convolve_valid
from litecompress.model.lite_transformer import LiteTransformer
from litecompress.model.shapes import weight_shapes
from tests import models


@pytest.mark.parametrize("left", [0, 2, 4])
@pytest.mark.parametrize("length", [1, 3, 12])
@pytest.mark.parametrize("dynamic", [False, True])
def test_both_forms_of_the_convolution_agree(dynamic, length, left):
    torch.manual_seed(length)
    x = torch.randn(2, length, 8)
    logits = torch.randn(2, length, 4, 5) if dynamic else torch.randn(4, 5)
    valid = convolve_valid(F.pad(x, (0, 0, left, 4 - left)), logits)
    torch.testing.assert_close(convolve_band(x, logits.softmax(-1), left), valid)


def test_the_convolution_against_torch():
    torch.manual_seed(0)
    x, logits = torch.randn(2, 9, 8), torch.randn(4, 5)
    kernel = logits.softmax(-1).repeat_interleave(2, dim=0)[:, None]  # (C, 1, K)
    expected = F.conv1d(x.transpose(1, 2), kernel, padding=2, groups=8).transpose(1, 2)
    torch.testing.assert_close(convolve_band(x, logits.softmax(-1), 2), expected)


def network(conv_type, **changes):
    checkpoint = models.checkpoint(conv_type, **changes)
    return LiteTransformer.from_weights(checkpoint.config, checkpoint.weights)


SENTENCE = torch.tensor([[5, 9, 14, 6, 2]])


def padded(left, right):
    return F.pad(SENTENCE, (left, right), value=1)


@pytest.mark.parametrize("conv_type", ["lightweight", "dynamic"])
@pytest.mark.parametrize(("left", "right"), [(0, 7), (7, 0), (3, 4)])
def test_masked_padding_changes_nothing(conv_type, left, right):
    model = network(conv_type)
    alone, _ = model.encode(SENTENCE)
    memory, bias = model.encode(padded(left, right))
    torch.testing.assert_close(memory[:, left : left + 5], alone, atol=1e-5, rtol=0)
    previous = torch.tensor([[2, 7, 8]])
    expected = model(SENTENCE, previous)
    logits = model.logits(model.decode(previous, memory, bias))
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("conv_type", ["lightweight", "dynamic"])
def test_leaky_padding_is_what_the_authors_do(conv_type):
    model = network(conv_type, conv_padding="leaky")
    alone, _ = model.encode(SENTENCE)
    memory, _ = model.encode(padded(0, 7))
    assert (memory[:, :5] - alone).abs().max() > 1e-4


def test_later_tokens_never_change_earlier_logits():
    model = network("dynamic")
    one = model(SENTENCE, torch.tensor([[2, 7, 8, 9]]))
    other = model(SENTENCE, torch.tensor([[2, 7, 8, 30]]))
    torch.testing.assert_close(one[:, :3], other[:, :3])
    assert (one[:, 3] - other[:, 3]).abs().max() > 1e-4


def test_a_step_ignores_what_is_behind_it_in_the_cache():
    model = network("lightweight")
    memory, bias = model.encode(SENTENCE)
    short, long = model.start(memory, 1), model.start(memory, 9)
    token, step = torch.tensor([[2]]), torch.tensor([0])
    a, _ = model.step(token, step, bias, short)
    b, _ = model.step(token, step, bias, long)
    torch.testing.assert_close(a, b)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"embed_dim": 30}, "attention_heads must divide its 15 channels"),
        ({"encoder_kernel_sizes": (3, 4)}, "odd and positive"),
        ({"decoder_kernel_sizes": ()}, "odd and positive"),
        ({"target_vocab_size": 7}, "equal vocabulary sizes"),
        ({"conv_type": "lightweight", "conv_glu": True}, "dynamic convolution only"),
        ({"source_vocab_size": 0, "embed_dim": -2}, "source_vocab_size.*embed_dim"),
    ],
)
def test_inconsistent_configs_say_all_that_is_wrong(change, message):
    values = {**models.config().to_dict(), **change}
    with pytest.raises(CheckpointError, match=message):
        ModelConfig.from_dict(values)


def test_config_round_trip_and_unknown_keys():
    config = models.config("dynamic")
    assert ModelConfig.from_dict(config.to_dict()) == config
    with pytest.raises(CheckpointError, match="wrong or missing model_type 'bert'"):
        ModelConfig.from_dict({**config.to_dict(), "model_type": "bert"})
    with pytest.raises(CheckpointError, match="attention_droput"):
        ModelConfig.from_dict({**config.to_dict(), "attention_droput": 0.1})


def test_weights_that_do_not_fit_are_named():
    checkpoint = models.checkpoint()
    weights = dict(checkpoint.weights)
    weights["encoder.0.ffn.fc1.bias"] = weights["encoder.0.ffn.fc1.bias"][:3]
    with pytest.raises(CheckpointError, match=r"encoder\.0\.ffn\.fc1\.bias.*\(32,\), got \(3,\)"):
        LiteTransformer.from_weights(checkpoint.config, weights)


@pytest.mark.parametrize("conv_type", ["lightweight", "dynamic"])
@pytest.mark.parametrize("shared", [True, False])
def test_shapes_from_the_config_are_those_of_the_network(conv_type, shared):
    config = models.config(conv_type, share_embeddings=shared, ffn_dim=48)
    state = LiteTransformer(config).state_dict()
    assert weight_shapes(config) == {name: tuple(w.shape) for name, w in state.items()}
