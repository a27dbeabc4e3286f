"""The vocabulary shortlist: learnt as IBM model 1 says, the same each time, and never trusted."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from litecompress.checkpoint import save_checkpoint
from litecompress.errors import InputError
from litecompress.model.config import EOS_ID
from litecompress.shortlist import (
    Settings,
    Shortlist,
    alignment,
    learn,
    load_shortlist,
    save_shortlist,
)
from litecompress.shortlist.alignment import NOTHING, ibm_model1
from litecompress.shortlist.learning import MOST_TOKENS, learn_from_text
from litecompress.shortlist.table import SPECIAL_IDS
from tests import models
from tests.command import run_command

VOCAB = 40
sentences = st.lists(st.integers(3, VOCAB - 1), min_size=1, max_size=6)
corpora = st.lists(st.tuples(sentences, sentences), min_size=1, max_size=8)


def plain_model1(pairs, iterations):
    """IBM model 1 word by word."""
    table = defaultdict(lambda: 1.0)
    for _ in range(iterations):
        counts, totals = defaultdict(float), defaultdict(float)
        for source, target in pairs:
            for t in target:
                norm = sum(table[s, t] for s in [NOTHING, *source])
                for s in [NOTHING, *source]:
                    counts[s, t] += table[s, t] / norm
                    totals[s] += table[s, t] / norm
        table = defaultdict(float, {(s, t): c / totals[s] for (s, t), c in counts.items()})
    return table


def ended(pairs):
    """Both sides apart, each sentence with its </s>."""
    return tuple([[*ids, EOS_ID] for ids in side] for side in zip(*pairs, strict=True))


def learnt(pairs, copies=True, **changes):
    asked = Settings(**{"targets": 3, "frequent": 4, **changes})
    return learn(*ended(pairs), (VOCAB, VOCAB), asked, copies=copies).shortlist


def random_pairs(count=60, seed=0):
    rng = np.random.default_rng(seed)
    return [
        tuple(rng.integers(4, VOCAB, rng.integers(1, 9)).tolist() for _ in range(2))
        for _ in range(count)
    ]


@settings(deadline=None)
@given(corpora, st.integers(1, 4))
def test_alignment_is_ibm_model_1(pairs, iterations):
    lexicon = ibm_model1(pairs, iterations)
    expected = plain_model1(pairs, iterations)
    keys = list(zip(lexicon.sources.tolist(), lexicon.targets.tolist(), strict=True))
    assert keys == sorted(expected)
    np.testing.assert_allclose(lexicon.probabilities, [expected[key] for key in keys], atol=1e-12)
    totals = np.bincount(lexicon.sources - NOTHING, lexicon.probabilities)
    np.testing.assert_allclose(totals[totals > 0], 1)


def test_blocks_of_any_size_give_the_same(monkeypatch):
    whole = ibm_model1(random_pairs(), 3)
    for size in (1, 50):
        monkeypatch.setattr(alignment, "BLOCK_LINKS", size)
        parts = ibm_model1(random_pairs(), 3)
        np.testing.assert_array_equal(parts.targets, whole.targets)
        np.testing.assert_allclose(parts.probabilities, whole.probabilities, atol=1e-12)


def test_a_planted_dictionary_is_found():
    rng = np.random.default_rng(0)
    meaning = rng.permutation(np.arange(4, VOCAB))
    sources = [rng.choice(np.arange(4, VOCAB), 5, replace=False) for _ in range(400)]
    pairs = [(s.tolist(), rng.permutation(meaning[s - 4]).tolist()) for s in sources]
    shortlist = learnt(pairs, copies=False, targets=1, frequent=0)
    for source in range(4, VOCAB):
        assert shortlist.candidates([source]).tolist() == [*SPECIAL_IDS, meaning[source - 4]]


@settings(deadline=None, max_examples=40)
@given(corpora, st.integers(0, 5), st.integers(0, 9), st.sampled_from([0, 0.1, 0.4]))
def test_a_row_has_the_likeliest_beside_the_frequent(pairs, targets, frequent, least):
    found = learnt(pairs, copies=False, targets=targets, frequent=frequent, least=least)
    counts = Counter(t for _, target in pairs for t in target if t not in SPECIAL_IDS)
    commonest = sorted(counts, key=lambda t: (-counts[t], t))[:frequent]
    assert found.always.tolist() == sorted([*SPECIAL_IDS, *commonest])
    lexicon = ibm_model1(pairs, Settings().iterations)
    rows = defaultdict(list)
    for s, t, p in zip(lexicon.sources, lexicon.targets, lexicon.probabilities, strict=True):
        if p >= least and t not in found.always:
            rows[int(s)].append((-p, int(t)))
    for source in range(VOCAB):
        likely = [t for _, t in sorted(rows[source])[:targets]]
        assert found.candidates([source]).tolist() == sorted([*found.always, *likely])


@settings(deadline=None)
@given(
    st.lists(st.integers(0, VOCAB - 1), max_size=12),
    st.integers(1, 16),
    st.booleans(),
    st.integers(0, 9),
)
def test_candidates_are_the_union_of_what_the_source_may_need(source, multiple, copies, seed):
    shortlist = learnt(random_pairs(seed=seed), copies=copies)
    starts = np.concatenate([[0], np.cumsum(shortlist.counts)])
    rows = [shortlist.targets[starts[s] : starts[s + 1]] for s in source]
    needed = set(np.concatenate([shortlist.always, *rows, source if copies else []]).tolist())
    assert shortlist.candidates(source).tolist() == sorted(needed)
    found = shortlist.candidates(source, multiple)
    assert needed <= set(found.tolist())
    assert len(found) - len(needed) < multiple
    assert len(found) % multiple == 0 or len(found) == VOCAB
    assert (np.diff(found) > 0).all()
    assert found.max() < VOCAB
    assert tuple(found[: len(SPECIAL_IDS)]) == SPECIAL_IDS  # where a search looks for them


def test_candidates_of_a_batch_are_those_of_its_sentences_together():
    shortlist = learnt(random_pairs())
    batch = np.array([[5, 9, EOS_ID], [30, EOS_ID, 1]])
    both = set(shortlist.candidates(batch[0])) | set(shortlist.candidates(batch[1]))
    assert set(shortlist.candidates(batch)) == both


def test_a_file_reads_back_and_is_the_same_each_time(tmp_path):
    for copies in (True, False):
        first, second = (learnt(random_pairs(), copies=copies) for _ in range(2))
        for path, shortlist in ((tmp_path / "a", first), (tmp_path / "b", second)):
            save_shortlist(shortlist, path)
        assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
        back = load_shortlist(tmp_path / "a", VOCAB, VOCAB)
        assert back.copies is copies
        for source in range(VOCAB):
            np.testing.assert_array_equal(back.candidates([source]), first.candidates([source]))


def test_ids_take_four_bytes_only_in_a_large_vocabulary(tmp_path):
    small = Shortlist(2**16, np.arange(5), np.array([1]), np.array([2**16 - 1]), copies=False)
    large = replace(small, vocab_size=2**16 + 1, targets=np.array([2**16]))
    for shortlist, size in ((small, 2), (large, 4)):
        save_shortlist(shortlist, tmp_path / "file")
        back = load_shortlist(tmp_path / "file", 1, shortlist.vocab_size)
        assert back.targets.itemsize == size
        assert back.candidates([0])[-1] == shortlist.targets[0]


@pytest.fixture
def arrays(tmp_path):
    """The path of a good file, and its arrays."""
    save_shortlist(learnt(random_pairs()), tmp_path / "file")
    return tmp_path / "file", load_file(tmp_path / "file")


def test_what_is_no_such_file_is_refused(tmp_path, arrays, monkeypatch):
    path, good = arrays
    content = path.read_bytes()
    with pytest.raises(InputError, match=r"expected a shortlist at .*none, got none"):
        load_shortlist(tmp_path / "none", VOCAB, VOCAB)
    for damaged in (b"", content[:50], content[:-1], b"\xff" * 8 + content[8:]):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="cannot be read as a shortlist"):
            load_shortlist(path, VOCAB, VOCAB)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"for 41 source ids and 40 target ids, got .1, 40, 40"):
        load_shortlist(path, VOCAB + 1, VOCAB)
    monkeypatch.setattr("litecompress.shortlist.file.LIMIT_BYTES", len(content) - 1)
    with pytest.raises(InputError, match=r"expected at most .* bytes"):
        load_shortlist(path, VOCAB, VOCAB)
    assert set(good) == {"header", "counts", "always", "targets"}


WRONG = {
    "another version": ({"header": [2, VOCAB, VOCAB, 1]}, "of version 1 .* got .2, 40"),
    "no flag": ({"header": [1, VOCAB, VOCAB, 7]}, "got .1, 40, 40, 7"),
    "a short header": ({"header": [1, VOCAB, VOCAB]}, "got .1, 40, 40."),
    "too few counts": ({"counts": [0] * 3, "targets": []}, "expected 40 counts, got 3"),
    "more counted": ({"counts": [9] * VOCAB}, "expected 360 targets, as counted"),
    "ids beyond": ({"always": [0, 1, 2, 3, 900]}, "below the vocabulary of 40, got 900"),
    "no specials": ({"always": [4, 5]}, "the special ids .* always"),
    "twice": ({"always": [0, 1, 2, 3, 3]}, "always candidates ascending"),
    "another number": ({"counts": np.zeros(VOCAB, np.float32)}, "expected a shortlist of header"),
    "two axes": ({"always": np.zeros((2, 2), np.uint16)}, "expected a shortlist of header"),
    "one array more": ({"extra": [1]}, "expected a shortlist of header"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_file_with_wrong_content_is_refused(arrays, name):
    path, good = arrays
    changes, message = WRONG[name]
    dtypes = {key: array.dtype for key, array in good.items()}
    changed = {
        key: value if isinstance(value, np.ndarray) else np.array(value, dtypes.get(key, np.uint8))
        for key, value in changes.items()
    }
    save_file({**good, **changed}, path)
    with pytest.raises(InputError, match=message):
        load_shortlist(path, VOCAB, VOCAB)


def test_a_row_out_of_order_is_refused(arrays):
    path, good = arrays
    row = int(np.argmax(good["counts"]))
    start = int(good["counts"][:row].sum())
    assert good["counts"][row] > 1
    good["targets"][[start, start + 1]] = good["targets"][[start + 1, start]]
    save_file(good, path)
    with pytest.raises(InputError, match="the targets of every source id ascending"):
        load_shortlist(path, VOCAB, VOCAB)


def test_all_settings_that_make_no_sense_are_named():
    with pytest.raises(InputError, match=r"targets from 0 to 255, got 256; .*least .*; iterations"):
        Settings(targets=256, least=float("nan"), iterations=0)


def test_overlong_pairs_are_counted_and_left_out():
    long = [5] * (MOST_TOKENS + 1)
    found = learn(
        *ended([([4], [6]), (long, [7]), ([4], long)]), (VOCAB, VOCAB), Settings(), copies=True
    )
    assert (found.sentences, found.skipped) == (1, 2)
    assert found.shortlist.always.tolist() == [*SPECIAL_IDS, 6]
    with pytest.raises(InputError, match=f"of at most {MOST_TOKENS} tokens a side, got none"):
        learn(*ended([(long, [7])]), (VOCAB, VOCAB), Settings(), copies=True)


def test_sentences_are_taken_evenly_through_the_text():
    artifact = models.artifact()
    lines = [f"{line} {i}" for i, line in enumerate(models.LINES * 4)]
    found = learn_from_text(
        (lines, lines), artifact.tokenizers(), Settings(sentences=4), copies=True
    )
    first = learn_from_text(
        (lines[::4], lines[::4]), artifact.tokenizers(), Settings(), copies=True
    )
    assert found.sentences == 4
    np.testing.assert_array_equal(found.shortlist.targets, first.shortlist.targets)


@pytest.fixture
def files(tmp_path):
    """A model, and its training text in both shapes."""
    (tmp_path / "model").mkdir()
    save_checkpoint(models.checkpoint(), tmp_path / "model")
    (tmp_path / "text.en").write_text("\n".join(models.LINES))
    (tmp_path / "text.de").write_text("\n".join(reversed(models.LINES)))
    rows = zip(models.LINES, reversed(models.LINES), strict=True)
    (tmp_path / "text.tsv").write_text("\n".join("\t".join(row) for row in rows))
    return tmp_path


def test_the_command_writes_one_file_of_either_text(files, monkeypatch, capsys):
    def call(*words):
        return run_command(monkeypatch, capsys, "shortlist", "-m", files / "model", *words)

    sides = "--source", files / "text.en", "--target", files / "text.de"
    code, out, err = call(*sides, "-o", files / "a", "--json", "--frequent", 5)
    values = json.loads(out)
    assert (code, err) == (0, "")
    assert values["bytes"] == (files / "a").stat().st_size
    assert (values["always"], values["sentences"], values["skipped_sentences"]) == (9, 4, 0)
    vocab = models.config().target_vocab_size
    assert len(load_shortlist(files / "a", vocab, vocab).targets) == values["targets"]
    assert call("--pairs", files / "text.tsv", "-o", files / "b", "--frequent", 5)[0] == 0
    assert (files / "a").read_bytes() == (files / "b").read_bytes()
    code, _, err = call(*sides, "-o", files / "a")
    assert (code, "use --force" in err) == (2, True)
    assert call(*sides, "-o", files / "a", "--force")[0] == 0


def test_the_command_refuses_what_is_no_parallel_text(files, monkeypatch, capsys):
    def call(*words):
        words = "-m", files / "model", "-o", files / "out", *words
        return run_command(monkeypatch, capsys, "shortlist", *words)

    text, pairs = files / "text.en", files / "text.tsv"
    for words, got in (
        ((), "got none"),
        (("--source", text), "got --source"),
        (("--source", text, "--pairs", pairs), "got --source and --pairs"),
        (("--source", text, "--target", files / "no"), "expected a text file at"),
        (("--pairs", pairs, "--targets", 999), "expected targets from 0 to 255, got 999"),
    ):
        code, out, err = call(*words)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert got in err
    assert not (files / "out").exists()
