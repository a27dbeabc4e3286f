"""The text that losses are measured on, encoded for one model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256

import numpy as np

from litecompress.artifact import Artifact
from litecompress.batches import Example, blocks, pairs
from litecompress.errors import InputError
from litecompress.evaluate.bootstrap import Floats
from litecompress.evaluate.corpus import Samples
from litecompress.evaluate.job import Corpus
from litecompress.evaluate.likelihood import sentence_nll
from litecompress.evaluate.running_text import Windows, line_nll
from litecompress.model.build import Network
from litecompress.model.language_model import LanguageModel
from litecompress.model.lite_transformer import LiteTransformer
from litecompress.tokenizer import NO_LIMIT, encode_all
from litecompress.train.calibration import BLOCK


@dataclass(frozen=True)
class Pairs:
    """Sentence pairs."""

    samples: Samples

    def nll(self, network: Network) -> Floats:
        """Rows (sentences, 2) of nats and tokens."""
        assert isinstance(network, LiteTransformer)
        return sentence_nll(network, self.samples)

    def examples(self) -> list[Example]:
        """What gradients are taken of, one at a time."""
        sides = self.samples.source_ids, self.samples.reference_ids
        return pairs(*([np.array(row, np.int32) for row in side] for side in sides))

    @property
    def digest(self) -> str:
        """SHA-256 of what the model sees."""
        return _digest([self.samples.source_ids, self.samples.reference_ids])


@dataclass(frozen=True)
class RunningText:
    """Lines of a language model's text."""

    lines: tuple[tuple[int, ...], ...]
    windows: Windows

    def nll(self, network: Network) -> Floats:
        """Rows (lines, 2) of nats and tokens."""
        assert isinstance(network, LanguageModel)
        return line_nll(network, self.lines, self.windows)

    def examples(self) -> list[Example]:
        """What gradients are taken of, one at a time."""
        return blocks(np.array([i for line in self.lines for i in line], np.int32), BLOCK)

    @property
    def digest(self) -> str:
        """SHA-256 of what the model sees."""
        return _digest([self.lines, asdict(self.windows)])


Text = Pairs | RunningText


def read_text(corpus: Corpus, artifact: Artifact, max_source: int | None = None) -> Text:
    """The text of a corpus for a model; what does not fit is an InputError."""
    config, tokenizers = artifact.config, artifact.tokenizers()
    task = "language-model" if config.is_language_model else "translation"
    problems = corpus.problems(task)  # type: ignore[arg-type]
    if problems:
        raise InputError("; ".join(problems))
    if config.is_language_model:
        lines = encode_all(tokenizers.source, corpus.lines(), NO_LIMIT, str(corpus.text))
        window = min(Windows().window, config.max_positions)
        return RunningText(tuple(map(tuple, lines)), Windows(window, window // 2))
    sides = corpus.sides()
    limit = config.max_positions
    return Pairs(Samples.of(*sides, tokenizers.source, limit, tokenizers.target, max_source))


def _digest(values: Sequence[object]) -> str:
    return sha256(json.dumps(values, separators=(",", ":")).encode()).hexdigest()
