"""Models that were pruned in structure, in transformers and back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

from litecompress.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from litecompress.model.config import Kept
from tests.hf.models import DYNAMIC, padded, prompts, random_language_model, random_network, texts
from tests.models import tokenizer

SIZES = (Kept(8, 1, 2, 3), Kept(24, 4, 4, 4))
WITH_CROSS = (Kept(16, 3, 1, 4, 2), Kept(5, 2, 3, 1, 1))


@pytest.fixture(params=["seq2seq", "causal"])
def folder(request, tmp_path):
    if request.param == "seq2seq":
        net = random_network(**DYNAMIC, encoder_kept=SIZES, decoder_kept=WITH_CROSS)
    else:
        net = random_language_model(**DYNAMIC, decoder_kept=SIZES)
    weights = {name: w.numpy() for name, w in net.state_dict().items()}
    save_checkpoint(Checkpoint(net.config, weights, tokenizer().data), tmp_path)
    return net, tmp_path


@torch.no_grad()
def test_it_loads_generates_and_saves(folder, tmp_path):
    net, path = folder
    causal = net.config.is_language_model
    model = (AutoModelForCausalLM if causal else AutoModelForSeq2SeqLM).from_pretrained(path)
    text = torch.tensor(prompts((7, 7)))
    inputs = {} if causal else {"input_ids": padded(texts()[:2])}
    if causal:
        expected = net(text)
        logits = model(input_ids=text).logits.log_softmax(-1)
    else:
        expected = net(inputs["input_ids"], text)
        logits = model(**inputs, decoder_input_ids=text).logits
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=0)
    options = {"max_new_tokens": 6, "do_sample": False, "num_beams": 1}
    cached, fresh = (
        model.generate(**(inputs or {"input_ids": text}), **options, use_cache=use)
        for use in (True, False)
    )
    assert cached.tolist() == fresh.tolist()
    again = tmp_path / "again"
    model.save_pretrained(again)
    (again / "tokenizer.json").write_bytes(tokenizer().data)
    read = load_checkpoint(again)
    assert read.config == net.config
    for name, weight in net.state_dict().items():
        np.testing.assert_array_equal(read.weights[name], weight.numpy(), err_msg=name)
