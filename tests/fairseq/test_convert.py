"""The authors' checkpoints of every age and kind, with known weights; others are refused."""

from __future__ import annotations

import argparse
import re
from collections import OrderedDict

import numpy as np
import pytest
import torch

from litecompress.errors import CheckpointError
from litecompress.fairseq.convert import read_checkpoint, read_checkpoints
from tests.fairseq.checkpoints import (
    VOCABULARY,
    arguments,
    assert_same,
    both,
    config,
    older,
    theirs,
    weights,
    write,
)

DYNAMIC = both(branch_type=["attn:1:8:2", "dynamic:default:8:2"], glu=True)
FAMILY = {
    "lightweight, three tables": ({}, {}),
    "dynamic, gated": (DYNAMIC, {"conv_type": "dynamic", "conv_glu": True}),
    "kernel size in the branch": (
        both(branch_type=["attn:1:8:2", "lightweight:5:8:2"]),
        {"encoder_kernel_sizes": (5, 5), "decoder_kernel_sizes": (5, 5)},
    ),
    "one kernel size for all": (
        both(kernel_size_list=[9]),
        {"encoder_kernel_sizes": (9, 9), "decoder_kernel_sizes": (9, 9)},
    ),
    "more encoder layers": (
        {"encoder_layers": 3},
        {"encoder_kernel_sizes": (3, 7, 15)},
    ),
    "LightConv": (
        both(branch_type=["lightweight:default:16:4"]),
        {"attention_heads": 0, "conv_heads": 4},
    ),
    "attention as the only branch": (
        both(branch_type=["attn:1:16:4"]),
        {
            "attention_heads": 4,
            "conv_heads": 1,
            "conv_type": "dynamic",
            "conv_glu": True,
            "conv_padding": "masked",
            "encoder_kernel_sizes": (0, 0),
            "decoder_kernel_sizes": (0, 0),
        },
    ),
    "attention in the encoder only": (
        {"encoder_branch_type": ["attn:1:16:2"]},
        {"encoder_kernel_sizes": (0, 0)},
    ),
    "dropouts and positions": (
        {"weight_dropout": 0.05, "relu_dropout": 0.3, "max_source_positions": 512},
        {"weight_dropout": 0.05, "activation_dropout": 0.3, "max_positions": 512},
    ),
}


@pytest.mark.parametrize(("changes", "ours"), FAMILY.values(), ids=FAMILY)
def test_configs_and_weights_of_the_family(tmp_path, changes, ours):
    expected = config(**ours)
    state = weights(expected)
    found = read_checkpoint(write(tmp_path / "x.pt", theirs(state), arguments(**changes)))
    assert found.config == expected
    assert_same(found.weights, state)


def plain_transformer() -> argparse.Namespace:
    """Arguments of fairseq's own Transformer: none of branches or kernels."""
    values = vars(arguments(arch="transformer_iwslt_de_en", share_all_embeddings=True))
    kept = {k: v for k, v in values.items() if not re.search("branch|kernel|glu|conv|weight_s", k)}
    return argparse.Namespace(**kept)


@pytest.mark.parametrize("packed", [False, True])
def test_a_transformer(tmp_path, packed):
    expected = config(
        attention_heads=4,
        conv_heads=1,
        conv_type="dynamic",
        conv_glu=True,
        conv_padding="masked",
        encoder_kernel_sizes=(0, 0),
        decoder_kernel_sizes=(0, 0),
        share_embeddings=True,
        target_vocab_size=VOCABULARY,
    )
    state = weights(expected)
    stored = theirs(state, branched=False)
    assert "encoder.layers.1.self_attn.q_proj.weight" in stored
    path = write(tmp_path / "x.pt", older(stored) if packed else stored, plain_transformer())
    found = read_checkpoint(path)
    assert found.config == expected
    assert_same(found.weights, state)


@pytest.mark.parametrize("legacy", [False, True])
def test_older_names_in_either_container(tmp_path, legacy):
    state = weights(config())
    old = older(theirs(state))
    assert "decoder.layers.1.self_attn.branchs.0.in_proj_weight" in old
    assert "decoder.layers.0.layer_norms.2.bias" in old
    found = read_checkpoint(write(tmp_path / "x.pt", old, legacy=legacy))
    assert_same(found.weights, state)


def test_kernels_as_the_cuda_layer_stores_them(tmp_path):
    state = weights(config())
    stored = theirs(state)
    for name in stored:
        if stored[name].dim() == 3:
            stored[name] = stored[name][:, 0]
    assert_same(read_checkpoint(write(tmp_path / "x.pt", stored)).weights, state)


