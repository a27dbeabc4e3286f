"""From a dictionary, and perhaps merges, to a tokenizer with the same ids.

With merges, a dictionary's `foo@@` is the symbol `foo` and its `foo` the symbol `foo` at the end of
a word. Merges pass through symbols that the dictionary lacks; these have ids above
`VOCABULARY_END` and stand for <unk> when they remain. A last piece that itself ends in `@@` does
too, although its spelling may be in the dictionary. Pieces are those of subword-nmt for merges as
it learns them, each of symbols that only earlier ones made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tokenizers import (
    AddedToken,
    Regex,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
)
from tokenizers import Tokenizer as _Tokenizer

from litecompress.errors import InputError
from litecompress.fairseq.dictionary import Codes
from litecompress.fairseq.raw_text import RawText
from litecompress.tokenizer import SPECIAL_TOKENS, VOCABULARY_END

CONTINUED = "@@"
WORD_END = "</w>"
UNKNOWN = "<unk>"
_END, _LAST = "\ufdd0", "\ufdd1"  # never characters of a text: the end of a word, and a second one


@dataclass(frozen=True)
class TextForm:
    """What a text is before it is segmented: raw, or words already apart; in which case."""

    pretokenized: bool = False
    lowercase: bool = False


def build_tokenizer(tokens: Sequence[str], codes: Codes | None, form: TextForm) -> bytes:
    """The content of `tokenizer.json` for tokens in the order of their ids.

    Without codes every word is looked up as it is, and text is never taken apart but at blanks.
    """
    tokenizer = _whole_words(tokens) if codes is None else _segmented(tokens, codes)
    raw = RawText.of(tokens) if codes is not None and not form.pretokenized else None
    before: list[normalizers.Normalizer] = [normalizers.Lowercase()] if form.lowercase else []
    before += raw.normalizers() if raw else []
    if codes is not None and codes.version == (0, 1):
        before += _marked_ends()
    if before:
        tokenizer.normalizer = normalizers.Sequence(before)
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    joined = _joined(tokens, codes)
    tokenizer.decoder = decoders.Sequence(joined + (raw.decoders() if raw else []))
    tokenizer.add_special_tokens([AddedToken(t, special=True) for t in SPECIAL_TOKENS])
    return tokenizer.to_str().encode()


def _joined(tokens: Sequence[str], codes: Codes | None) -> list[decoders.Decoder]:
    """Pieces to words with a blank between."""
    if codes is not None:
        suffix = WORD_END if codes.version == (0, 2) else _END + _LAST
        return [decoders.BPEDecoder(suffix=suffix), decoders.Fuse()]
    apart = [decoders.WordPiece(prefix=_END, cleanup=False), decoders.Fuse()]  # a blank before each
    if any(token.endswith(CONTINUED) for token in tokens):
        apart.append(decoders.Replace(Regex(rf"{CONTINUED}( |\z)"), ""))
    return apart


def _whole_words(tokens: Sequence[str]) -> _Tokenizer:
    return _Tokenizer(models.WordLevel({t: i for i, t in enumerate(tokens)}, unk_token=UNKNOWN))


def _segmented(tokens: Sequence[str], codes: Codes) -> _Tokenizer:
    if codes.version == (0, 2):
        vocabulary = _symbols(tokens, WORD_END)
        merges = list(codes.merges)
        _extend(vocabulary, merges)
        return _bpe(vocabulary, merges, end_of_word_suffix=WORD_END)
    vocabulary = _symbols(tokens, _END + _LAST)
    ended = [(_ended(a), _ended(b)) for a, b in codes.merges]
    return _bpe(vocabulary, _closed(vocabulary, ended))


def _bpe(vocabulary: dict[str, int], merges: list[tuple[str, str]], **options: str) -> _Tokenizer:
    return _Tokenizer(models.BPE(vocabulary, merges, unk_token=UNKNOWN, **options))


def _symbols(tokens: Sequence[str], end: str) -> dict[str, int]:
    """The symbol of each token, and the end of the vocabulary; two of one symbol are refused."""
    found: dict[str, int] = {}
    for token in tokens:
        inner = token.removesuffix(CONTINUED)
        plain = token in SPECIAL_TOKENS
        symbol = token if plain else inner if inner and inner != token else token + end
        if symbol in found:
            raise InputError(
                f"expected tokens of different symbols in the dictionary, got {token[:40]!r} and "
                f"another for {symbol[:40]!r}"
            )
        found[symbol] = len(found)
    found[VOCABULARY_END] = len(found)
    return found


def _extend(vocabulary: dict[str, int], merges: Sequence[tuple[str, str]]) -> None:
    """Ids for the symbols that merges take and make."""
    for first, second in merges:
        for symbol in (first, second, first + second):
            vocabulary.setdefault(symbol, len(vocabulary))


def _ended(symbol: str) -> str:
    return symbol.removesuffix(WORD_END) + _END if symbol.endswith(WORD_END) else symbol


def _marked_ends() -> list[normalizers.Normalizer]:
    """Two marks behind every word, for codes in which the end of a word is a symbol of its own."""
    return [
        normalizers.Replace(Regex(f"[{_END}{_LAST}]"), "\ufffd"),
        normalizers.Replace(Regex(r"(?<=\S)(?=\s|\z)"), _END + _LAST),
    ]


def _closed(vocabulary: dict[str, int], merges: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Merges after which each word ends in one symbol with both marks, ids for all added.

    Only the first mark takes part in the codes' own merges. Those that join what is left of the
    marks to the last piece come behind them all, so that they enable no other.
    """
    for token in list(vocabulary):
        if token.endswith(_END + _LAST) and len(token) == 3:
            vocabulary.setdefault(token[0], len(vocabulary))
    _extend(vocabulary, merges)
    inner = [s for s in vocabulary if s[-1] not in (_END, _LAST) and s != VOCABULARY_END]
    ended = [s for s in vocabulary if s[-1] == _END and s != _END]
    closing = [(_END, _LAST), *((s, _LAST) for s in ended), *((s, _END + _LAST) for s in inner)]
    _extend(vocabulary, closing)
    return merges + closing
