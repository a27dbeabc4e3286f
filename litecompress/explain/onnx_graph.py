"""An ONNX graph seen from its weights: which node reads which, at load or in every run."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Any

from litecompress.backends import load_backend
from litecompress.errors import InputError

_PREFIX = re.compile(r"(litecompress\.)?(model\.)?")
_PART = re.compile(r"\.(scale|zero_point|codebook|mask|rows|bits\d+|part\d+)$")
_PARAMETER = re.compile(r"\.(weight|bias|kernel)$")
OURS = "litecompress."

Names = tuple[str, ...]  # each once, in the order in which they were joined


def weight_name(initializer: str) -> str:
    """The weight that an initializer holds a part of, by its name in the model."""
    name = _PREFIX.sub("", initializer, count=1)
    while (shorter := _PART.sub("", name)) != name:
        name = shorter
    return name


def module_name(weight: str) -> str:
    """The module that a weight belongs to: `decoder.0.ffn.fc1` of `decoder.0.ffn.fc1.weight`."""
    return _PARAMETER.sub("", weight)


class OnnxGraph:
    """The nodes of a file in their order; weights by the names that they have in the model."""

    def __init__(self, path: Path) -> None:
        onnx = load_backend("onnx")
        try:
            self.model = onnx.load(str(path), load_external_data=False)
        except Exception as error:  # protobuf's own, down to DecodeError
            raise InputError(
                f"{path}: expected an ONNX graph, got {error}; export again"
            ) from error
        self.nodes: list[Any] = list(self.model.graph.node)
        self.constants: dict[str, Names] = {}  # known when loaded: what weights each is made of
        for initializer in self.model.graph.initializer:
            known = initializer.name.startswith(OURS)
            self.constants[initializer.name] = (weight_name(initializer.name),) if known else ()
        self.producer: dict[str, int] = {}
        for i, node in enumerate(self.nodes):
            self.producer.update(dict.fromkeys(node.output, i))
            inputs = [name for name in node.input if name]
            if all(name in self.constants for name in inputs):
                made_of = _joined(self.constants[name] for name in inputs)
                self.constants.update(dict.fromkeys(node.output, made_of))

    def is_constant(self, index: int) -> bool:
        """Whether a node can be computed when the graph is loaded."""
        return all(name in self.constants for name in self.nodes[index].output)

    def read_by(self, index: int) -> Names:
        """Weights that a node reads, itself or expanded by constant nodes before it."""
        return self.made_of(self.nodes[index].input)

    def made_of(self, values: Iterable[str]) -> Names:
        """The weights that constants among these values hold or come of."""
        return _joined(self.constants.get(name, ()) for name in values)

    def readers(self) -> dict[str, list[int]]:
        """For every module the nodes that read a weight of it in every run."""
        found: dict[str, list[int]] = {}
        for i in range(len(self.nodes)):
            if not self.is_constant(i):
                for module in dict.fromkeys(map(module_name, self.read_by(i))):
                    found.setdefault(module, []).append(i)
        return found

    def meeting(self, indices: Iterable[int]) -> int | None:
        """The first node that all of these lead to, or are."""
        left = list(indices)
        reached: dict[str, set[int]] = {}
        for i in range(min(left), len(self.nodes)):
            node = self.nodes[i]
            behind = set().union(*(reached.get(name, set()) for name in node.input))
            behind |= {i} & set(left)
            if len(behind) == len(left):
                return i
            reached.update((name, behind) for name in node.output if behind)
        return None


def _joined(groups: Iterable[Names]) -> Names:
    return tuple(dict.fromkeys(chain.from_iterable(groups)))