def test_half_precision_becomes_single(tmp_path):
    state = weights(config())
    stored = OrderedDict({name: w.half() for name, w in theirs(state).items()})
    found = read_checkpoint(write(tmp_path / "x.pt", stored)).weights
    assert {w.dtype for w in found.values()} == {np.dtype(np.float32)}
    assert_same(found, {name: w.half() for name, w in state.items()})


def test_a_table_that_serves_as_output_is_copied(tmp_path):
    state = weights(config())
    state["output.weight"] = state["target_embedding.weight"]
    args = arguments(share_decoder_input_output_embed=True)
    stored = theirs(state)
    assert_same(read_checkpoint(write(tmp_path / "x.pt", stored, args)).weights, state)
    del stored["decoder.embed_out"]
    assert_same(read_checkpoint(write(tmp_path / "x.pt", stored, args)).weights, state)


def test_the_mean_of_checkpoints(tmp_path):
    states = [weights(config(), seed) for seed in range(3)]
    paths = [write(tmp_path / f"{i}.pt", theirs(state)) for i, state in enumerate(states)]
    found = read_checkpoints(paths).weights
    for name, mean in found.items():
        exact = sum(state[name].double() for state in states) / 3
        np.testing.assert_array_equal(mean, exact.float().numpy())
    other = write(tmp_path / "other.pt", theirs(states[0]), arguments(dropout=0.5))
    with pytest.raises(CheckpointError, match=r"of one model.*differ in dropout"):
        read_checkpoints([paths[0], other])
    larger = config(source_vocab_size=VOCABULARY + 8)
    other = write(tmp_path / "larger.pt", theirs(weights(larger)))
    with pytest.raises(CheckpointError, match="differ in source_vocab_size"):
        read_checkpoints([paths[0], other])


def language_model(**changes):
    values = {k: v for k, v in vars(arguments()).items() if not k.startswith("encoder")}
    return argparse.Namespace(
        **values
        | {
            "arch": "transformer_lm_multibranch_v2",
            "decoder_normalize_before": True,
            "share_decoder_input_output_embed": True,
        }
        | changes
    )


def test_a_language_model_with_one_table(tmp_path):
    expected = config(
        encoder_kernel_sizes=(),
        source_vocab_size=20,
        share_embeddings=True,
        normalize_before=True,
        cross_attention_heads=1,
    )
    state = weights(expected)
    stored = theirs(state)
    del stored["encoder.embed_tokens.weight"], stored["encoder.version"]
    found = read_checkpoint(write(tmp_path / "x.pt", stored, language_model()))
    assert found.config == expected
    assert_same(found.weights, state)
    untied = language_model(share_decoder_input_output_embed=False)
    with pytest.raises(CheckpointError, match="share_decoder_input_output_embed is not set"):
        read_checkpoint(write(tmp_path / "x.pt", stored, untied))


OTHER_ARGUMENTS = {
    "learned positions": ({"encoder_learned_pos": True}, "encoder_learned_pos is set"),
    "activation": ({"activation_fn": "gelu"}, "activation_fn is gelu"),
    "no linear layers": ({"conv_linear": False}, "conv_linear is not set"),
    "kernels without softmax": ({"weight_softmax": False}, "weight_softmax is not set"),
    "convolution first": (
        both(branch_type=["lightweight:default:8:2", "attn:1:8:2"]),
        "encoder_branch_type lightweight.* is not attention, convolution, or",
    ),
    "uneven branches": (
        both(branch_type=["attn:1:4:2", "lightweight:default:12:2"]),
        "of equal width",
    ),
    "three branches": (both(branch_type=["attn:1:8:2"] * 3), "is not attention, convolution, or"),
    "branch of another form": (both(branch_type=["attn"]), "is not attention, convolution, or"),
    "no branch": (both(branch_type=[]), "is not attention, convolution, or"),
    "unlike stacks": (
        {"decoder_branch_type": ["attn:1:8:4", "lightweight:default:8:2"]},
        "attention_heads differs: encoder 2, decoder 4",
    ),
    "few kernels": (both(kernel_size_list=[3, 5], layers=3), "has 2 of 3 sizes"),
    "unlike widths": ({"decoder_ffn_embed_dim": 48}, r"differ in ffn_embed_dim: \[24, 48\]"),
    "pre-norm encoder": ({"encoder_normalize_before": True}, "differ in normalize_before"),
    "too many layers": ({"encoder_layers": 10**6}, "encoder_layers is 1000000, more than"),
    "no size": ({"decoder_embed_dim": None}, "decoder_embed_dim must be .* got none"),
    "list for a number": ({"encoder_layers": [(256, 3)]}, "must be a positive whole .* got list"),
    "dropout": ({"dropout": float("nan")}, r"dropout must be a number in \[0, 1\), got nan"),
}


