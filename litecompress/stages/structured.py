"""Structured pruning: whole heads and channels go, and a smaller dense model stays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import floor
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from litecompress.artifact import Artifact
from litecompress.backends import named_extras
from litecompress.corpus import TrainingText
from litecompress.cost import all_macs, paper_macs, parameters
from litecompress.encoding import Dense
from litecompress.errors import StageError
from litecompress.model.config import ModelConfig
from litecompress.model.layer_shape import kept
from litecompress.stages.base import Context, Outcome
from litecompress.stages.structured_choice import (
    Structure,
    Unit,
    of_each,
    places,
    removed,
    to_save,
    units,
)

if TYPE_CHECKING:
    from litecompress.stages.structured_graph import PruningGraph
    from litecompress.stages.structured_importance import Importance

Count = Literal["all", "paper"]
_MACS = {"all": all_macs, "paper": paper_macs}


@dataclass(frozen=True)
class Structured:
    """Remove whole heads and channels, the least important for what they cost first.

    How many, exactly one of these says: `macs`, the share of the model's MACs to remove, over all
    layers together, at these lengths (`count`: everything, or what the paper counts); `share`, at
    most that part of each structure of each layer. `attention_heads` are those of self- and
    cross-attention; of a convolution go whole heads (`conv_heads`) or, equally many of every head,
    channels (`conv_channels`); with a gate a channel is a pair. Channels go so that a
    `multiple` is left; something always stays. Importance is by first-order Taylor expansion on
    the first `sentences` of the `calibration` text, as a training recipe names its data; without,
    by the weights alone.
    """

    name: ClassVar[str] = "structured"
    macs: float | None = None
    share: float | None = None
    structures: tuple[Structure, ...] = ("attention_heads", "conv_heads", "ffn_channels")
    count: Count = "all"
    source_length: int = 30
    target_length: int = 30
    multiple: int = 8
    calibration: TrainingText | None = None
    sentences: int = 256

    def __post_init__(self) -> None:
        problems = []
        if (self.macs is None) == (self.share is None):
            problems.append(f"one of macs and share, got {self.macs} and {self.share}")
        for name in ("macs", "share"):
            value = getattr(self, name)
            if value is not None and not 0 < value < 1:
                problems.append(f"{name} between 0 and 1, got {value}")
        for name in ("source_length", "target_length", "multiple", "sentences"):
            if getattr(self, name) < 1:
                problems.append(f"{name} of at least 1, got {getattr(self, name)}")
        if not self.structures or len(set(self.structures)) < len(self.structures):
            problems.append(f"structures, each once, got {list(self.structures)}")
        if {"conv_heads", "conv_channels"} <= set(self.structures):
            problems.append("conv_heads or conv_channels, got both; take two stages")
        if problems:
            raise StageError("structured: expected " + "; ".join(problems))

    def __call__(self, artifact: Artifact, context: Context) -> Outcome:
        _check_plain(artifact)
        with named_extras():
            from litecompress.stages.structured_graph import PruningGraph

        graph = PruningGraph(artifact.config, artifact.decode())
        channels = removed(self._chosen(artifact.config, self._importance(graph, artifact)))
        config, weights = graph.remove(channels)
        dense = {name: Dense(weight) for name, weight in weights.items()}
        return Outcome(dense, self._summary(artifact.config, config), config)

    def _cost(self, config: ModelConfig) -> int:
        """MACs at the stage's lengths, counted as it counts."""
        return self._macs(config, self.count)

    def _macs(self, config: ModelConfig, count: Count) -> int:
        source = 0 if config.is_language_model else self.source_length
        return sum(_MACS[count](config, source, self.target_length).values())

    def _importance(self, graph: PruningGraph, artifact: Artifact) -> Importance:
        from litecompress.stages.structured_importance import magnitude, taylor
        from litecompress.train.calibration import calibration_examples

        if self.calibration is None:
            return magnitude(graph.outgoing)
        text = calibration_examples(artifact, self.calibration, self.sentences)
        return taylor(graph.network, graph.outgoing, text)

    def _chosen(self, config: ModelConfig, importance: Importance) -> list[Unit]:
        """The units to remove; a StageError where there are none or too few."""
        candidates = {
            place: units(place, config, importance[place.branch], self.multiple)
            for place in places(config, self.structures)
        }
        chosen = self._to_save(list(candidates.values()), config)
        if self.share is not None:
            chosen = of_each(candidates, config, self.share)
        if not chosen:
            raise StageError(
                f"structured: expected {', '.join(self.structures)} that can be removed, got none "
                f"with a share of {self.share} and a multiple of {self.multiple}"
            )
        return chosen

    def _to_save(self, candidates: list[list[Unit]], config: ModelConfig) -> list[Unit]:
        """The units to remove for the share of MACs; none where none is given."""
        if self.macs is None:
            return []
        whole = self._cost(config)
        found = to_save(candidates, config, self._cost, self.macs * whole)
        if isinstance(found, int):
            raise StageError(
                f"structured: expected macs of at most {floor(1e4 * found / whole) / 1e4}, which "
                f"is what {', '.join(self.structures)} have beyond the least that stays, got "
                f"{self.macs}; add structures or remove less"
            )
        return found

    def _summary(self, before: ModelConfig, after: ModelConfig) -> Mapping[str, Any]:
        measures = [
            {"all_macs": self._macs(config, "all"), "paper_macs": self._macs(config, "paper")}
            | {"parameters": sum(parameters(config).values())}
            for config in (before, after)
        ]
        return {
            "before": measures[0],
            "after": measures[1],
            "removed": {n: round(1 - measures[1][n] / measures[0][n], 6) for n in measures[0]},
            "importance": "magnitude" if self.calibration is None else "taylor",
            "encoder_kept": [asdict(layer) for layer in kept(after, "encoder")],
            "decoder_kept": [asdict(layer) for layer in kept(after, "decoder")],
        }


def _check_plain(artifact: Artifact) -> None:
    """A StageError where weights were pruned or quantized already."""
    other = [n for n, encoding in artifact.weights.items() if not isinstance(encoding, Dense)]
    if other:
        raise StageError(
            f"structured: expected plain weights, got {len(other)} pruned or quantized, such as "
            f"{other[0]}; put structured before prune and quantize"
        )
