"""Tokenizers with the ids of a dictionary, against subword-nmt's algorithm written anew."""

from __future__ import annotations

import json
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as Plain

from litecompress.errors import InputError
from litecompress.fairseq.dictionary import Codes
from litecompress.fairseq.tokens import TextForm, build_tokenizer
from litecompress.model.config import EOS_ID, UNK_ID
from litecompress.tokenizer import SPECIAL_TOKENS, VOCABULARY_END, Tokenizer
from tests.fairseq import subword_nmt
from tests.reference import SHARED

MULTI30K = SHARED / "data" / "multi30k"
VERSIONS = [(0, 1), (0, 2)]
APART = TextForm(pretokenized=True)
LINES = [
    "a man in a blue shirt is standing on a ladder cleaning a window .",
    "two men are at the stove preparing food , and the other man watches .",
    "ein mann mit blauem hemd steht auf einer leiter und putzt ein fenster .",
    "mehrere männer bedienen eine maschine @-@ anlage , die größer ist als sie ...",
    "the @@ man's &apos;s l&apos; foo@@ bar aaaa aaaaaaa ababab mamama",
] * 2


class Segmented:
    """Merges learnt from lines, the dictionary of their pieces, and our tokenizer of both."""

    def __init__(self, lines, merges, version, least=1, form=APART):
        learnt = subword_nmt.learn(lines, merges, version)
        self.ranks = {pair: i for i, pair in enumerate(learnt)}
        self.version = version
        pieces = Counter(piece for line in lines for piece in self.pieces(line))
        kept = [piece for piece, count in pieces.most_common() if count >= least]
        self.tokens = [*SPECIAL_TOKENS, *kept]
        self.ids = {token: i for i, token in enumerate(self.tokens)}
        self.tokenizer = Tokenizer(
            build_tokenizer(self.tokens, Codes(tuple(learnt), version), form)
        )

    def pieces(self, text):
        return subword_nmt.apply(text, self.ranks, self.version)

    def expected(self, text):
        return [*(self.ids.get(piece, UNK_ID) for piece in self.pieces(text)), EOS_ID]


@pytest.fixture(scope="module", params=VERSIONS, ids=["0.1", "0.2"])
def small(request):
    return Segmented(LINES, 60, request.param, least=4)


@pytest.fixture(scope="module", params=VERSIONS, ids=["0.1", "0.2"])
def multi30k(request):
    if not MULTI30K.is_dir():
        pytest.skip("shared/data/multi30k is not beside the checkout")
    lines = [
        line
        for side in ("en", "de")
        for line in (MULTI30K / f"train.{side}").read_text("utf-8").split("\n")[:1500]
    ]
    return Segmented(lines, 400, request.param, least=3)


ALPHABET = sorted({c for line in LINES for c in line}) + list("zZ漢é\u0301\ufdd0\ufdd1@<>/w_")


@settings(max_examples=300)
@given(text=st.text(ALPHABET, max_size=40) | st.text(max_size=20))
def test_ids_of_any_text(small, text):
    text = " ".join(text.split())
    if not text.strip() or any(special in text for special in SPECIAL_TOKENS):
        return
    if any("\ud800" <= c <= "\udfff" or c in "\x1c\x1d\x1e\x1f" for c in text):
        return
    assert small.tokenizer.encode(text) == small.expected(text)


def test_ids_of_strings_of_symbols(small):
    rng = random.Random(0)
    symbols = [symbol.removesuffix("</w>") for pair in small.ranks for symbol in pair]
    for _ in range(3000):
        word = "".join(rng.choices(symbols, k=rng.randint(1, 8)))
        if word:
            assert small.tokenizer.encode(word) == small.expected(word), word


def test_ids_and_text_of_a_corpus(multi30k):
    unknown = 0
    for split in ("val.en", "val.de", "test_2016_flickr.de"):
        for line in (MULTI30K / split).read_text("utf-8").split("\n"):
            if line.strip():
                ids = multi30k.tokenizer.encode(line)
                assert ids == multi30k.expected(line)
                unknown += UNK_ID in ids
                if UNK_ID not in ids:
                    assert multi30k.tokenizer.decode(ids) == " ".join(line.split())
    assert 0 < unknown < 1000


def test_the_vocabulary_is_the_dictionary(multi30k):
    tokenizer = multi30k.tokenizer
    assert tokenizer.vocab_size == len(multi30k.tokens)
    inner = Plain.from_buffer(tokenizer.data)
    assert inner.token_to_id(VOCABULARY_END) == tokenizer.vocab_size
    assert inner.get_vocab_size() > tokenizer.vocab_size + 1
    assert json.loads(tokenizer.data)["model"]["type"] == "BPE"


def test_what_stays_between_merges_is_unknown():
    """`ab` is no token, but merges go through it."""
    tokens = [*SPECIAL_TOKENS, "abc", "c"]
    codes = Codes((("a", "b"), ("ab", "c</w>")), (0, 2))
    tokenizer = Tokenizer(build_tokenizer(tokens, codes, APART))
    assert tokenizer.vocab_size == 6
    assert tokenizer.encode("abc") == [4, EOS_ID]
    assert tokenizer.encode("abd c") == [UNK_ID, UNK_ID, 5, EOS_ID]