@pytest.mark.parametrize(("changes", "message"), OTHER_ARGUMENTS.values(), ids=OTHER_ARGUMENTS)
def test_arguments_that_we_cannot_express(tmp_path, changes, message):
    path = write(tmp_path / "x.pt", theirs(weights(config())), arguments(**changes))
    with pytest.raises(CheckpointError, match=f"x.pt: expected a Lite Transformer.*{message}"):
        read_checkpoint(path)


def test_all_problems_of_the_arguments_are_told_at_once(tmp_path):
    changes = {"activation_fn": "gelu", "decoder_learned_pos": True, "dropout": "much"}
    path = write(tmp_path / "x.pt", theirs(weights(config())), arguments(**changes))
    with pytest.raises(CheckpointError, match=r"decoder_learned_pos.*gelu.*dropout must"):
        read_checkpoint(path)


def changed(**changes):
    """Weights with some replaced, added, or left out (None)."""
    state = theirs(weights(config()))
    for name, value in changes.items():
        name = name.replace("__", ".")
        state.pop(name, None)
        if value is not None:
            state[name] = value
    return state


OTHER_WEIGHTS = {
    "missing and unexpected": (
        {
            "encoder__layers__0__fc1__weight": None,
            "decoder__layers__1__fc2__bias": None,
            "decoder__layer_norm__weight": torch.zeros(16),
        },
        "missing decoder.layers.1.fc2.bias, encoder.layers.0.fc1.weight; "
        "unexpected decoder.layer_norm.weight",
    ),
    "shapes": (
        {
            "encoder__layers__0__fc1__weight": torch.zeros(24, 15),
            "decoder__embed_out": torch.zeros(21, 16),
        },
        r"decoder.embed_out is \(21, 16\), not \(20, 16\), "
        r"encoder.layers.0.fc1.weight is \(24, 15\), not \(24, 16\)",
    ),
    "no table": ({"decoder__embed_tokens__weight": None}, "no table decoder.embed_tokens but"),
    "table without rows": ({"decoder__embed_tokens__weight": torch.tensor(1.0)}, "no table"),
    "not finite": (
        {"encoder__layers__0__fc1__bias": torch.full((24,), float("inf"))},
        "weights, got others in encoder.layers.0.fc1.bias",
    ),
    "not a tensor": ({"encoder__x": [1]}, "a model of named tensors"),
    "under two names": (
        {"encoder__layers__0__layer_norms__0__bias": torch.zeros(16)},
        "self_attn_layer_norm.bias twice",
    ),
}


@pytest.mark.parametrize(("changes", "message"), OTHER_WEIGHTS.values(), ids=OTHER_WEIGHTS)
def test_weights_of_another_model(tmp_path, changes, message):
    path = write(tmp_path / "x.pt", changed(**changes))
    with pytest.raises(CheckpointError, match=f"x.pt: expected .*{message}"):
        read_checkpoint(path)


def test_tables_that_should_be_one_but_differ(tmp_path):
    state = theirs(weights(config(share_embeddings=True, target_vocab_size=VOCABULARY)))
    path = write(tmp_path / "x.pt", state, arguments(share_all_embeddings=True))
    assert read_checkpoint(path).config.share_embeddings
    state["decoder.embed_tokens.weight"] = state["decoder.embed_tokens.weight"] + 1
    path = write(tmp_path / "x.pt", state, arguments(share_all_embeddings=True))
    with pytest.raises(CheckpointError, match="expected tied weights, got different decoder"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    "content",
    [
        {"model": {}},
        {"args": None, "cfg": {}, "model": {}},
        [1, 2],
        OrderedDict(weight=torch.zeros(2)),
        {"args": argparse.Namespace(), "model": [torch.zeros(2)]},
        {"args": argparse.Namespace(), "model": {}},
    ],
)
def test_files_of_torch_that_are_no_checkpoints(tmp_path, content):
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match=r"x\.pt: expected (a fairseq checkpoint|an encoder)"):
        read_checkpoint(tmp_path / "x.pt")


def test_tensors_that_share_a_storage_a_thousand_times(tmp_path):
    big = torch.zeros(4096)
    content = {"args": argparse.Namespace(), "model": {str(i): big for i in range(1000)}}
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match="that the file has room for"):
        read_checkpoint(tmp_path / "x.pt")


def test_hostile_arguments_are_neither_printed_nor_compared(tmp_path):
    bomb = ()
    for _ in range(60):
        bomb = (bomb, bomb)
    fields = ("encoder_layers", "dropout", "arch", "encoder_glu", "decoder_branch_type")
    fields += ("encoder_kernel_size_list", "activation_fn", "max_source_positions")
    args = arguments(**dict.fromkeys(fields, bomb))
    path = write(tmp_path / "x.pt", theirs(weights(config())), args)
    with pytest.raises(CheckpointError, match=r"encoder_layers must be .* got tuple") as caught:
        read_checkpoint(path)
    assert len(str(caught.value)) < 2000
