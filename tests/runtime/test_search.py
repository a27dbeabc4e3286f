"""The search against every hypothesis that the authors' own generator produced."""

from __future__ import annotations

import numpy as np
import pytest

from litecompress.runtime.search import SearchConfig, beam_search, translate
from litecompress.runtime.torch_session import TorchSession
from tests import reference
from tests.reference import needs_reference

CONFIGS = ("greedy", "beam5", "beam4_lp06", "beam5_unnorm", "beam4_minlen6_unkpen1", "beam4_norep2")
NAMES = {
    "beam_size": "beam",
    "len_penalty": "length_penalty",
    "normalize_scores": "normalize",
    "min_len": "min_length",
    "max_len_a": "max_length_a",
    "max_len_b": "max_length_b",
    "unk_penalty": "unk_penalty",
    "no_repeat_ngram_size": "no_repeat_ngram",
}


@pytest.fixture(scope="module", params=reference.MODELS)
def loaded(request):
    return reference.load(request.param)


@needs_reference
@pytest.mark.parametrize("name", CONFIGS)
def test_generated_tokens_are_exactly_theirs(loaded, name):
    model, io = loaded
    given = reference.generation_config(io, name)
    config = SearchConfig(**{NAMES[k]: v for k, v in given.items()})
    found = beam_search(TorchSession(model), io["A_src_tokens"], config)
    for ours, tokens, scores in zip(
        found, io[f"G_{name}_tokens"], io[f"G_{name}_scores"], strict=True
    ):
        theirs = [tuple(row[row >= 0].tolist()) for row in tokens]
        assert [h.tokens for h in ours] == [row for row in theirs if row]
        np.testing.assert_allclose([h.score for h in ours], scores[: len(ours)], atol=1e-4)


class CountingSession:
    """Prefers token 4 + row sum until length 3, then </s>; counts its rows."""

    max_source = max_target = 100

    def start(self, source, length):
        from litecompress.runtime.session import State

        return State({"first": source[:, :1]}, {"steps": np.zeros((len(source), 1))})

    def step(self, tokens, step, state):
        from litecompress.runtime.session import State

        logits = np.zeros((len(tokens), 10), np.float32)
        ends = state.caches["steps"][:, 0] >= state.fixed["first"][:, 0]
        logits[np.arange(len(tokens)), np.where(ends, 2, state.fixed["first"][:, 0])] = 9
        return logits, State(state.fixed, {"steps": state.caches["steps"] + 1})


def test_sentences_of_a_batch_end_independently_and_keep_their_order():
    sources = [[5, 2], [7, 2], [4, 6, 2], [5, 2]]
    found = translate(CountingSession(), sources, SearchConfig(beam=1), batch=4)
    expected = [(5,) * 5 + (2,), (7,) * 7 + (2,), (4,) * 4 + (2,), (5,) * 5 + (2,)]
    assert [h.tokens for h in found] == expected


def test_a_hypothesis_never_exceeds_the_longest_length():
    config = SearchConfig(beam=2, max_length_a=0, max_length_b=3)
    for hypothesis in beam_search(CountingSession(), np.array([[9, 2]]), config)[0]:
        assert len(hypothesis.tokens) <= 4
        assert hypothesis.tokens[-1] == 2
