"""The paper's configurations: each one can be built, found by its name and given a vocabulary."""

from __future__ import annotations

import re

import pytest
import torch

from litecompress.errors import CheckpointError, InputError
from litecompress.model.build import network
from litecompress.model.config import ModelConfig
from litecompress.model.presets import PRESETS, preset
from litecompress.model.shapes import weight_shapes

NAME = re.compile(
    r"(?P<model>transformer-|lightconv-|)"
    r"(?P<task>iwslt14-de-en|wmt14-en-fr|wmt16-en-de|cnndm|wikitext103)-embed(?P<width>\d+)"
)
TRANSLATION = [name for name in PRESETS if "wikitext" not in name]


def test_the_table_of_configurations_is_whole():
    lite = {n for n in PRESETS if not n.startswith(("transformer", "lightconv"))}
    widths = {"iwslt14-de-en": (160, 240, 320), "wmt14-en-fr": (200, 408, 496)}
    widths |= {"wmt16-en-de": (200, 408, 496), "cnndm": (496,), "wikitext103": (896,)}
    assert lite == {f"{task}-embed{w}" for task, all_of in widths.items() for w in all_of}


@pytest.mark.parametrize("name", PRESETS)
def test_the_network_of_a_preset_holds_the_weights_of_its_config(name):
    with torch.device("meta"):
        built = network(PRESETS[name])
    assert {n: tuple(w.shape) for n, w in built.state_dict().items()} == weight_shapes(
        PRESETS[name]
    )


@pytest.mark.parametrize("name", TRANSLATION)
def test_a_preset_runs(name):
    config = PRESETS[name]
    with torch.device("meta"):
        tokens = torch.zeros(2, 9, dtype=torch.long)
        assert network(config)(tokens, tokens).shape == (2, 9, config.target_vocab_size)


@pytest.mark.parametrize("name", PRESETS)
def test_a_name_says_what_the_config_holds(name):
    config, found = PRESETS[name], NAME.fullmatch(name)
    assert found
    assert config.embed_dim == int(found["width"])
    assert config.is_language_model == (found["task"] == "wikitext103")
    kernels = {*config.encoder_kernel_sizes, *config.decoder_kernel_sizes}
    match found["model"]:
        case "":
            assert config.attention_heads == config.conv_heads == 4
            assert 0 not in kernels
            assert config.ffn_dim == config.embed_dim
        case "transformer-":
            assert kernels == {0}
            assert config.weight_dropout == 0
        case "lightconv-":
            assert config.attention_heads == 0
            assert 0 not in kernels
            assert len(config.encoder_kernel_sizes) == len(config.decoder_kernel_sizes) + 1
    assert config.conv_glu == (config.conv_type == "dynamic")
    assert (config.conv_type == "lightweight") == (found["task"] == "iwslt14-de-en")
    assert config.share_embeddings == (found["task"] != "iwslt14-de-en")


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_survives_its_json(name):
    assert ModelConfig.from_dict(preset(name).to_dict()) == preset(name)


@pytest.mark.parametrize("name", PRESETS)
def test_another_vocabulary_changes_nothing_else(name):
    changed = preset(name, vocab_size=80000).to_dict()
    original = preset(name).to_dict()
    differ = {key for key, value in original.items() if changed[key] != value}
    assert differ == {"source_vocab_size", "target_vocab_size"}
    assert changed["source_vocab_size"] == changed["target_vocab_size"] == 80000


def test_a_vocabulary_that_does_not_fit_is_refused():
    with pytest.raises(CheckpointError, match="adaptive_cutoffs must rise from 0 to 8000"):
        preset("wikitext103-embed896", vocab_size=8000)
    with pytest.raises(CheckpointError, match="source_vocab_size must be positive, got 0"):
        preset("wmt14-en-fr-embed200", vocab_size=0)


def test_an_unknown_name_lists_near_ones():
    with pytest.raises(InputError, match=r"wmt14-en-fr-embed496, .* got 'wmt14-en-fr-embed469'"):
        preset("wmt14-en-fr-embed469")
    with pytest.raises(InputError, match="got ''; `litecompress inspect --list` shows all"):
        preset("")
