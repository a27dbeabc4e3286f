"""A language model's likelihood against its own distribution, one token at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from litecompress.errors import InputError
from litecompress.evaluate import running_text
from litecompress.evaluate.likelihood import likelihood_statistics
from litecompress.evaluate.running_text import Windows, line_nll, text_statistics
from litecompress.model.build import from_weights, network
from litecompress.model.config import EOS_ID, PAD_ID
from tests import models
from tests.reference import REFERENCE, needs_reference

BANDS = {"adaptive_cutoffs": (20, 60), "adaptive_factor": 2}


def language_model(**changes):
    torch.manual_seed(0)
    config = models.config(
        "dynamic",
        encoder_kernel_sizes=(),
        decoder_kernel_sizes=(3, 7),
        normalize_before=True,
        **changes,
    )
    return network(config).eval()


@pytest.fixture(scope="module", params=[{}, BANDS], ids=["plain", "adaptive"])
def model(request):
    return language_model(**request.param)


@pytest.fixture(scope="module")
def lines():
    return [models.tokenizer().encode(line) for line in models.LINES * 2]


def by_hand(model, lines, windows) -> list[float]:
    """Each token's likelihood from the tokens that its window shows before it."""
    stream = [EOS_ID, *(i for line in lines for i in line)]
    stride, nll = windows.window - windows.context, []
    with torch.no_grad():
        for t, token in enumerate(stream[1:]):
            seen = max(0, t // stride * stride - windows.context)
            log_probs = model(torch.tensor([stream[seen : t + 1]]))[0, -1]
            nll.append(-log_probs[token].item())
    parts = np.split(np.array(nll), np.cumsum([len(line) for line in lines])[:-1])
    return [part.sum() for part in parts]


@pytest.mark.parametrize("windows", [Windows(512, 256), Windows(16, 12), Windows(10, 0)])
def test_every_line_is_as_likely_as_by_hand(model, lines, windows):
    rows = line_nll(model, lines, windows)
    assert rows[:, 0] == pytest.approx(by_hand(model, lines, windows), abs=1e-3)
    assert rows[:, 1].tolist() == [len(line) for line in lines]


def test_batches_change_nothing(model, lines, monkeypatch):
    windows = Windows(16, 8)
    whole = line_nll(model, lines, windows)
    monkeypatch.setattr(running_text, "LOGITS", 1)
    assert line_nll(model, lines, windows) == pytest.approx(whole, abs=1e-4)


@given(st.integers(1, 200), st.integers(1, 40), st.data())
def test_windows_score_every_token_once_with_its_context(tokens, window, data):
    context = data.draw(st.integers(0, window - 1))
    spans = Windows(window, context).spans(tokens)
    scored = [t for _, start, end in spans for t in range(start, end)]
    assert scored == list(range(tokens))
    for seen, start, end in spans:
        assert start - seen == min(context, start)
        assert end - seen <= window


@pytest.mark.parametrize(("window", "context"), [(8, 8), (8, -1), (0, 0)])
def test_windows_that_cannot_move_are_refused(window, context):
    with pytest.raises(InputError, match="expected a context from 0 to below the window"):
        Windows(window, context)


def test_bits_a_character_count_line_ends():
    rows = np.array([[math.log(2) * 12, 3], [0, 2]])
    statistics = text_statistics(rows, ["abc", "d"], Windows(), "")
    assert statistics["bits_per_character"].score == pytest.approx(12 / 6)
    assert statistics["token_nll"].score == pytest.approx(math.log(2) * 12 / 5)
    assert "window:512|context:256" in statistics["token_nll"].signature


@needs_reference
def test_the_perplexity_that_the_authors_code_measured():
    from litecompress.fairseq.convert import read_checkpoint

    folder = REFERENCE / "tiny_lm64"
    theirs = read_checkpoint(folder / "checkpoint.pt")
    model = from_weights(theirs.config, {n: w.copy() for n, w in theirs.weights.items()})
    with np.load(folder / "io.npz") as io:
        blocks, expected = io["A_target"], float(io["A_ppl"])
    lines = [[token for token in block if token != PAD_ID] for block in blocks.tolist()]
    windows = Windows(blocks.shape[1], 0)
    rows = np.concatenate([line_nll(model, [line], windows) for line in lines])
    assert likelihood_statistics(rows, "", "")["perplexity"].score == pytest.approx(expected, 1e-5)
