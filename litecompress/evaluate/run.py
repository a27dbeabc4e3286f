"""Evaluate a model, and its difference to baselines on the same test set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from litecompress.backends import load_backend
from litecompress.errors import InputError
from litecompress.evaluate.batching import Track, untracked
from litecompress.evaluate.bootstrap import CONFIDENCE, Resampling, Statistics, compare, estimate
from litecompress.evaluate.corpus import Samples
from litecompress.evaluate.job import Job, Task
from litecompress.evaluate.likelihood import likelihood_statistics, sentence_nll
from litecompress.evaluate.model import Model, chosen_device, open_for_evaluation, translations
from litecompress.evaluate.rouge import lead, summary_statistics
from litecompress.evaluate.running_text import line_nll, text_statistics
from litecompress.evaluate.text_metrics import translation_statistics
from litecompress.model.language_model import LanguageModel
from litecompress.output import make_parent, refuse_existing
from litecompress.text import read_lines
from litecompress.tokenizer import NO_LIMIT, encode_all

SCORERS = {"translation": "sacrebleu", "summarization": "rouge_score"}
TEACHER_FORCING = "</s> counted|teacher forcing"


@dataclass(frozen=True)
class System:
    """Something that was evaluated: its name, and the statistics of its scores."""

    name: str
    statistics: Mapping[str, Statistics]


def evaluate(job: Job, track: Track = untracked) -> dict[str, Any]:
    """Scores with 95 % intervals, and differences to every baseline, as JSON holds them."""
    device = chosen_device(job.device)
    if job.hypotheses is not None:
        refuse_existing(job.hypotheses, force=job.force, inputs=job.inputs)
    models = [open_for_evaluation(path, device) for path in (job.model, *job.against)]
    task = job.task_for({m.name: isinstance(m.network, LanguageModel) for m in models})
    how: dict[str, Any]
    if task == "language-model":
        lines = job.corpus.lines()
        systems = _language_models(job, models, lines, track)
        how = {"lines": len(lines), **asdict(job.windows)}
    else:
        load_backend(SCORERS[task])  # absent, it should not be missed after minutes of decoding
        sources, references = job.corpus.sides()
        systems = _text_systems(job, task, models, sources, references, track)
        how = {"sentences": len(sources), "search": asdict(job.search)}
        if job.max_source is not None:
            how["max_source_tokens"] = job.max_source
    head = {"task": task, "model": str(job.model), **how, "device": device}
    bootstrap = {**asdict(job.resampling), "confidence": CONFIDENCE, "unit": next(iter(how))}
    return {**head, "bootstrap": bootstrap, **_scores(systems, job.resampling)}


def _scores(systems: Sequence[System], resampling: Resampling) -> dict[str, Any]:
    """The first system's scores; every other's, and by how much the first differs from it."""
    system, *baselines = systems
    return {
        "scores": _estimates(system, resampling),
        "baselines": [
            {
                "name": baseline.name,
                "scores": _estimates(baseline, resampling),
                "deltas": {
                    name: asdict(compare(ours, theirs, resampling))
                    for name, ours in system.statistics.items()
                    if (theirs := baseline.statistics.get(name)) and ours.comparable(theirs)
                },
            }
            for baseline in baselines
        ],
    }


def _estimates(system: System, resampling: Resampling) -> dict[str, Any]:
    return {name: asdict(estimate(s, resampling)) for name, s in system.statistics.items()}


def _text_systems(
    job: Job,
    task: Task,
    models: Sequence[Model],
    sources: Sequence[str],
    references: Sequence[str],
    track: Track,
) -> list[System]:
    """The model, then its baselines; their input is read and checked before anything runs."""
    samples = [model.samples(sources, references, job.max_source) for model in models]
    written = {str(path): _read_hypotheses(path, len(sources)) for path in job.against_files}
    if job.lead is not None:
        written[f"lead: {job.lead}"] = lead(sources, job.lead)
    metrics = translation_statistics if task == "translation" else summary_statistics
    systems: list[System] = []
    for model, encoded in zip(models, samples, strict=True):
        likelihood, hypotheses = _decoded(model, encoded, job, track)
        if not systems and job.hypotheses is not None:
            _write_hypotheses(hypotheses, job.hypotheses)
        scored = metrics(hypotheses, references, job.resampling)
        systems.append(System(model.name, {**scored, **likelihood}))
    return systems + [
        System(name, metrics(hypotheses, references, job.resampling))
        for name, hypotheses in written.items()
    ]


def _decoded(
    model: Model, samples: Samples, job: Job, track: Track
) -> tuple[dict[str, Statistics], list[str]]:
    """How likely a model finds the references, and what it writes itself."""
    assert not isinstance(model.network, LanguageModel)
    rows = sentence_nll(model.network, samples, track, f"likelihood {model.name}")
    label = f"decoding {model.name}"
    texts = translations(model.network, samples, model.target_tokenizer, job.search, track, label)
    return likelihood_statistics(rows, TEACHER_FORCING, model.unit), texts


def _language_models(
    job: Job, models: Sequence[Model], lines: Sequence[str], track: Track
) -> list[System]:
    """Each model on running text."""
    positions = min(model.network.config.max_positions for model in models)
    if job.windows.window > positions:
        raise InputError(
            f"expected a window of at most {positions} tokens, got {job.windows.window}"
        )
    systems: list[System] = []
    for model in models:
        assert isinstance(model.network, LanguageModel)
        ids = encode_all(model.tokenizer, lines, limit=NO_LIMIT)
        label = f"likelihood {model.name}"
        rows = line_nll(model.network, ids, job.windows, track, label)
        systems.append(System(model.name, text_statistics(rows, lines, job.windows, model.unit)))
    return systems


def _read_hypotheses(path: Path, sentences: int) -> list[str]:
    """A file that holds a line for each sentence."""
    lines = read_lines(path)
    if len(lines) != sentences:
        raise InputError(f"{path}: expected {sentences} hypotheses, one a line, got {len(lines)}")
    return lines


def _write_hypotheses(hypotheses: Sequence[str], path: Path) -> None:
    """One a line, whole or not at all."""
    make_parent(path)
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_text("".join(f"{line}\n" for line in hypotheses), "utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