def test_merges_that_need_the_end_of_a_word_in_the_first_version():
    """Without `c </w>` the end never joins `bc`, whatever merges would follow."""
    tokens = [*SPECIAL_TOKENS, "a@@", "bc", "abc", "bc@@", "a"]
    merges = (("b", "c"), ("bc", "</w>"), ("a", "bc</w>"))
    tokenizer = Tokenizer(build_tokenizer(tokens, Codes(merges, (0, 1)), APART))
    assert tokenizer.encode("abc") == [6, EOS_ID]
    merges = (("b", "c"), ("a", "bc</w>"))
    tokenizer = Tokenizer(build_tokenizer(tokens, Codes(merges, (0, 1)), APART))
    assert tokenizer.encode("abc bca") == [4, 5, 7, 8, EOS_ID]


def test_tokens_of_one_symbol_are_refused():
    tokens = [*SPECIAL_TOKENS, "foo", "foo</w>@@"]
    with pytest.raises(InputError, match="another for 'foo</w>'"):
        build_tokenizer(tokens, Codes((), (0, 2)), APART)


@pytest.fixture(scope="module")
def words():
    tokens = [*SPECIAL_TOKENS, "the", "man", "wo@@", "Man", ".", "@@", "x@@@"]
    return Tokenizer(build_tokenizer(tokens, None, TextForm()))


def test_without_codes_a_token_is_a_word(words):
    assert words.vocab_size == 11
    assert words.encode("the  wo@@ man\tMan . dog.") == [4, 6, 5, 7, 8, UNK_ID, EOS_ID]
    assert words.encode("<unk> the") == [UNK_ID, 4, EOS_ID]


@pytest.mark.parametrize(
    ("ids", "text"),
    [
        ([4, 6, 5, 8, 2], "the woman ."),
        ([6, 6, 5, 4], "wowoman the"),
        ([4, 6], "the wo"),
        ([4, 6, 2], "the wo"),
        ([10, 5], "x@man"),
        ([], ""),
        ([0, 4, 1, 3, 2], "the"),
    ],
)
def test_text_as_fairseq_joins_it(words, ids, text):
    assert words.decode(ids) == text
    expected = " ".join(
        ["<s>", "<pad>", "</s>", "<unk>", "the", "man", "wo@@", "Man", ".", "@@", "x@@@"][i]
        for i in ids
        if i > UNK_ID
    )
    assert text == (expected + " ").replace("@@ ", "").rstrip()


def test_without_continuations_nothing_is_removed():
    tokens = [*SPECIAL_TOKENS, "a", "@@b"]
    tokenizer = Tokenizer(build_tokenizer(tokens, None, TextForm()))
    assert tokenizer.decode([4, 5, 4]) == "a @@b a"


def test_lower_case():
    tokens = [*SPECIAL_TOKENS, "straße", "é"]
    tokenizer = Tokenizer(build_tokenizer(tokens, None, TextForm(lowercase=True)))
    assert tokenizer.encode("Straße É") == [4, 5, EOS_ID]


def pieces_of_raw(extra, text, **form):
    """The words that raw text is divided into, by a dictionary with some more tokens."""
    characters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,'-é&;#@`"
    tokens = [*SPECIAL_TOKENS, *extra, *characters, *(f"{c}@@" for c in characters)]
    data = build_tokenizer(tokens, Codes((("q", "q"),), (0, 2)), TextForm(**form))
    tokenizer = Tokenizer(data)
    plain = [tokens[i] for i in tokenizer.encode(text)[:-1]]
    return (" ".join(plain) + " ").replace("@@ ", "").rstrip()


RAW = {
    "Hello, world! (yes)": "Hello , world <unk> <unk> yes <unk>",
    "1,000.5 a,b": "1,000.5 a , b",
    "The end.": "The end .",
    "U.S. and e.g. this one. Then": "U.S. and e.g. this one . Then",
    "wait... what": "wait ... what",
    "an x-ray": "an x-ray",
    "it's dogs' bones": "it ' s dogs ' bones",
    "a\u00a0b\tc": "a b c",
    "He said no.)": "He said no . <unk>",
    "e\u0301": "é",
}


@pytest.mark.parametrize(("text", "expected"), RAW.items())
def test_raw_text_is_divided_at_punctuation(text, expected):
    assert pieces_of_raw([], text) == expected
    assert pieces_of_raw([], text, pretokenized=True) == pieces_of_raw(
        [], " ".join(text.split()), pretokenized=True
    )


@pytest.mark.parametrize(
    ("extra", "text", "expected"),
    [
        (["'s"], "it's the dogs' don't", "it 's the dogs ' don 't"),
        (["l'"], "l'homme", "l' homme"),
        (["l'", "'s"], "l'homme d'or it's", "l' homme d' or it 's"),
        (["@-@"], "an x-ray - yes", "an x @-@ ray - yes"),
        (["&apos;s", "&quot;"], 'it\'s "a & b"', "it &apos;s &quot; a &amp; b &quot;"),
        (["&quot;"], "[a]", "&#91; a &#93;"),
        ([], "it’s", "it ' s"),
        (["’"], "it’s", "it ’ s"),
    ],
)
def test_raw_text_as_the_dictionary_was_made(extra, text, expected):
    assert pieces_of_raw(extra, text) == expected


@pytest.mark.parametrize(
    ("tokens", "text"),
    [
        (["Hello", ",", "world", "!"], "Hello, world!"),
        (["it", "&apos;s", "&quot;", "&amp;", "."], "it's \" &."),
        (["an", "x", "@-@", "ray"], "an x-ray"),
        (["(", "yes", ")", ".", "l'", "homme"], "(yes). l'homme"),
    ],
)
def test_decoded_text_is_written_as_usual(tokens, text):
    data = build_tokenizer([*SPECIAL_TOKENS, *tokens], Codes((("q", "q"),), (0, 2)), TextForm())
    assert Tokenizer(data).decode(range(4, 4 + len(tokens))) == text
