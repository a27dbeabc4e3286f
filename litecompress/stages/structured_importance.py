"""How much each channel within a branch matters, from its weights alone or from text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from litecompress.artifact import Artifact
from litecompress.batches import Batch, Example, batches
from litecompress.corpus import PairTable, ParallelText, PlainText
from litecompress.errors import InputError
from litecompress.stages.structured_graph import Network
from litecompress.tokenizer import NO_LIMIT, encode_all
from litecompress.train.examples import Examples
from litecompress.train.objective import Objective
from litecompress.train.segmentation import Ragged

BATCH_TOKENS = 2048
BLOCK = 64  # tokens of running text that count as one example
Importance = dict[str, NDArray[np.float32]]


@torch.no_grad()
def magnitude(outgoing: Mapping[str, nn.Linear]) -> Importance:
    """The sum of squares of the weights through which a channel reaches the residual sum.

    With channels alike in size and independent this is the squared error of leaving one out.
    """
    return {name: linear.weight.square().sum(0).numpy() for name, linear in outgoing.items()}


def taylor(
    network: Network, outgoing: Mapping[str, nn.Linear], examples: Sequence[Example]
) -> Importance:
    """The squared change of an example's loss, to first order, where a channel is left out.

    Summed over examples (arXiv:1906.10771 sec. 3, a gate on each channel).
    """
    objective = Objective(network.config, label_smoothing=0.0).eval()
    objective.network = network
    sums = {name: torch.zeros(linear.in_features) for name, linear in outgoing.items()}
    seen: dict[str, Tensor] = {}
    hooks = [
        linear.register_forward_pre_hook(_noting(name, seen)) for name, linear in outgoing.items()
    ]
    for group in batches(examples, BATCH_TOKENS, np.random.default_rng(0)):
        loss, _ = objective(Batch.of([examples[i] for i in group]))
        gradients = torch.autograd.grad(loss, list(seen.values()))
        for (name, x), gradient in zip(seen.items(), gradients, strict=True):
            change = (x * gradient).sum(dim=1)  # (B, C)
            sums[name] += change.detach().square().sum(dim=0)
    for hook in hooks:
        hook.remove()
    return {name: total.numpy() for name, total in sums.items()}


def examples(
    text: ParallelText | PairTable | PlainText, artifact: Artifact, count: int
) -> list[Example]:
    """The first lines of a text's training split as the network takes them."""
    language_model = artifact.config.is_language_model
    if language_model != (text.kind == "text"):
        raise InputError(
            "structured: expected calibration of kind text for a language model and pairs for an "
            f"encoder-decoder, got {text.kind}"
        )
    limit = NO_LIMIT if language_model else artifact.config.max_positions
    sides = zip(artifact.tokenizers(), text.read("train"), text.names("train"), strict=False)
    ids = [Ragged.of(encode_all(by, lines[:count], limit, name)) for by, lines, name in sides]
    return Examples(tuple(ids), BLOCK if language_model else None).plain()


def _noting(name: str, seen: dict[str, Tensor]) -> Callable[[nn.Module, tuple[Tensor]], None]:
    """A hook that keeps what a layer is given."""

    def note(_: nn.Module, inputs: tuple[Tensor]) -> None:
        seen[name] = inputs[0]

    return note
