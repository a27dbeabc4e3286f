"""Our checkpoint folders in transformers and back."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    GenerationConfig,
)

from litecompress.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from litecompress.errors import CheckpointError
from litecompress.hf import (
    LiteTransformerConfig,
    LiteTransformerForCausalLM,
    LiteTransformerForSeq2SeqLM,
    LiteTransformerTokenizer,
)
from litecompress.model.config import HUGGING_FACE_KEYS, ModelConfig
from litecompress.model.shapes import weight_shapes
from tests.hf.models import (
    CAUSAL,
    SEQ2SEQ,
    adapted,
    random_language_model,
    random_network,
)
from tests.models import ROOT, tokenizer

MODEL = ROOT / "models" / "multi30k-en-de"
KINDS = {
    **{name: (random_network, changes) for name, changes in SEQ2SEQ.items()},
    **{f"{name} (LM)": (random_language_model, changes) for name, changes in CAUSAL.items()},
}


@pytest.fixture(params=KINDS)
def net(request):
    make, changes = KINDS[request.param]
    return make(**changes, dropout=0.1, max_positions=77)


@pytest.fixture
def folder(net, tmp_path):
    weights = {name: w.numpy() for name, w in net.state_dict().items()}
    path = tmp_path / "ours"
    path.mkdir()
    save_checkpoint(Checkpoint(net.config, weights, tokenizer().data), path)
    return path


def auto(config):
    return AutoModelForCausalLM if config.is_language_model else AutoModelForSeq2SeqLM


def equal(weights, others):
    assert weights.keys() == others.keys()
    for name, values in weights.items():
        np.testing.assert_array_equal(values, others[name], err_msg=name)


def test_a_folder_goes_there_and_back_unchanged(net, folder, tmp_path):
    config = AutoConfig.from_pretrained(folder)
    assert isinstance(config, LiteTransformerConfig)
    assert config.model_config() == net.config
    assert config.is_encoder_decoder is not net.config.is_language_model
    model = auto(net.config).from_pretrained(folder)
    assert not model.training
    loaded = AutoTokenizer.from_pretrained(folder)
    assert isinstance(loaded, LiteTransformerTokenizer)
    theirs = tmp_path / "theirs"
    model.save_pretrained(theirs)
    loaded.save_pretrained(theirs)
    before, after = load_checkpoint(folder), load_checkpoint(theirs)
    assert after.config == before.config
    assert after.tokenizer == before.tokenizer
    equal(before.weights, after.weights)
    stored = load_file(theirs / "model.safetensors")
    assert {name: w.shape for name, w in stored.items()} == weight_shapes(net.config)
    again = auto(net.config).from_pretrained(theirs)
    equal(dict(model.state_dict()), dict(again.state_dict()))
    assert again.generation_config.to_dict() == model.generation_config.to_dict()


def test_the_shipped_model():
    model = AutoModelForSeq2SeqLM.from_pretrained(MODEL)
    assert type(model) is LiteTransformerForSeq2SeqLM
    equal(load_checkpoint(MODEL).weights, {n: w.numpy() for n, w in model.state_dict().items()})
    assert model.num_parameters() == sum(w.size for w in load_checkpoint(MODEL).weights.values())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_weights_load_in_float32(net, folder, tmp_path, dtype):
    half = tmp_path / "half"
    model = auto(net.config).from_pretrained(folder)
    expected = {n: w.to(dtype).float().numpy() for n, w in model.state_dict().items()}
    model.to(dtype).save_pretrained(half)
    AutoTokenizer.from_pretrained(folder).save_pretrained(half)
    assert json.loads((half / "config.json").read_text())["dtype"] == str(dtype).split(".")[1]
    equal(load_checkpoint(half).weights, expected)
    loaded = auto(net.config).from_pretrained(half)
    equal({n: w.numpy() for n, w in loaded.state_dict().items()}, expected)
    assert auto(net.config).from_pretrained(half, dtype="auto").dtype == dtype


def test_a_fresh_model_has_the_initial_weights_of_our_network(net):
    torch.manual_seed(5)
    fresh = type(net)(net.config).state_dict()
    torch.manual_seed(5)
    model = auto(net.config).from_config(LiteTransformerConfig(**net.config.to_dict()))
    equal(fresh, dict(model.state_dict()))


def test_the_generation_config_of_a_folder_comes_first(folder, net):
    own = GenerationConfig(num_beams=3, max_new_tokens=7)
    own.save_pretrained(folder)
    model = auto(net.config).from_pretrained(folder)
    assert (model.generation_config.num_beams, model.generation_config.max_new_tokens) == (3, 7)
    assert model.generation_config.eos_token_id == 2


def test_weights_that_do_not_fit_are_named(tmp_path):
    net = random_network()
    weights = {name: w.numpy() for name, w in net.state_dict().items()}
    save_checkpoint(Checkpoint(net.config, weights, tokenizer().data), tmp_path)
    del weights["encoder.0.conv.kernel"]
    weights["encoder.0.conv.extra"] = np.zeros(3, np.float32)
    weights["decoder.1.ffn.fc1.bias"] = np.zeros(3, np.float32)
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError) as raised:
        AutoModelForSeq2SeqLM.from_pretrained(tmp_path)
    for name in ("encoder.0.conv.kernel", "encoder.0.conv.extra", "decoder.1.ffn.fc1.bias"):
        assert name in str(raised.value)


def test_a_truncated_file_is_refused(tmp_path):
    net = random_network()
    weights = {name: w.numpy() for name, w in net.state_dict().items()}
    save_checkpoint(Checkpoint(net.config, weights, tokenizer().data), tmp_path)
    file = tmp_path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="expected intact safetensors"):
        AutoModelForSeq2SeqLM.from_pretrained(tmp_path)


def test_configs_that_do_not_fit_are_refused(tmp_path):
    values = random_network().config.to_dict()
    for change, message in (
        ({"dropuot": 0.1}, "wrong or missing dropuot"),
        ({"attention_heads": 5}, "attention_heads must divide"),
        ({"pad_token_id": 0}, "expected pad_token_id 1 as in every model"),
    ):
        (tmp_path / "config.json").write_text(json.dumps({**values, **change}))
        with pytest.raises(CheckpointError, match=message):
            AutoConfig.from_pretrained(tmp_path)


def test_the_wrong_class_names_the_right_one(folder, net):
    other = AutoModelForSeq2SeqLM if net.config.is_language_model else AutoModelForCausalLM
    with pytest.raises(CheckpointError, match=f"use {auto(net.config).__name__}"):
        other.from_pretrained(folder)


def test_our_config_leaves_the_keys_of_transformers_out():
    config = random_network().config
    extra = dict.fromkeys(HUGGING_FACE_KEYS, "anything")
    assert ModelConfig.from_dict({**config.to_dict(), **extra}) == config
    written = json.loads(LiteTransformerConfig(**config.to_dict()).to_json_string())
    assert not set(written) - {*config.to_dict(), *HUGGING_FACE_KEYS}
    with pytest.raises(CheckpointError, match="wrong or missing something_else"):
        ModelConfig.from_dict({**config.to_dict(), "something_else": 1})


def test_a_changed_config_reaches_the_network(folder, net):
    model = auto(net.config).from_pretrained(folder, dropout=0.25)
    assert model.config.model_config().dropout == model.architecture.dropout == 0.25


def test_copies_are_independent():
    import copy

    model = adapted(random_language_model())
    other = copy.deepcopy(model)
    assert isinstance(other, LiteTransformerForCausalLM)
    with torch.no_grad():
        other.embedding.weight.zero_()
    assert model.embedding.weight.abs().sum() > 0


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_the_core_does_not_import_transformers():
    found = run(
        "import sys, litecompress, litecompress.cli, litecompress.model.build, "
        "litecompress.evaluate.model; print('transformers' in sys.modules)"
    )
    assert found.stdout.strip() == "False", found.stderr


def test_without_the_package_the_extra_is_named():
    found = run("import sys; sys.modules['transformers'] = None; import litecompress.hf")
    assert "MissingBackendError" in found.stderr
    assert "pip install 'litecompress[hf]'" in found.stderr
