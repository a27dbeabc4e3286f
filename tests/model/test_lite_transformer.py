"""The network against the numbers that the authors' own code produced."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests import reference
from tests.reference import needs_reference

TOLERANCE = 1e-4


@pytest.fixture(scope="module", params=reference.MODELS)
def loaded(request):
    return reference.load(request.param)


def tokens(io, name):
    return torch.from_numpy(io[name])


def assert_close(ours, theirs):
    np.testing.assert_allclose(ours.detach().numpy(), theirs, rtol=0, atol=TOLERANCE)


@needs_reference
@pytest.mark.parametrize("batch", ["A", "R", "L"])
def test_logits_of_padded_and_long_batches(loaded, batch):
    model, io = loaded
    previous = io["A_prev_output_tokens"] if batch == "R" else io[f"{batch}_prev_output_tokens"]
    source = tokens(io, f"{batch}_src_tokens")
    memory, _ = model.encode(source)
    real = io[f"{batch}_src_tokens"] != 1
    theirs = io[f"{batch}_encoder_out"].transpose(1, 0, 2)
    assert_close(memory[torch.from_numpy(real)], theirs[real])
    assert_close(model(source, torch.from_numpy(previous)), io[f"{batch}_logits"])


@needs_reference
def test_logits_of_each_sentence_alone(loaded):
    model, io = loaded
    for i, (source, previous) in enumerate(zip(io["A_src_tokens"], io["A_prev_output_tokens"])):
        length = io[f"U{i}_logits"].shape[1]
        source, previous = source[source != 1], previous[:length]
        logits = model(torch.from_numpy(source)[None], torch.from_numpy(previous)[None])
        assert_close(logits, io[f"U{i}_logits"])


def stepwise(model, memory, bias, previous, reorder=None):
    states = model.start(memory, previous.shape[1])
    rows = []
    for t in range(previous.shape[1]):
        if reorder is not None and t == 5:
            order = torch.from_numpy(reorder)
            states = [type(s)(*(x[order] for x in s)) for s in states]
            bias = bias[order]
        logits, states = model.step(previous[:, t : t + 1], torch.tensor([t]), bias, states)
        rows.append(logits)
    return torch.stack(rows, dim=1)


@needs_reference
def test_incremental_logits(loaded):
    model, io = loaded
    memory, bias = model.encode(tokens(io, "A_src_tokens"))
    assert_close(stepwise(model, memory, bias, tokens(io, "I_prev_output_tokens")), io["I_logits"])


@needs_reference
def test_incremental_logits_after_a_beam_reorder(loaded):
    model, io = loaded
    memory, bias = model.encode(tokens(io, "A_src_tokens"))
    fed = tokens(io, "J_prev_output_tokens")  # as if reordered from the first; undo that here
    fed[:, :5] = tokens(io, "I_prev_output_tokens")[:, :5]
    assert_close(stepwise(model, memory, bias, fed, io["J_order"]), io["J_logits"])
