"""Caches whose rows and steps are chosen, repeated, reordered and taken back."""

from __future__ import annotations

import pytest
import torch

from litecompress.errors import InputError
from tests.hf.models import (
    CAUSAL,
    SEQ2SEQ,
    adapted,
    padded,
    prompts,
    random_language_model,
    random_network,
    texts,
)


@pytest.fixture(params=SEQ2SEQ)
def net(request):
    return random_network(**SEQ2SEQ[request.param])


@pytest.fixture(params=CAUSAL)
def language_model(request):
    return adapted(random_language_model(**CAUSAL[request.param]))


def test_drafts_that_are_taken_back_leave_no_trace(language_model):
    tokens = torch.tensor([[2, 5, 6, 7, 8, 5, 6, 7, 9, 5, 6]])
    expected = language_model.generate(tokens, max_new_tokens=15)
    drafted = language_model.generate(tokens, max_new_tokens=15, prompt_lookup_num_tokens=4)
    assert drafted.tolist() == expected.tolist()
    assistant = adapted(random_language_model(seed=5))
    assisted = language_model.generate(tokens, max_new_tokens=15, assistant_model=assistant)
    assert assisted.tolist() == expected.tolist()


def test_rows_of_a_cache_can_be_chosen_repeated_and_taken_back(net):
    model, source = adapted(net), padded(texts())
    target = padded(prompts((8, 8, 8)))

    def step(cache, tokens, rows):
        return model(source[rows], decoder_input_ids=tokens, past_key_values=cache, use_cache=True)

    def logits(rows, length):
        return net(source[rows], target[rows, : length + 1])[:, -1]

    everything = torch.arange(3)
    cache = step(None, target[:, :4], everything).past_key_values
    cache.activate_past_recording()
    step(cache, target[:, 1:4], everything)  # wrong tokens
    cache.crop(-3)
    chosen = torch.tensor([2, 0])
    cache.batch_select_indices(chosen)
    output = step(cache, target[chosen, 4:5], chosen)
    torch.testing.assert_close(output.logits[:, -1], logits(chosen, 4), rtol=1e-5, atol=1e-5)
    cache.crop(0)
    cache.batch_repeat_interleave(2)
    repeated = chosen.repeat_interleave(2)
    assert cache.batch_size == 4
    assert cache.get_seq_length() == 5
    output = step(cache, target[repeated, 5:6], repeated)
    torch.testing.assert_close(output.logits[:, -1], logits(repeated, 5), rtol=1e-5, atol=1e-5)
    with pytest.raises(InputError, match="expected minus the number of positions"):
        cache.crop(-7)
    cache.reset()
    assert cache.get_seq_length() == 0
    output = step(cache, target[:, :1], everything)
    torch.testing.assert_close(output.logits[:, -1], logits(everything, 0), rtol=1e-5, atol=1e-5)


def test_steps_that_were_not_recorded_cannot_be_taken_back():
    model = adapted(random_language_model())
    cache = model(padded(prompts((9,)))).past_key_values
    with pytest.raises(InputError, match="call activate_past_recording before"):
        cache.crop(-1)
