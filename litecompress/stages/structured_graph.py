"""What goes together when channels are removed: found by torch-pruning, and cut by it.

torch-pruning traces the network and follows the channels of one layer to all that share them
(arXiv:2301.12900): a feed-forward channel is a row of `fc1` and a column of `fc2`, a channel of an
attention head one of query, key, value and out. Gates (GLU) and predicted kernels it takes for
element-wise operations, so a convolution branch is one layer to it, with a pruner of our own.
That nothing was overlooked is checked against shapes that come from the config alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
import torch_pruning
from numpy.typing import NDArray
from torch import Tensor, nn

from litecompress.model.build import Network, from_weights
from litecompress.model.config import EOS_ID, Kept, ModelConfig
from litecompress.model.language_model import LanguageModel
from litecompress.model.layers import Attention, ConvBranch, EncoderLayer, FeedForward

Weights = dict[str, NDArray[np.float32]]
_OUTGOING = {Attention: "out", ConvBranch: "linear2", FeedForward: "fc2"}


class ConvChannels(torch_pruning.BasePruningFunc):  # type: ignore[misc]
    """Removes channels between the two linear layers of a convolution branch.

    A channel behind a gate is a pair of rows. A head whose channels are all removed loses its
    kernel; the others must keep equally many.
    """

    TARGET_MODULES = ConvBranch

    def prune_channels(self, layer: ConvBranch, idxs: Sequence[int]) -> nn.Module:
        """Remove the channels `idxs` of the convolution, counted over all heads."""
        keep = torch.ones(layer.linear2.in_features, dtype=torch.bool)
        keep[list(idxs)] = False
        heads = keep.view(layer.heads, -1).any(dim=1)  # (H,)
        _select(layer.linear1, rows=keep.repeat(2) if layer.glu else keep)
        _select(layer.linear2, columns=keep)
        if hasattr(layer, "kernel"):
            layer.kernel = nn.Parameter(layer.kernel[heads])
        else:
            taps = heads.repeat_interleave(layer.kernel_size)  # (H K,)
            _select(layer.kernel_predictor, rows=taps, columns=keep)
        layer.heads = int(heads.sum())
        return layer

    def prune_out_channels(self, layer: nn.Module, idxs: Sequence[int]) -> nn.Module:
        """Refused: channels of the residual sum stay."""
        raise NotImplementedError

    prune_in_channels = prune_out_channels

    def get_out_channels(self, layer: ConvBranch) -> int:
        return layer.linear2.out_features

    def get_in_channels(self, layer: ConvBranch) -> int:
        return layer.linear1.in_features


class PruningGraph:
    """A network and what goes together in it.

    Branches go by name, such as `encoder.0.attention`, `decoder.1.conv` or `decoder.1.ffn`.
    """

    def __init__(self, config: ModelConfig, weights: Mapping[str, NDArray[np.float32]]) -> None:
        self.config = config
        self.network: Network = from_weights(config, weights)
        modules = self.network.named_modules()
        self.branches = {name: m for name, m in modules if type(m) in _OUTGOING}
        self._conv = ConvChannels()
        self._graph = torch_pruning.DependencyGraph().build_dependency(
            self.network,
            example_inputs=torch.tensor([[5, 6, 7, EOS_ID]]),
            forward_fn=_features,
            customized_pruners={ConvBranch: self._conv},
            verbose=False,
        )

    @property
    def outgoing(self) -> dict[str, nn.Linear]:
        """The linear layer through which the channels of each branch reach the residual sum."""
        return {name: _outgoing(module) for name, module in self.branches.items()}

    def remove(self, channels: Mapping[str, Sequence[int]]) -> tuple[ModelConfig, Weights]:
        """Config and weights without these channels of these branches; the network is cut too."""
        for branch, removed in channels.items():
            module = self.branches[branch]
            self._group(module, removed).prune(record_history=False)
            if isinstance(module, Attention):
                module.heads = _outgoing(module).in_features // module.width
        config = replace(
            self.config,
            encoder_kept=tuple(map(_kept, getattr(self.network, "encoder", ()))),
            decoder_kept=tuple(map(_kept, self.network.decoder)),
        )
        state = self.network.state_dict().items()
        return config, {name: weight.numpy() for name, weight in state}

    def _group(self, module: nn.Module, channels: Sequence[int]) -> torch_pruning.Group:
        """All that goes with these channels within a branch."""
        root, function = module, self._conv.prune_channels
        if isinstance(module, Attention):
            root, function = module.query, torch_pruning.prune_linear_out_channels
        elif isinstance(module, FeedForward):
            root, function = module.fc1, torch_pruning.prune_linear_out_channels
        return self._graph.get_pruning_group(root, function, list(channels))


def _features(network: Network, tokens: Tensor) -> Tensor:
    """What the output layer sees: no channel within a branch reaches beyond it."""
    if isinstance(network, LanguageModel):
        return network.features(tokens)
    return network.decode(tokens, *network.encode(tokens))


def _outgoing(module: nn.Module) -> nn.Linear:
    linear: nn.Linear = getattr(module, _OUTGOING[type(module)])
    return linear


def _kept(layer: nn.Module) -> Kept:
    """What a layer has, by its modules."""
    assert isinstance(layer, EncoderLayer)
    cross = getattr(layer, "cross_attention", None)
    conv = layer.conv if layer.convolves else None
    return Kept(
        layer.ffn.fc2.in_features,
        layer.attention.heads if layer.attends else 0,
        conv.heads if conv else 0,
        conv.linear2.in_features // conv.heads if conv else 0,
        cross.heads if cross else 0,
    )


def _select(linear: nn.Linear, rows: Tensor | None = None, columns: Tensor | None = None) -> None:
    """Keep these outputs and these inputs of a linear layer."""
    weight = linear.weight
    if rows is not None:
        weight = weight[rows]
        if linear.bias is not None:
            linear.bias = nn.Parameter(linear.bias[rows])
    if columns is not None:
        weight = weight[:, columns]
    linear.out_features, linear.in_features = weight.shape
    linear.weight = nn.Parameter(weight)
