"""All checks of one package that runs: logits, whole decodes, emulated cores, where it departs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from litecompress.arm.cores import Core
from litecompress.arm.root import Root
from litecompress.tokenizer import Tokenizer
from litecompress.verify.check import Bounds, Check, Level
from litecompress.verify.decoding import Score, bleu_check, decoded, tokens_check
from litecompress.verify.departure import Departure
from litecompress.verify.difference import Difference, Row
from litecompress.verify.emulated import on_core
from litecompress.verify.lengths import rows_of, spread_lengths
from litecompress.verify.locate import locate
from litecompress.verify.logits import BATCHES, Pair, batches, by_length, forced, padded

SCHEMA_VERSION = 1
HEALTHY_DB = 20.0  # by how much inner outputs of a sound package may be below its logits
Say = Callable[[str], None]


@dataclass(frozen=True)
class Subject:
    """A package under test. Without a `reference` it is compared with itself."""

    package: Path
    target: str
    level: Level
    precision: str
    session: Any
    reference: Any | None
    tokenizer: Tokenizer  # of the target side
    is_language_model: bool = False
    leaky: bool = False
    buckets: tuple[int, ...] = ()
    against: str | None = None


@dataclass(frozen=True)
class Text:
    """Sentences as ids, and what they should become where that is known."""

    sources: Sequence[tuple[int, ...]]
    references: Sequence[str] | None = None


@dataclass(frozen=True)
class Plan:
    """How much is looked at: the longest sequence, the beam, and emulated cores."""

    bounds: Bounds
    longest: int
    beam: int = 5
    cores: tuple[Core, ...] = ()
    core_sentences: int = 40


@dataclass
class Verification:
    """What was found about a package."""

    subject: Subject
    bounds: Bounds
    checks: list[Check] = field(default_factory=list)
    located: Departure | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether no check failed."""
        return all(check.passed is not False for check in self.checks)

    def to_dict(self) -> dict[str, Any]:
        """As documented in docs/verify.md."""
        subject = self.subject
        return {
            "schema_version": SCHEMA_VERSION,
            "package": str(subject.package),
            "target": subject.target,
            "precision": subject.precision,
            "against": subject.against,
            "passed": self.passed,
            "bounds": vars(self.bounds),
            "checks": [check.to_dict() for check in self.checks],
            "located": self.located.to_dict() if self.located else None,
            "notes": self.notes,
        }


def verify(
    subject: Subject, text: Text, plan: Plan, score: Score, found: Verification, say: Say
) -> Verification:
    """Add every check to what was `found` so far."""
    reference = subject.reference or subject.session
    pair = Pair(reference, subject.session, subject.level, plan.bounds, subject.leaky)
    say("decode")
    theirs = _targets(subject, reference, text, plan)
    rows = [
        Row(() if subject.is_language_model else source, target)
        for source, target in zip(text.sources, theirs, strict=True)
    ]
    failing: list[Row] = []
    if subject.reference is not None:
        say("logits")
        lengths = rows_of(spread_lengths(plan.longest, subject.buckets), rows)
        checks = list(by_length(pair, lengths))
        failing = [r for r, c in zip(lengths, checks, strict=True) if c.passed is False]
        say("sentences")
        found.checks += [*checks, *_sentences(subject, pair, rows, text, plan, score)]
    say("padding and batches")
    found.checks += _shapes(subject, pair, rows)
    found.checks += _cores(subject, rows, plan, say)
    if failing:
        say("locate")
        found.located = _located(subject, failing, plan.bounds)
    return found


def _shapes(subject: Subject, pair: Pair, rows: Sequence[Row]) -> Iterator[Check]:
    """What must not change the answer: padding, and other sentences beside one."""
    if not subject.is_language_model:
        middle = sorted(rows, key=lambda row: len(row.source))[len(rows) // 2]
        yield from padded(pair, middle, subject.session.max_source)
    ordered = sorted(rows, key=lambda row: len(row.target))
    yield from batches(pair, ordered[:: max(1, len(rows) // max(BATCHES))])


def _targets(subject: Subject, reference: Any, text: Text, plan: Plan) -> Sequence[tuple[int, ...]]:
    """The tokens to feed: what the reference writes, or the text itself of a language model."""
    if subject.is_language_model:
        return text.sources
    return decoded(reference, subject.session, text.sources, plan.beam)


def _sentences(
    subject: Subject, pair: Pair, rows: Sequence[Row], text: Text, plan: Plan, score: Score
) -> Iterator[Check]:
    """Real sentences: teacher forcing, then whole decodes or perplexity."""
    difference = forced(pair, rows)
    yield pair.check("forced", f"{len(rows)} sentences", difference)
    if subject.is_language_model:
        yield _perplexity(pair, difference, len(rows))
        return
    theirs = [row.target for row in rows]
    ours = decoded(subject.session, subject.session, text.sources, plan.beam)
    yield tokens_check(pair, theirs, ours, plan.beam)
    if text.references is not None:
        yield bleu_check(pair, theirs, ours, text.references, subject.tokenizer, score)


def _perplexity(pair: Pair, difference: Difference, texts: int) -> Check:
    model, package = difference.perplexities
    figures = {
        "perplexity": package,
        "perplexity_model": model,
        "perplexity_ratio": package / model,
    }
    bounds = pair.bounds.only("perplexity_ratio")
    return Check("perplexity", f"{texts} texts", pair.level, figures, bounds)


def _cores(subject: Subject, rows: Sequence[Row], plan: Plan, say: Say) -> Iterator[Check]:
    """The same package on every emulated core, on sentences of all lengths."""
    ordered = sorted(rows, key=lambda row: len(row.target))
    chosen = ordered[:: -(-len(ordered) // plan.core_sentences)]
    for core in plan.cores:
        say(f"{core.name}, emulated")
        yield on_core(
            Root.default(),
            core,
            subject.package,
            subject.target,
            chosen,
            subject.session,
            plan.bounds,
        )


def _located(subject: Subject, rows: Sequence[Row], bounds: Bounds) -> Departure | None:
    """Where the shortest of the rows that fail departs, one word being too short to tell."""
    rows = sorted((r for r in rows if len(r.target) > 1), key=lambda row: len(row.target))
    floor_db = 80.0 if bounds.max_abs_err is not None else (bounds.psnr_db or 40.0) - HEALTHY_DB
    for row in rows[:1]:
        where = (subject.reference, subject.package, subject.target, subject.session)
        return locate(*where, row, floor_db)
    return None
