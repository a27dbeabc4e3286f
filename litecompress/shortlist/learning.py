"""A shortlist out of parallel text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from litecompress.errors import InputError
from litecompress.model.config import EOS_ID
from litecompress.shortlist.alignment import Lexicon, Pair, ibm_model1
from litecompress.shortlist.table import MOST_TARGETS, SPECIAL_IDS, Shortlist
from litecompress.tokenizer import NO_LIMIT, Tokenizers, encode_all

MOST_TOKENS = 200  # of a side; a longer pair says little of which word translates which


@dataclass(frozen=True)
class Settings:
    """How much a shortlist holds; whatever makes no sense is one InputError.

    `targets` of each source id at most, the likeliest, of probability `least` or more; and the
    `frequent` commonest targets for every sentence. `sentences` of a longer text are taken, evenly
    spread.
    """

    targets: int = 10
    frequent: int = 800
    least: float = 1e-3
    iterations: int = 3
    sentences: int = 200_000

    def __post_init__(self) -> None:
        bounds = {
            "targets": (0, MOST_TARGETS),
            "frequent": (0, None),
            "least": (0, 1),
            "iterations": (1, None),
            "sentences": (1, None),
        }
        problems = [
            f"{name} {'of at least ' + str(least) if most is None else f'from {least} to {most}'}, "
            f"got {value}"
            for name, (least, most) in bounds.items()
            if not (value := getattr(self, name)) >= least or (most is not None and value > most)
        ]
        if problems:
            raise InputError("shortlist: expected " + "; ".join(problems))


@dataclass(frozen=True)
class Learnt:
    """A shortlist, and of how many sentence pairs; others were `skipped` for their length."""

    shortlist: Shortlist
    sentences: int
    skipped: int

    def summary(self) -> dict[str, int]:
        """What it holds, and of how much text."""
        return {
            "source_ids": int((self.shortlist.counts > 0).sum()),
            "targets": len(self.shortlist.targets),
            "always": len(self.shortlist.always),
            "sentences": self.sentences,
            "skipped_sentences": self.skipped,
        }


def learn_from_text(
    sides: tuple[Sequence[str], Sequence[str]],
    tokenizers: Tokenizers,
    settings: Settings,
    *,
    copies: bool,
) -> Learnt:
    """From lines of source and target; those that are empty are one InputError."""
    count = len(sides[0])
    taken = min(count, settings.sentences)
    rows = [i * count // taken for i in range(taken)]
    sources, targets = (
        encode_all(tokenizer, [side[i] for i in rows], NO_LIMIT, name)
        for tokenizer, side, name in zip(tokenizers, sides, ("source", "target"), strict=True)
    )
    sizes = tokenizers.source.vocab_size, tokenizers.target.vocab_size
    return learn(sources, targets, sizes, settings, copies=copies)


def learn(
    sources: Sequence[Sequence[int]],
    targets: Sequence[Sequence[int]],
    vocab_sizes: tuple[int, int],
    settings: Settings,
    *,
    copies: bool,
) -> Learnt:
    """From sentences of ids that end in </s>, of vocabularies of such sizes (source, target).

    All pairs are taken; the same ones give the same table. `copies` says that both sides share a
    vocabulary. No sentence pair of at most MOST_TOKENS a side is an InputError.
    """
    pairs = [(_words(s), _words(t)) for s, t in zip(sources, targets, strict=True)]
    kept: list[Pair] = [pair for pair in pairs if _fits(*pair)]
    if not kept:
        raise InputError(
            f"shortlist: expected sentence pairs of at most {MOST_TOKENS} tokens a side, got none; "
            "give other text"
        )
    counts = np.bincount(np.concatenate([t for _, t in kept]), minlength=vocab_sizes[1])
    always = _always(counts, settings.frequent)
    likely = _likeliest(ibm_model1(kept, settings.iterations), always, settings)
    shortlist = Shortlist(
        vocab_size=vocab_sizes[1],
        always=always,
        counts=np.bincount(likely.sources, minlength=vocab_sizes[0]),
        targets=likely.targets,
        copies=copies,
    )
    return Learnt(shortlist, len(kept), len(pairs) - len(kept))


def _words(ids: Sequence[int]) -> Sequence[int]:
    """All but the </s> at the end."""
    return ids[:-1] if len(ids) and ids[-1] == EOS_ID else ids


def _fits(source: Sequence[int], target: Sequence[int]) -> bool:
    return min(len(source), len(target)) > 0 and max(len(source), len(target)) <= MOST_TOKENS


def _always(counts: NDArray[np.int64], frequent: int) -> NDArray[np.int64]:
    """The special ids and the commonest others that occur, ascending."""
    counts = counts.copy()
    counts[list(SPECIAL_IDS)] = 0
    order = np.argsort(-counts, kind="stable")[:frequent]
    return np.sort(np.concatenate([SPECIAL_IDS, order[counts[order] > 0]]))


def _likeliest(lexicon: Lexicon, always: NDArray[np.int64], settings: Settings) -> Lexicon:
    """The likeliest targets of each source id beside those that are candidates anyway."""
    keep = (lexicon.sources >= 0) & (lexicon.probabilities >= settings.least)
    keep &= ~np.isin(lexicon.targets, always)
    sources, targets = lexicon.sources[keep], lexicon.targets[keep]
    order = np.lexsort((targets, -lexicon.probabilities[keep], sources))
    ranks = np.arange(len(order)) - np.searchsorted(sources, sources)  # sources ascend in any case
    chosen = np.sort(order[ranks < settings.targets])
    return Lexicon(sources[chosen], targets[chosen], lexicon.probabilities[keep][chosen])
