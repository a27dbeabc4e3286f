"""One measurement: a model with one tensor in another setting."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from litecompress.artifact import Artifact
from litecompress.encoding import Encoding
from litecompress.evaluate.bootstrap import Floats, Resampling
from litecompress.evaluate.model import translations
from litecompress.evaluate.rouge import summary_statistics
from litecompress.evaluate.text_metrics import translation_statistics
from litecompress.model.build import from_weights
from litecompress.model.config import ModelConfig
from litecompress.model.lite_transformer import LiteTransformer
from litecompress.runtime.search import SearchConfig
from litecompress.scan.settings import Setting, encoded
from litecompress.scan.size import coded_bytes
from litecompress.scan.text import Pairs, Text
from litecompress.train.curvature import Curvature

METRICS = {
    **dict.fromkeys(("bleu", "chrf"), translation_statistics),
    **dict.fromkeys(("rouge1", "rouge2", "rougel"), summary_statistics),
}
Row = dict[str, Any]


@dataclass(frozen=True)
class Subject:
    """All that a process needs to measure: the model, the text and how to quantize."""

    config: ModelConfig
    weights: dict[str, Encoding]
    tokenizers: tuple[bytes, bytes | None]
    text: Text
    quantize: Mapping[str, Any]


class Prober:
    """Measures settings of one tensor at a time; the others stay as they are."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        source, target = subject.tokenizers
        self.artifact = Artifact(subject.config, subject.weights, source, target_tokenizer=target)
        self.network = from_weights(subject.config, self.artifact.decode())
        self.parameters = dict(self.network.named_parameters())

    @cached_property
    def nll(self) -> Floats:
        """Nats and tokens of each sentence as the model is."""
        return self.subject.text.nll(self.network)

    def encoded(self, name: str, setting: Setting) -> Encoding:
        """One weight in a setting."""
        weight = {name: self.subject.weights[name]}
        return encoded(
            Artifact(self.subject.config, weight, b""), name, setting, self.subject.quantize
        )

    @contextmanager
    def replaced(self, name: str, setting: Setting) -> Iterator[None]:
        """The network with one weight in a setting."""
        with torch.no_grad():
            parameter = self.parameters[name]
            before = parameter.clone()
            parameter.copy_(torch.from_numpy(self.encoded(name, setting).decode()))
            try:
                yield
            finally:
                parameter.copy_(before)


@dataclass(frozen=True)
class LossProbe:
    """The increase of the loss, in nats a token, with its standard error over sentences."""

    tensor: str
    setting: Setting

    def run(self, prober: Prober) -> Row:
        """Measure."""
        with prober.replaced(self.tensor, self.setting):
            after = prober.subject.text.nll(prober.network)
        tokens = prober.nll[:, 1]
        rise = after[:, 0] - prober.nll[:, 0]
        mean = rise.sum() / tokens.sum()
        spread = np.sqrt(((rise - mean * tokens) ** 2).sum()) / tokens.sum()
        return {"loss": float(mean), "stderr": float(spread)}


@dataclass(frozen=True)
class MetricProbe:
    """The task's metric, by greedy decoding; without a tensor that of the model as it is."""

    metric: str
    tensor: str
    setting: Setting

    def run(self, prober: Prober) -> Row:
        """Decode and score."""
        if not self.tensor:
            return {"score": self._score(prober)}
        with prober.replaced(self.tensor, self.setting):
            return {"score": self._score(prober)}

    def _score(self, prober: Prober) -> float:
        text, network = prober.subject.text, prober.network
        assert isinstance(text, Pairs) and isinstance(network, LiteTransformer)
        tokenizer = prober.artifact.tokenizers().target
        written = translations(network, text.samples, tokenizer, SearchConfig(beam=1))
        scored = METRICS[self.metric](written, text.samples.references, Resampling())
        return scored[self.metric].score


@dataclass(frozen=True)
class CostProbe:
    """Bytes of a tensor in each setting, and what its curvature says of the loss."""

    tensor: str
    settings: tuple[Setting, ...]
    curvature: Curvature

    def run(self, prober: Prober) -> Row:
        """Encode, without running the network."""
        weight = prober.subject.weights[self.tensor]
        return {
            "kept_bytes": coded_bytes(weight),
            "costs": [self._cost(prober, setting, weight.decode()) for setting in self.settings],
        }

    def _cost(self, prober: Prober, setting: Setting, weight: NDArray[np.float32]) -> Row:
        encoding = prober.encoded(self.tensor, setting)
        first, second = self.curvature.orders(encoding.decode() - weight)
        orders = {"first_order": first, "second_order": second}
        return {**asdict(setting), "coded_bytes": coded_bytes(encoding), **orders}


Probe = LossProbe | MetricProbe | CostProbe
