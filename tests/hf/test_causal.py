"""Language models in transformers against our network and the authors' numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from litecompress.errors import CheckpointError, InputError
from litecompress.hf import LiteTransformerConfig, LiteTransformerForCausalLM
from litecompress.model.config import PAD_ID
from tests import reference
from tests.hf.models import (
    CAUSAL,
    adapted,
    padded,
    prompts,
    random_language_model,
    random_network,
)
from tests.reference import needs_reference


@pytest.fixture(params=CAUSAL)
def net(request):
    return random_language_model(**CAUSAL[request.param])


def close(ours, theirs, tolerance=1e-5):
    torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("use_cache", [False, True])
def test_logits_are_the_networks_on_either_side_of_padding(net, side, use_cache):
    model, rows = adapted(net), prompts()
    tokens = padded(rows, side)
    dirty = tokens.masked_fill(tokens == PAD_ID, 7)
    logits = model(dirty, (tokens != PAD_ID).long(), use_cache=use_cache).logits
    for i, row in enumerate(rows):
        close(logits[i][tokens[i] != PAD_ID], net(torch.tensor([row]))[0])


@pytest.mark.parametrize("lengths", [(1,) * 9, (4, 1, 4), (9,)])
def test_a_cache_gives_what_the_whole_text_gives(net, lengths):
    model, rows = adapted(net), prompts()
    tokens = padded(rows, "left")
    mask, cache, found = tokens != PAD_ID, None, []
    for piece in tokens.split(lengths, dim=1):
        seen = 0 if cache is None else cache.get_seq_length()
        covered = mask[:, : seen + piece.shape[1]]  # generate passes all of it
        output = model(piece, covered, past_key_values=cache, use_cache=True)
        cache = output.past_key_values
        found.append(output.logits)
    logits = torch.cat(found, dim=1)
    for i, row in enumerate(rows):
        close(logits[i][mask[i]], net(torch.tensor([row]))[0])


def test_logits_are_log_probabilities_and_only_the_last_where_asked(net):
    model, tokens = adapted(net), padded(prompts())
    logits = model(tokens).logits
    close(logits.logsumexp(dim=-1), torch.zeros(logits.shape[:2]))
    close(model(tokens, logits_to_keep=2).logits, logits[:, -2:])


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_loss_is_of_each_next_token(net, side):
    model, rows = adapted(net), prompts()
    tokens = padded(rows, side)
    expected = []
    for row in rows:
        log_probs = net(torch.tensor([row]))[0, :-1]
        expected += (-log_probs.gather(1, torch.tensor(row[1:])[:, None])[:, 0]).tolist()
    close(model(tokens, labels=tokens).loss, torch.tensor(expected).mean())
    some = tokens.clone()
    some[:, -2:] = -100
    kept = model(tokens, labels=some, num_items_in_batch=10).loss * 10
    counted = (some[:, 1:] != -100) & (tokens[:, 1:] != PAD_ID) & (tokens[:, :-1] != PAD_ID)
    log_probs = model(tokens).logits[:, :-1].gather(2, tokens[:, 1:, None])[..., 0]
    close(kept, -log_probs[counted].sum())
    part = model(tokens, labels=tokens, logits_to_keep=1)
    close(part.loss, model(tokens, labels=tokens).loss)


def test_training_gives_the_loss_of_our_objective_and_its_gradients(net):
    model, rows = adapted(net), prompts((8, 8, 8))
    tokens = padded(rows)
    output = model.train()(tokens, labels=tokens)
    features = net.features(tokens)[:, :-1].flatten(0, 1)
    expected = -net.target_log_probs(features, tokens[:, 1:].flatten()).mean()
    close(output.loss, expected)
    assert (output.logits is None) == bool(net.config.adaptive_cutoffs)
    output.loss.backward()
    expected.backward()
    theirs = dict(net.named_parameters())
    for name, parameter in model.named_parameters():
        close(parameter.grad, theirs[name].grad)


def test_embeddings(net):
    model = adapted(net)
    assert model.get_input_embeddings() is model.embedding
    single = None if net.config.adaptive_cutoffs else model.embedding
    assert model.get_output_embeddings() is single


def test_what_it_cannot_do_is_refused():
    model, tokens = adapted(random_language_model()), padded(prompts())
    gap = tokens.clone()
    gap[0, 3] = PAD_ID
    with pytest.raises(InputError, match="hidden at the sides only"):
        model(gap)
    with pytest.raises(InputError, match="expected input_ids, got none"):
        model()
    with pytest.raises(InputError, match="got token_type_ids too"):
        model(tokens, token_type_ids=tokens)
    translation = LiteTransformerConfig(**random_network().config.to_dict())
    with pytest.raises(CheckpointError, match="use AutoModelForSeq2SeqLM"):
        LiteTransformerForCausalLM(translation)


@needs_reference
def test_log_probabilities_and_perplexity_are_the_authors():
    net, io = reference.load(reference.LANGUAGE_MODEL)
    model = adapted(net)
    tokens = torch.from_numpy(io["A_src_tokens"])
    found = model(tokens).logits.detach().numpy()
    real = io["A_src_tokens"] != PAD_ID
    np.testing.assert_allclose(found[real], io["A_lprobs"][real], atol=1e-4)
    target = torch.from_numpy(io["A_target"])
    text = torch.cat([tokens[:, :1], target], dim=1)
    loss = model(text, labels=text).loss.detach().numpy()
    np.testing.assert_allclose(np.exp(loss), io["A_ppl"], rtol=1e-4)
