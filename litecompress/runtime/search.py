"""Greedy and beam search over any session, in NumPy (docs/integration.md has it as a page)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from litecompress.model.config import EOS_ID, PAD_ID
from litecompress.runtime.beams import Beams
from litecompress.runtime.chooser import Chooser
from litecompress.runtime.hypothesis import Hypothesis, SearchConfig, checked
from litecompress.runtime.session import Decoder, Session, State, Tokens
from litecompress.runtime.single import Greedy

__all__ = [
    "Hypothesis",
    "SearchConfig",
    "beam_search",
    "decode",
    "n_best",
    "pad_right",
    "translate",
]


def beam_search(
    session: Session, source: Tokens, config: SearchConfig, *, scores: bool = True
) -> list[list[Hypothesis]]:
    """Decode a padded batch (B, S): for each sentence its finished hypotheses, best first.

    Greedy search is quicker without `scores`, which are then 0; beams cannot do without.
    """
    most = min(config.most(source.shape[1]), session.max_target - 1)
    begun = np.full((len(source), 1), EOS_ID)
    state = session.start(source, most + 1)
    if config.beam == 1:
        return decode(session, state, Greedy(config, most, begun, scores=scores))
    return decode(session, state, Beams(config, most, begun))


def decode(
    session: Decoder, state: State, chooser: Chooser, *, cut: bool = False
) -> list[list[Hypothesis]]:
    """Step and choose until every row is finished: of each sentence its hypotheses, best first.

    With `cut` a row that has written all that it may is taken as it stands, without </s>.
    """
    for step in range(chooser.first, chooser.first + chooser.most + (not cut)):
        logits, state = session.step(chooser.newest, step, state)
        kept = chooser.advance(logits)
        if kept is None:
            break
        if kept.parents is not None:
            state = state.rows(kept.parents, same_sources=kept.same_sources)
    else:
        chooser.cut()
    state.release()
    found = [sorted(found, key=lambda h: h.score, reverse=True) for found in chooser.finished]
    if state.candidates is None:
        return found
    return [[h.named(state.candidates) for h in hypotheses] for hypotheses in found]


def translate(
    session: Session, sources: Sequence[Sequence[int]], config: SearchConfig, batch: int = 32
) -> list[Hypothesis]:
    """The best hypothesis of each source, decoded in batches of like length."""
    return [found[0] for found in n_best(session, sources, config, batch)]


def n_best(
    session: Session,
    sources: Sequence[Sequence[int]],
    config: SearchConfig,
    batch: int = 32,
    *,
    scores: bool = True,
) -> list[Sequence[Hypothesis]]:
    """The hypotheses of each source, best first, decoded in batches of like length."""
    order = sorted(range(len(sources)), key=lambda i: len(sources[i]))
    found: dict[int, Sequence[Hypothesis]] = {}
    for start in range(0, len(order), batch):
        group = order[start : start + batch]
        padded = pad_right([sources[i] for i in group])
        hypotheses = beam_search(session, padded, config, scores=scores)
        found.update(zip(group, map(checked, hypotheses), strict=True))
    return [found[i] for i in range(len(sources))]


def pad_right(rows: Sequence[Sequence[int]]) -> Tokens:
    """Rows of ids as one array (B, S)."""
    if len(rows) == 1:
        return np.array(rows, np.int64)
    padded = np.full((len(rows), max(map(len, rows))), PAD_ID, np.int64)
    for i, row in enumerate(rows):
        padded[i, : len(row)] = row
    return padded
