"""Parity: how far the outputs of one session are from those of another, on real sentences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from litecompress.model.config import EOS_ID
from litecompress.runtime.search import SearchConfig, pad_right, translate
from litecompress.runtime.session import Logits, Session


@dataclass(frozen=True)
class Parity:
    """One target against the reference.

    `psnr_db` is 20 log10(max |reference| / RMSE) over the logits of all real positions, with the
    reference's own tokens fed to both; infinite when equal. `token_agreement` is the share of those
    positions whose best token is the same; `greedy_agreement` the share of sentences whose whole
    greedy decode is, null where it was not run.
    """

    target: str
    level: str
    precision: str
    sentences: int
    psnr_db: float
    max_abs_err: float
    token_agreement: float
    greedy_agreement: float | None

    def to_dict(self) -> dict[str, Any]:
        """For the report: null for the PSNR of equal outputs and for an error that is no number."""
        values = asdict(self)
        return values | {k: finite(values[k]) for k in ("psnr_db", "max_abs_err")}


@dataclass(frozen=True)
class Reference:
    """Sentences, the reference model's greedy tokens for each (at most `length`, </s> included),
    and its logits (T, V) on those."""

    length: int
    sources: tuple[tuple[int, ...], ...]
    tokens: tuple[tuple[int, ...], ...]
    logits: tuple[Logits, ...]

    @classmethod
    def of(cls, session: Session, sources: Sequence[Sequence[int]], length: int) -> Reference:
        """Decode greedily, one sentence at a time."""
        tokens = greedy_tokens(session, sources, length)
        logits = (forced_logits(session, s, t) for s, t in zip(sources, tokens, strict=True))
        return cls(length, tuple(map(tuple, sources)), tokens, tuple(logits))


def greedy_tokens(
    session: Session, sources: Sequence[Sequence[int]], length: int
) -> tuple[tuple[int, ...], ...]:
    """Greedy translations of at most `length` tokens, </s> included."""
    config = SearchConfig(beam=1, max_length_a=0, max_length_b=length - 1)
    return tuple(h.tokens for h in translate(session, sources, config, batch=1))


def forced_logits(session: Session, source: Sequence[int], tokens: Sequence[int]) -> Logits:
    """Logits (T, V) at every position of a sentence when these tokens are fed."""
    state = session.start(pad_right([source]), len(tokens))
    rows = []
    for step, token in enumerate([EOS_ID, *tokens[:-1]]):
        logits, state = session.step(np.array([token]), step, state)
        rows.append(logits[0])
    return np.stack(rows)


def parity(
    reference: Reference, session: Session, target: str, level: str, precision: str, *, greedy: bool
) -> Parity:
    """Compare a session with the reference; `greedy` decodes freely as well."""
    pairs = zip(reference.sources, reference.tokens, strict=True)
    ours = np.concatenate([forced_logits(session, s, t) for s, t in pairs])  # (N, V)
    theirs = np.concatenate(reference.logits)
    return Parity(
        target,
        level,
        precision,
        len(reference.sources),
        psnr_db(theirs, ours),
        float(np.abs(theirs - ours).max()),
        float((theirs.argmax(-1) == ours.argmax(-1)).mean()),
        greedy_agreement(reference, session) if greedy else None,
    )


def greedy_agreement(reference: Reference, session: Session) -> float:
    """Share of sentences whose whole greedy decode gives exactly the reference's tokens."""
    found = greedy_tokens(session, reference.sources, reference.length)
    same = [ours == theirs for ours, theirs in zip(found, reference.tokens, strict=True)]
    return sum(same) / len(same)


def psnr_db(reference: Logits, other: Logits) -> float:
    """20 log10(max |reference| / RMSE); infinite when equal, 0 when either is not all finite."""
    mse = float(np.mean(np.square(reference.astype(np.float64) - other)))
    peak = float(np.abs(reference).max())
    if not (math.isfinite(mse) and math.isfinite(peak)):
        return 0.0
    if not mse:
        return math.inf
    return 20 * math.log10(peak / math.sqrt(mse)) if peak else 0.0


def finite(value: float | None) -> float | None:
    """The value, or None where JSON has no number for it."""
    return value if value is not None and math.isfinite(value) else None
