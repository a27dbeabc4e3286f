"""What to evaluate and how, checked before any model runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from litecompress.corpus import read_parallel
from litecompress.errors import InputError
from litecompress.evaluate.bootstrap import Resampling
from litecompress.evaluate.corpus import read_pairs, read_running_text
from litecompress.evaluate.running_text import Windows
from litecompress.runtime.search import SearchConfig

Task = Literal["translation", "summarization", "language-model"]
TASKS = get_args(Task)


@dataclass(frozen=True)
class Corpus:
    """Two files of one sentence a line, one file of pairs, or running text for a language model."""

    source: Path | None = None
    reference: Path | None = None
    pairs: Path | None = None
    source_column: str = "1"
    target_column: str = "2"
    text: Path | None = None
    limit: int | None = None

    def sides(self) -> tuple[list[str], list[str]]:
        """Sources and references, the first `limit` of them."""
        if self.pairs is not None:
            return read_pairs(self.pairs, self.source_column, self.target_column, self.limit)
        assert self.source is not None and self.reference is not None
        sources, references = read_parallel(self.source, self.reference)
        return sources[: self.limit], references[: self.limit]

    def lines(self) -> list[str]:
        """Running text, of the first `limit` lines."""
        assert self.text is not None
        return read_running_text(self.text, self.limit)

    @property
    def files(self) -> list[Path]:
        """The files that are named."""
        return [p for p in (self.source, self.reference, self.pairs, self.text) if p is not None]

    def problems(self, task: Task) -> list[str]:
        """What is missing or too much for a task."""
        given = {
            n for n in ("source", "reference", "pairs", "text") if getattr(self, n) is not None
        }
        wanted = [{"text"}] if task == "language-model" else [{"source", "reference"}, {"pairs"}]
        if given in wanted:
            return []
        ways = " or ".join(" and ".join(f"--{n}" for n in sorted(w, reverse=True)) for w in wanted)
        got = " and ".join(f"--{n}" for n in sorted(given)) or "none"
        return [f"expected the text of {task} as {ways}, got {got}"]


@dataclass(frozen=True)
class Job:
    """One model on one test set, perhaps with baselines: models, files of hypotheses, the lead."""

    model: Path
    corpus: Corpus
    task: str | None = None
    against: tuple[Path, ...] = ()
    against_files: tuple[Path, ...] = ()
    lead: str | None = None
    hypotheses: Path | None = None
    force: bool = False
    max_source: int | None = None  # tokens; longer sources are cut
    search: SearchConfig = field(default_factory=SearchConfig)
    windows: Windows = field(default_factory=Windows)
    resampling: Resampling = field(default_factory=Resampling)
    device: str = "auto"

    @property
    def inputs(self) -> list[Path]:
        """Everything that is read."""
        return [self.model, *self.against, *self.against_files, *self.corpus.files]

    def task_for(self, language_models: dict[str, bool]) -> Task:
        """The task, by default what the model is made for; all that does not fit is one InputError.

        `language_models` tells of each model, the evaluated one first, whether it is one.
        """
        made_for: Task = "language-model" if next(iter(language_models.values())) else "translation"
        if self.task is not None and self.task not in TASKS:
            raise InputError(f"expected a task of {', '.join(TASKS)}, got {self.task!r}")
        task: Task = self.task or made_for  # type: ignore[assignment]
        problems = self.corpus.problems(task) + self._unfit(task)
        for name, is_language_model in language_models.items():
            if is_language_model != (task == "language-model"):
                kind = "a language model" if is_language_model else "an encoder-decoder"
                problems.append(f"expected a model for {task}, got {kind}: {name}")
        if problems:
            raise InputError("; ".join(problems))
        return task

    def _unfit(self, task: Task) -> list[str]:
        """Options that a task has no use for, a search that cannot end."""
        found = []
        if task == "language-model":
            options = {"--against-file": self.against_files, "--hypotheses": self.hypotheses}
            found = [f"{name} is for tasks that write text" for name, v in options.items() if v]
        if self.lead is not None and task != "summarization":
            found.append("--lead is for summarization")
        if self.search.max_length_a == 0 and self.search.min_length > self.search.max_length_b:
            found.append(
                f"expected --min-length up to --max-length, got {self.search.min_length} and "
                f"{self.search.max_length_b}"
            )
        return found
