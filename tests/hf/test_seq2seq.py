"""Encoder-decoders in transformers against our network and the authors' numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from transformers import DynamicCache

from litecompress.errors import CheckpointError, InputError
from litecompress.hf import LiteTransformerConfig, LiteTransformerForSeq2SeqLM
from litecompress.model.config import PAD_ID
from tests import reference
from tests.hf.models import SEQ2SEQ, adapted, padded, prompts, random_network, texts
from tests.reference import needs_reference


@pytest.fixture(params=SEQ2SEQ)
def net(request):
    return random_network(**SEQ2SEQ[request.param])


def close(ours, theirs, tolerance=1e-5):
    torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)


def close_where_real(ours, theirs, tokens):
    close(ours[tokens != PAD_ID], theirs[tokens != PAD_ID])


@pytest.mark.parametrize("side", ["left", "right"])
def test_logits_are_those_of_the_network(net, side):
    source, previous = padded(texts(), side), padded(prompts((5, 8, 3)))
    output = adapted(net)(
        input_ids=source, attention_mask=(source != PAD_ID).long(), decoder_input_ids=previous
    )
    close_where_real(output.logits, net(source, previous), previous)
    close(output.encoder_last_hidden_state, net.encode(source)[0])


def test_what_a_mask_hides_is_padding(net):
    source, previous = padded(texts()), padded(prompts((5, 8, 3)))
    dirty = source.masked_fill(source == PAD_ID, 7)
    mask = source != PAD_ID
    for given in (mask, mask.long(), mask.float()):
        output = adapted(net)(dirty, given, previous)
        close_where_real(output.logits, net(source, previous), previous)


def test_without_a_mask_padding_is_hidden_and_an_encoding_remembers_it(net):
    model, source, previous = adapted(net), padded(texts()), padded(prompts((5, 8, 3)))
    encoded = model.get_encoder()(source)
    for inputs in ({"input_ids": source}, {"encoder_outputs": encoded}):
        logits = model(**inputs, decoder_input_ids=previous).logits
        close_where_real(logits, net(source, previous), previous)
    states = (encoded.last_hidden_state,)
    output = model(encoder_outputs=states, attention_mask=source != PAD_ID, labels=previous)
    close(output.logits, model(source, labels=previous).logits)


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_of_the_target_on_either_side_changes_nothing(net, side):
    model, rows = adapted(net), prompts((5, 8, 3))
    source = padded(texts())
    target = padded(rows, side)
    for use_cache in (False, True):
        logits = model(source, decoder_input_ids=target, use_cache=use_cache).logits
        for i, row in enumerate(rows):
            alone = net(source[i : i + 1], torch.tensor([row]))[0]
            close(logits[i][target[i] != PAD_ID], alone)


@pytest.mark.parametrize("lengths", [(1, 1, 1, 1, 1, 1, 1, 1), (3, 1, 4), (8,)])
def test_a_cache_gives_what_the_whole_text_gives(net, lengths):
    model, source, target = adapted(net), padded(texts()), padded(prompts((8, 8, 8)))
    encoded, cache, found = model.get_encoder()(source), None, []
    for piece in target.split(lengths, dim=1):
        output = model(
            encoder_outputs=encoded,
            decoder_input_ids=piece,
            past_key_values=cache,
            use_cache=True,
        )
        cache = output.past_key_values
        found.append(output.logits)
    close(torch.cat(found, dim=1), net(source, target))
    assert cache.get_seq_length() == 8


def test_the_loss_is_the_mean_over_labels_and_its_gradients_are_the_networks(net):
    model, source = adapted(net), padded(texts())
    labels = padded(texts((5, 8, 3), seed=3))
    counted = labels.masked_fill(labels == PAD_ID, -100)
    loss = model(source, labels=counted).loss
    previous = padded([[2, *row[:-1]] for row in texts((5, 8, 3), seed=3)])
    expected = F.cross_entropy(net(source, previous).transpose(1, 2), counted)
    close(loss, expected)
    halved = model(source, labels=counted, num_items_in_batch=2 * int((counted != -100).sum()))
    close(halved.loss, expected / 2)
    loss.backward()
    expected.backward()
    theirs = dict(net.named_parameters())
    for name, parameter in model.named_parameters():
        close(parameter.grad, theirs[name].grad)


def test_dropout_acts_in_training_only():
    net = random_network(dropout=0.3, weight_dropout=0.1)
    model, source, labels = adapted(net), padded(texts()), padded(texts((5, 8, 3)))
    calm = model(source, labels=labels).loss
    close(model(source, labels=labels).loss, calm)
    model.train()
    torch.manual_seed(0)
    losses = [model(source, labels=labels).loss.item() for _ in range(2)]
    assert len({*losses, calm.item()}) == 3


def test_hidden_states_and_tuples(net):
    model, source, labels = adapted(net), padded(texts()), padded(texts((5, 8, 3)))
    output = model(source, labels=labels, output_hidden_states=True)
    assert len(output.encoder_hidden_states) == len(output.decoder_hidden_states) == 3
    close(output.encoder_hidden_states[-1], output.encoder_last_hidden_state)
    close(model.logits(output.decoder_hidden_states[-1]), output.logits)
    model.config.output_hidden_states = True
    assert len(model(source, labels=labels).decoder_hidden_states) == 3
    model.config.output_hidden_states = False
    loss, logits, _ = model(source, labels=labels, return_dict=False)
    close(logits, output.logits)
    close(loss, output.loss)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_near(net, dtype):
    model, source, target = adapted(net), padded(texts()), padded(prompts((5, 8, 3)))
    expected = model(source, decoder_input_ids=target).logits
    model.to(dtype)
    for use_cache in (False, True):
        logits = model(source, decoder_input_ids=target, use_cache=use_cache).logits
        assert logits.dtype == dtype
        error = (logits.float() - expected)[target != PAD_ID]
        assert error.abs().mean() < 0.05 * expected.std()


def test_embeddings(net):
    model = adapted(net)
    shared = net.config.share_embeddings
    assert model.get_input_embeddings().num_embeddings == net.config.source_vocab_size
    assert model.get_output_embeddings().weight.shape[0] == net.config.target_vocab_size
    assert (model.get_input_embeddings() is model.get_output_embeddings()) == shared
    assert model.resize_token_embeddings() is model.get_input_embeddings()
    with pytest.raises(InputError, match="expected the checkpoint's own vocabulary"):
        model.resize_token_embeddings(100)


def test_what_it_cannot_do_is_refused():
    net = random_network()
    model, source, target = adapted(net), padded(texts()), padded(prompts((5, 8, 3)))
    gap = target.clone()
    gap[1, 3] = PAD_ID
    for use_cache in (False, True):
        with pytest.raises(InputError, match="hidden at the sides only"):
            model(source, decoder_input_ids=gap, use_cache=use_cache)
    with pytest.raises(InputError, match=r"mask of the tokens' shape \(3, 9\), got \(3, 4\)"):
        model(source, torch.ones(3, 4), target)
    with pytest.raises(InputError, match="expected a LiteTransformerCache"):
        model(source, decoder_input_ids=target, past_key_values=DynamicCache())
    with pytest.raises(InputError, match="got inputs_embeds, output_attentions too"):
        model(source, None, target, inputs_embeds=torch.ones(1), output_attentions=True)
    with pytest.raises(InputError, match="expected decoder_input_ids or labels"):
        model(source)
    with pytest.raises(InputError, match="expected input_ids or encoder_outputs"):
        model(decoder_input_ids=target)
    language_model = LiteTransformerConfig(**{**net.config.to_dict(), "encoder_kernel_sizes": []})
    with pytest.raises(CheckpointError, match="use AutoModelForCausalLM"):
        LiteTransformerForSeq2SeqLM(language_model)


@needs_reference
@pytest.mark.parametrize("name", reference.MODELS)
@pytest.mark.parametrize("batch", ["A", "R"])
def test_logits_are_the_authors(name, batch):
    net, io = reference.load(name)
    source = torch.from_numpy(io[f"{batch}_src_tokens"])
    previous = torch.from_numpy(io["A_prev_output_tokens"])
    mask = (source != PAD_ID).long()
    found = adapted(net)(source, mask, previous).logits.detach().numpy()
    real = io["A_prev_output_tokens"] != PAD_ID
    np.testing.assert_allclose(found[real], io[f"{batch}_logits"][real], atol=1e-4)


@needs_reference
@pytest.mark.parametrize("name", reference.MODELS)
def test_steps_with_reordered_rows_are_the_authors(name):
    net, io = reference.load(name)
    model, order = adapted(net), torch.from_numpy(io["J_order"])
    source = torch.from_numpy(io["A_src_tokens"])
    before = torch.from_numpy(io["I_prev_output_tokens"])[:, :5]
    after = torch.from_numpy(io["J_prev_output_tokens"])[:, 5:]
    cache, found = None, []
    for step, token in enumerate([*before.split(1, 1), *after.split(1, 1)]):
        if step == 5:
            cache.reorder_cache(order)
            source = source[order]
        output = model(source, decoder_input_ids=token, past_key_values=cache, use_cache=True)
        cache = output.past_key_values
        found.append(output.logits)
    logits = torch.cat(found[5:], dim=1).detach().numpy()
    np.testing.assert_allclose(logits, io["J_logits"][:, 5:], atol=1e-4)
