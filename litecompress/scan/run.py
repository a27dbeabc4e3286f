"""The scan of a model: what is to be measured, what is known already, and the rest in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from litecompress.artifact import Artifact
from litecompress.artifact_file import load_model
from litecompress.backends import load_backend
from litecompress.errors import InputError
from litecompress.evaluate.job import Corpus
from litecompress.output import make_parent, refuse_existing
from litecompress.scan import journal
from litecompress.scan.digest import key, model_digest
from litecompress.scan.journal import Journal
from litecompress.scan.picture import write_picture
from litecompress.scan.pool import measured, one_thread
from litecompress.scan.probe import (
    METRICS,
    CostProbe,
    LossProbe,
    MetricProbe,
    Probe,
    Prober,
    Row,
    Subject,
)
from litecompress.scan.result import (
    Cost,
    Metric,
    MetricScore,
    Scan,
    Tensor,
    TextInfo,
    write_scan,
)
from litecompress.scan.settings import KEPT, Grid, Setting, is_prunable
from litecompress.scan.text import Pairs, Text, read_text
from litecompress.train.curvature import Told, curvatures

JOURNAL = "probes.jsonl"


@dataclass(frozen=True)
class ScanJob:
    """One model on one text; `fast` leaves out everything that runs the network a setting.

    The `metric` is measured where `metric_at` says, by default at the harshest of either kind.
    """

    model: Path
    corpus: Corpus
    output: Path
    grid: Grid = field(default_factory=Grid)
    fast: bool = False
    metric: str | None = None
    metric_at: tuple[Setting, ...] = ()
    max_source: int | None = None
    jobs: int = 1
    force: bool = False


def scan(job: ScanJob, told: Told) -> Scan:
    """Measure what `job.output` does not hold yet, and write `scan.json` and `scan.svg` there."""
    artifact = load_model(job.model)
    text = read_text(job.corpus, artifact, job.max_source)
    names, skipped = job.grid.tensors(artifact)
    _check_metric(job, text)
    _make_room(job)
    with journal.opened(job.output / JOURNAL) as known, one_thread():
        if known.damaged:
            told("damaged lines, to be measured anew", known.damaged, known.damaged)
        work = _Work(job, artifact, text, names, known, told)
        found = work.scan(skipped)
    write_scan(found, job.output)
    write_picture(found, job.output)
    return found


def _check_metric(job: ScanJob, text: Text) -> None:
    """An InputError for a metric that there is not for this task or these settings."""
    problems = []
    if job.metric is not None and job.metric not in METRICS:
        problems.append(f"expected a metric of {', '.join(METRICS)}, got {job.metric}")
    if job.metric is not None and not isinstance(text, Pairs):
        problems.append("a language model has no metric but its loss; leave --metric out")
    if job.metric is None and job.metric_at:
        problems.append("expected --metric with --metric-at, got none")
    if problems:
        raise InputError("; ".join(problems))
    if job.metric is not None:
        load_backend("rouge_score" if job.metric.startswith("rouge") else "sacrebleu")


def _make_room(job: ScanJob) -> None:
    """The folder to write to: a new one, or that of an earlier scan, which goes on."""
    place = job.output / JOURNAL
    if not place.is_file():
        refuse_existing(job.output, force=False, inputs=[job.model, *job.corpus.files])
    make_parent(place)
    if job.force:
        place.unlink(missing_ok=True)


class _Work:
    """A scan in progress."""

    def __init__(
        self,
        job: ScanJob,
        artifact: Artifact,
        text: Text,
        names: Sequence[str],
        known: Journal,
        told: Told,
    ) -> None:
        self.job, self.artifact, self.text, self.names = job, artifact, text, names
        self.known, self.told = known, told
        self.digest = model_digest(artifact)
        tokenizers = artifact.tokenizer, artifact.target_tokenizer
        weights, quantize = dict(artifact.weights), dict(job.grid.quantize)
        self.prober = Prober(Subject(artifact.config, weights, tokenizers, text, quantize))

    def scan(self, skipped: Mapping[str, str]) -> Scan:
        """Measure in order: sizes by curvature, losses, the metric."""
        costs = self._costs()
        losses = {} if self.job.fast else self._losses()
        tokens = self.prober.nll[:, 1].sum()
        return Scan(
            model=str(self.job.model),
            model_sha256=self.digest,
            text=TextInfo(
                files=tuple(map(str, self.job.corpus.files)),
                sha256=self.text.digest,
                sentences=len(self.prober.nll),
                tokens=int(tokens),
            ),
            loss=float(self.prober.nll[:, 0].sum() / tokens),
            tensors=tuple(self._tensor(name, costs[name], losses) for name in self.names),
            skipped=dict(skipped),
            quantize=dict(self.job.grid.quantize),
            metric=self._metric(),
        )

    def _costs(self) -> dict[str, Row]:
        """Bytes and orders of every tensor in all its settings."""
        settings = {n: tuple(self.job.grid.all(prunable=is_prunable(n))) for n in self.names}
        keys = {n: self._key("costs", n, [asdict(s) for s in settings[n]]) for n in self.names}
        new = [n for n in self.names if keys[n] not in self.known.rows]
        if new:
            examples = self.text.examples()
            found = curvatures(self.prober.network, examples, new, self.told)
            self._measure("sizes", {keys[n]: CostProbe(n, settings[n], found[n]) for n in new})
        return {n: self.known.rows[keys[n]] for n in self.names}

    def _losses(self) -> dict[tuple[str, Setting], Row]:
        """What pruning and quantizing each tensor alone does to the loss."""
        probes = {
            self._key("loss", n, asdict(s)): LossProbe(n, s)
            for n in self.names
            for s in self.job.grid.alone(prunable=is_prunable(n))
        }
        self._measure("losses", probes)
        return {(p.tensor, p.setting): self.known.rows[k] for k, p in probes.items()}

    def _metric(self) -> Metric | None:
        """The task's metric in the chosen settings."""
        if self.job.metric is None:
            return None
        metric, grid = self.job.metric, self.job.grid
        ways = [Setting(s) for s in grid.sparsities[-1:]]
        ways = list(self.job.metric_at) or ways + [Setting(num_bits=b) for b in grid.num_bits[:1]]
        wanted = [(n, s) for n in self.names for s in ways if is_prunable(n) or not s.sparsity]
        probes = {
            self._key(metric, n, asdict(s)): MetricProbe(metric, n, s)
            for n, s in [("", KEPT), *wanted]
        }
        self._measure(metric, probes)
        base, *scores = (self.known.rows[k]["score"] for k in probes)
        rows = zip(wanted, scores, strict=True)
        return Metric(
            metric, base, tuple(MetricScore(n, **asdict(s), score=x) for (n, s), x in rows)
        )

    def _measure(self, what: str, probes: Mapping[str, Probe]) -> None:
        """Run the probes whose results are not known, and write down each as it comes."""
        new = {k: probe for k, probe in probes.items() if k not in self.known.rows}
        done = len(probes) - len(new)
        self.told(what, done, len(probes))
        for k, row in measured(self.prober, new, self.job.jobs):
            self.known.add(k, row)
            done += 1
            self.told(what, done, len(probes))

    def _tensor(self, name: str, row: Row, losses: Mapping[tuple[str, Setting], Row]) -> Tensor:
        costs = []
        for values in row["costs"]:
            loss = losses.get((name, Setting(values["sparsity"], values["num_bits"])), {})
            costs.append(Cost(**values, loss=loss.get("loss"), stderr=loss.get("stderr")))
        shape = self.artifact.weights[name].shape
        return Tensor(name, shape, row["kept_bytes"], tuple(costs))

    def _key(self, kind: str, name: str, details: Any) -> str:
        """The key of a measurement of one tensor."""
        options = [name, details, dict(self.job.grid.quantize)]
        return key(kind, self.digest, self.text.digest, options)
