"""Decoder steps whose caches are states of the program, which it keeps from step to step.

A state is named like the cache that it holds: `key_i`, `value_i`, `conv_i`.
"""

from __future__ import annotations

from torch import Tensor, nn

from litecompress.export.graphs import DecoderGraph
from litecompress.export.language_graph import CACHES, StepGraph

Graph = DecoderGraph | StepGraph


class Stateful(nn.Module):
    """A step that takes what is no cache, and gives the logits or log-probabilities alone."""

    def __init__(self, graph: Graph, names: list[str], example: tuple[Tensor, ...]) -> None:
        super().__init__()
        self.step = graph
        self.inputs = names
        for name, tensor in zip(names, example, strict=True):
            if is_cache(name):
                self.register_buffer(name, tensor.clone())

    def forward(self, *inputs: Tensor) -> Tensor:
        rest = iter(inputs)
        buffers = dict(self.named_buffers(recurse=False))
        caches = [name for name in self.inputs if name in buffers]
        whole = [buffers[name] if name in buffers else next(rest) for name in self.inputs]
        output, *after = self.step(*whole)
        for name, tensor in zip(caches, after, strict=True):
            buffers[name][:, :, :] = tensor
        return output  # type: ignore[no-any-return]


def is_cache(name: str) -> bool:
    """Whether an input of a step is replaced by every step."""
    part = name.rpartition("_")[0]
    return part in CACHES


def divided(names: list[str]) -> tuple[list[str], list[str]]:
    """Inputs that are given at every step, and those that are states."""
    return [n for n in names if not is_cache(n)], [n for n in names if is_cache(n)]
