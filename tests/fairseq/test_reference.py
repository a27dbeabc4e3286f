"""Imported models against every number that the authors' own code produced."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from litecompress.fairseq.names import their_name
from litecompress.model.shapes import weight_shapes
from tests import reference
from tests.reference import needs_reference

pytestmark = needs_reference


def tensor(io, name):
    return torch.from_numpy(io[name])


@pytest.fixture(scope="module", params=reference.MODELS)
def translation(request):
    return reference.load(request.param)


@pytest.fixture(scope="module")
def language():
    return reference.load(reference.LANGUAGE_MODEL)


def assert_close(ours, theirs, atol=1e-4):
    np.testing.assert_allclose(ours.detach().numpy(), theirs, rtol=0, atol=atol)


def assert_gradients(model, io):
    ours = dict(model.named_parameters())
    for name, theirs in zip(io["grad_names"], io["grad_norms"], strict=True):
        renamed = reference.our_name(str(name))
        if renamed == "source_embedding.weight" and model.config.share_embeddings:
            renamed = "embedding.weight"
        gradient = ours.pop(renamed).grad
        np.testing.assert_allclose(gradient.norm(), theirs, 1e-4, 1e-5, err_msg=str(name))
    assert not ours


@pytest.mark.parametrize("name", [*reference.MODELS, reference.LANGUAGE_MODEL])
def test_names_agree_with_a_second_description_of_them(name):
    config = reference.converted(name).config
    for ours in weight_shapes(config):
        theirs = their_name(ours, config, branched=True, tied=config.share_embeddings)
        assert reference.our_name(theirs).replace("source_embedding", ours.split(".")[0]) == ours


def test_loss_and_gradients_of_translation(translation):
    model, io = translation
    model.zero_grad()
    logits = model(tensor(io, "A_src_tokens"), tensor(io, "A_prev_output_tokens"))
    target = tensor(io, "A_target")
    log_probs, real = F.log_softmax(logits, dim=-1), target != 1
    nll = -log_probs.gather(2, target.unsqueeze(-1))[..., 0][real].sum()
    epsilon, vocabulary = float(io["label_smoothing"]), logits.shape[-1]
    loss = (1 - epsilon) * nll - epsilon / vocabulary * log_probs[real].sum()
    assert nll.item() == pytest.approx(float(io["A_nll_loss"]), rel=1e-5)
    assert loss.item() == pytest.approx(float(io["A_loss"]), rel=1e-5)
    loss.backward()
    assert_gradients(model, io)


def test_features_and_probabilities_of_the_language_model(language):
    model, io = language
    features = model.features(tensor(io, "A_src_tokens"))
    assert_close(features, io["A_features"])
    log_probs = model.log_probs(features)
    assert_close(log_probs, io["A_lprobs"])
    target = tensor(io, "A_target")
    chosen = model.target_log_probs(features.flatten(0, 1), target.flatten()).view(target.shape)
    real = target != 1
    assert_close(chosen[real], io["A_target_lprobs"][real.numpy()])
    assert_close(chosen[real], io["A_scorer_pos_scores"][real.numpy()])
    perplexity = torch.exp(-chosen[real].double().mean()).item()
    assert perplexity == pytest.approx(float(io["A_ppl"]), rel=1e-4)


def test_loss_and_gradients_of_the_language_model(language):
    model, io = language
    model.zero_grad()
    features = model.features(tensor(io, "A_src_tokens"))
    target = tensor(io, "A_target")
    real = target != 1
    loss = -model.target_log_probs(features[real], target[real]).sum()
    assert loss.item() == pytest.approx(float(io["A_loss"]), rel=1e-5)
    loss.backward()
    assert_gradients(model, io)


def test_incremental_features_of_the_language_model(language):
    model, io = language
    tokens = tensor(io, "I_src_tokens")
    states, rows = model.start(*tokens.shape), []
    for step in range(tokens.shape[1]):
        row, states = model.step(tokens[:, step : step + 1], torch.tensor([step]), states)
        rows.append(row)
    assert_close(torch.stack(rows, dim=1), io["I_features"])
