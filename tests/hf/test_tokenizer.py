"""The tokenizer in transformers against our own."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from litecompress.errors import CheckpointError, InputError
from litecompress.fairseq.dictionary import Codes
from litecompress.fairseq.tokens import TextForm, build_tokenizer
from litecompress.hf import LiteTransformerTokenizer
from litecompress.model.config import EOS_ID, UNK_ID
from litecompress.tokenizer import SPECIAL_TOKENS, Tokenizer
from tests.models import LINES, ROOT, tokenizer

MODEL = ROOT / "models" / "multi30k-en-de"
MERGES = (("l", "o"), ("lo", "w</w>"), ("lo", "w"), ("low", "e"), ("lowe", "r</w>"))


@pytest.fixture(scope="module")
def shipped():
    return LiteTransformerTokenizer.from_pretrained(MODEL)


@pytest.fixture(scope="module")
def ours():
    return Tokenizer((MODEL / "tokenizer.json").read_bytes())


def imported() -> bytes:
    """As of an import: merges whose symbols are not all in the dictionary."""
    words = [*SPECIAL_TOKENS, "l@@", "o@@", "w", "low", "low@@", "e@@", "r"]
    return build_tokenizer(words, Codes(MERGES, (0, 2)), TextForm(pretokenized=True))


def folder_of(path, source: bytes, target: bytes | None = None):
    (path / "tokenizer.json").write_bytes(source)
    if target is not None:
        (path / "target_tokenizer.json").write_bytes(target)
    return path


@given(text=st.text(max_size=40).filter(str.strip))
def test_ids_and_text_are_ours(shipped, ours, text):
    ids = ours.encode(text)
    assert shipped(text).input_ids == ids
    assert shipped.decode(ids, skip_special_tokens=True) == ours.decode(ids)


def test_a_batch_is_padded_and_masked(shipped, ours):
    batch = shipped(LINES, padding=True, return_tensors="pt")
    for line, ids, mask in zip(LINES, batch.input_ids, batch.attention_mask, strict=True):
        assert ids[mask == 1].tolist() == ours.encode(line)
        assert (ids[mask == 0] == shipped.pad_token_id).all()
    assert shipped(LINES[0], add_special_tokens=False).input_ids == ours.encode(LINES[0])[:-1]
    cut = shipped(LINES, truncation=True, max_length=4, padding=True).input_ids
    assert all(len(ids) == 4 and ids[-1] == EOS_ID for ids in cut)


def test_special_tokens_and_sizes(shipped, ours):
    for token, expected in SPECIAL_TOKENS.items():
        assert shipped.convert_tokens_to_ids(token) == expected
    found = (shipped.bos_token_id, shipped.pad_token_id, shipped.eos_token_id, shipped.unk_token_id)
    assert found == (0, 1, 2, 3)
    assert len(shipped) == shipped.vocab_size == len(shipped.get_vocab()) == ours.vocab_size
    assert shipped.model_max_length == 1024


def test_what_only_segments_is_unknown(tmp_path):
    ours = Tokenizer(imported())
    theirs = LiteTransformerTokenizer.from_pretrained(folder_of(tmp_path, imported()))
    assert len(theirs) == ours.vocab_size == 11
    assert max(theirs.get_vocab().values()) == 10
    for text in ("low lower", "lowe l", "owl", "x"):
        assert theirs(text).input_ids == ours.encode(text)
        assert theirs([text], padding=True, return_tensors="np").input_ids.tolist() == [
            ours.encode(text)
        ]
    assert UNK_ID in ours.encode("lower")


def test_two_vocabularies(tmp_path):
    source, target = Tokenizer(imported()), tokenizer()
    theirs = LiteTransformerTokenizer.from_pretrained(folder_of(tmp_path, source.data, target.data))
    both = theirs(["lower low"], text_target=[LINES[2]])
    assert both.input_ids == [source.encode("lower low")]
    assert both.labels == [target.encode(LINES[2])]
    assert theirs("lower").input_ids == source.encode("lower")  # and back again
    assert theirs.batch_decode(both.labels, skip_special_tokens=True) == [
        target.decode(both.labels[0])
    ]
    saved = tmp_path / "saved"
    theirs.save_pretrained(saved)
    assert (saved / "tokenizer.json").read_bytes() == source.data
    assert (saved / "target_tokenizer.json").read_bytes() == target.data


def test_what_is_saved_is_what_was_read(shipped, ours, tmp_path):
    shipped(LINES, padding=True, truncation=True, max_length=5)  # leaves settings in the library
    shipped.save_pretrained(tmp_path)
    assert (tmp_path / "tokenizer.json").read_bytes() == ours.data
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert type(again) is LiteTransformerTokenizer
    assert again(LINES).input_ids == shipped(LINES).input_ids
    assert again.model_max_length == 1024
    copied = pickle.loads(pickle.dumps(again))
    assert copied(LINES).input_ids == shipped(LINES).input_ids


def test_a_language_model_has_the_sentence_end_in_front(tmp_path):
    theirs = LiteTransformerTokenizer.from_pretrained(
        folder_of(tmp_path, tokenizer().data), language_model=True
    )
    assert theirs(LINES[0]).input_ids == [EOS_ID, *tokenizer().encode(LINES[0])[:-1]]
    assert theirs.bos_token_id == EOS_ID
    theirs.save_pretrained(tmp_path / "saved")
    again = LiteTransformerTokenizer.from_pretrained(tmp_path / "saved")
    assert again(LINES[0]).input_ids == theirs(LINES[0]).input_ids


def test_a_vocabulary_cannot_be_extended(shipped):
    assert shipped.add_tokens(["</s>", "<unk>"]) == 0
    with pytest.raises(InputError, match="got <new>, dog; train"):
        shipped.add_tokens(["<new>", "dog"])


def test_a_foreign_tokenizer_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="expected a folder with tokenizer"):
        LiteTransformerTokenizer()
    with pytest.raises(CheckpointError, match="expected the JSON of a `tokenizers` tokenizer"):
        LiteTransformerTokenizer(str(folder_of(tmp_path, b"{}") / "tokenizer.json"))
