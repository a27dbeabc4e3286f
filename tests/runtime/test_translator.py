"""Texts in, translations out."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import FrozenInstanceError

import pytest

import litecompress
from litecompress import Translator
from litecompress.errors import InputError
from litecompress.runtime.options import GenerationOptions, TranslationOptions
from litecompress.runtime.search import SearchConfig, n_best
from tests.runtime import trace

PACKAGE = trace.FOLDER / "onnx"
TEXTS = [source for source, _ in trace.PAIRS]
EXPECTED = [target for _, target in trace.PAIRS]


@pytest.fixture
def translator():
    return Translator.load(PACKAGE)


def test_it_translates_what_the_model_has_learnt(translator):
    found = translator.translate(TEXTS, beam=2)
    right = [t.text == expected for t, expected in zip(found, EXPECTED)]
    assert sum(right) >= 40  # of 48: the model is tiny


@pytest.mark.parametrize("batch_size", [1, 5, 64])
def test_order_and_results_do_not_depend_on_the_batch(translator, batch_size):
    found = translator.translate(TEXTS[:11], beam=3, max_length=14, batch_size=batch_size)
    alone = [translator.translate([text], beam=3, max_length=14)[0] for text in TEXTS[:11]]
    assert [t.tokens for t in found] == [t.tokens for t in alone]


def test_a_result_is_what_the_search_finds(translator):
    (found,) = translator.translate(TEXTS[:1], beam=4, n_best=3, length_penalty=0.5)
    source = translator.tokenizers.source.encode(TEXTS[0])
    (expected,) = n_best(translator.session, [source], SearchConfig(4, 0.5))
    assert [c.tokens for c in found.n_best] == [h.tokens for h in expected[:3]]
    assert [c.score for c in found.n_best] == [h.score for h in expected[:3]]
    best = found.n_best[0]
    assert (found.text, found.score, found.tokens) == (best.text, best.score, best.tokens)
    assert found.pieces == 1
    with pytest.raises(FrozenInstanceError, match="text"):
        found.text = ""


def test_artifact_and_package_agree(translator):
    ours = translator.translate(TEXTS[:4], beam=3)
    theirs = Translator.load(trace.FOLDER / "model", threads=1).translate(TEXTS[:4], beam=3)
    assert [t.text for t in ours] == [t.text for t in theirs]
    for a, b in zip(ours, theirs):
        assert a.score == pytest.approx(b.score, abs=1e-4)


def test_empty_texts_stay_in_place(translator):
    found = translator.translate(["", TEXTS[0], "  \t", TEXTS[5], ""])
    assert [t.text != "" for t in found] == [False, True, False, True, False]
    assert (found[0].tokens, found[0].score, found[0].n_best, found[0].pieces) == ((), 0.0, (), 0)
    assert translator.translate([]) == []


def test_characters_outside_the_vocabulary_are_no_obstacle(translator):
    unknown = "a 猫 ☃ reads \u200b\U0001f600 ."
    assert 3 in translator.tokenizers.source.encode(unknown)
    (found,) = translator.translate([unknown])
    assert found.tokens[-1] == 2


def test_what_cannot_be_translated_is_named_with_its_number(translator):
    translator.session.max_source = 8
    texts = ["a man .", "a man runs in the park .", "", "a man runs on the beach ."]
    with pytest.raises(InputError, match=r"sentence 12: expected at most 8 tokens, got \d+; split"):
        translator.translate(texts, first=11)
    with pytest.raises(InputError, match="sentence 14: expected at most 8"):
        translator.translate(texts, first=11)
    with pytest.raises(InputError, match=r"\(and 6 more\)"):
        translator.translate(texts[1:2] * 9)
    with pytest.raises(InputError, match="sentence 1: expected UTF-8"):
        translator.translate(["caf\udce9"])


def test_a_long_text_is_split_and_joined(translator):
    first, second = "a man runs .", "a woman reads on the beach ."
    whole = translator.translate([f"{first} {second}"], max_length=14)[0]
    assert whole.pieces == 1
    translator.session.max_source = 14
    found, other = translator.translate(
        [f"{first} {second}", second], overlong="split", beam=3, n_best=2, max_length=14
    )
    parts = translator.translate([first, second], beam=3, n_best=2, max_length=14)
    assert (found.pieces, other.pieces) == (2, 1)
    assert found.text == "ein Mann läuft . eine Frau liest am Strand ."
    for rank in range(2):
        candidates = [part.n_best[rank] for part in parts]
        assert found.n_best[rank].text == " ".join(c.text for c in candidates)
        assert found.n_best[rank].tokens == candidates[0].tokens + candidates[1].tokens
        total = sum(c.score * len(c.tokens) for c in candidates)
        length = len(found.n_best[rank].tokens)
        assert found.n_best[rank].score == pytest.approx(total / length, abs=1e-5)


def test_pieces_fit_the_model(translator):
    translator.session.max_source = 15
    text = " ".join(["a man runs on the beach ,"] * 9)
    (found,) = translator.translate([text], overlong="split", max_length=5)
    assert found.pieces == found.tokens.count(2)
    assert found.pieces >= len(translator.tokenizers.source.encode(text)) / 15


def test_longer_sources_are_cut_where_that_is_asked_for(translator):
    (cut,) = translator.translate(["a man reads in the park ."], max_source=6)
    ids = translator.tokenizers.source.encode("a man reads in the park .")
    expected = n_best(translator.session, [[*ids[:5], 2]], SearchConfig())
    assert cut.tokens == expected[0][0].tokens


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beam": 0}, "expected beam of at least 1, got 0"),
        ({"beam": 2, "n_best": 3}, "n_best of at most the beam, 2, got 3"),
        ({"batch_size": 0, "max_source": 1}, "batch_size .* got 0; max_source of at least 2"),
        ({"overlong": "drop"}, "refuse or split, got 'drop'"),
        ({"max_length": 0, "no_repeat_ngram": -1}, "no_repeat_ngram .*; max_length"),
    ],
)
def test_senseless_options_are_refused_together(options, message):
    with pytest.raises(InputError, match=message):
        TranslationOptions(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beam": 2, "seed": 1}, "beam 1 where tokens are drawn, got 2"),
        ({"temperature": 0.0}, "temperature above 0, got 0.0; beam 1 is greedy"),
        ({"temperature": float("nan")}, "temperature above 0, got nan"),
        ({"top_k": -1, "seed": -2}, "top_k of at least 0, got -1; seed"),
        ({"n_best": 2}, "n_best of at most the beam"),
    ],
)
def test_senseless_draws_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        GenerationOptions(**options)


def test_the_package_exports_it_when_asked():
    script = (
        "import sys, litecompress\n"
        "assert not any(m.startswith('litecompress.runtime') for m in sys.modules)\n"
        "assert 'numpy' not in sys.modules\n"
        "from litecompress import Generator, Translator\n"
        "assert Translator.__module__ == 'litecompress.runtime.translator'\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
    with pytest.raises(AttributeError, match="no attribute 'Translater'"):
        litecompress.Translater  # noqa: B018
