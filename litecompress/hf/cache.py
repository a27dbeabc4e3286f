"""What a decoder remembers between steps, as transformers' generation handles it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin

from litecompress.errors import InputError
from litecompress.model.config import ModelConfig
from litecompress.model.layers import Attention

_PARTS = ("keys", "values", "conv", "cross_keys", "cross_values")


class LayerCache(CacheLayerMixin):
    """The memory of one decoder layer; None for what the layer does not have, or not yet.

    `keys` and `values` (B, N, T, C/N) grow with the text. `conv` (B, K-1, C) are the convolution's
    last inputs, and all since the last `crop` while `record_past` is set. `cross_keys` and
    `cross_values` (B, N', S, D/N') are those of the source.
    """

    is_croppable = True
    supports_early_init = False
    keys: Tensor | None
    values: Tensor | None

    def __init__(self, kernel_size: int) -> None:
        super().__init__()
        self.reach = max(kernel_size - 1, 0)
        self.conv: Tensor | None = None
        self.cross_keys: Tensor | None = None
        self.cross_values: Tensor | None = None
        self.record_past = False

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Nothing to do: `update` starts from nothing."""

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """All keys and values, those of the newest positions (B, N, T', C/N) appended."""
        if self.keys is not None and self.values is not None:
            key_states = torch.cat([self.keys, key_states], dim=2)
            value_states = torch.cat([self.values, value_states], dim=2)
        self.keys, self.values = key_states, value_states
        self.is_initialized = True
        return key_states, value_states

    def window(self, inputs: Tensor) -> Tensor:
        """The convolution's newest inputs (B, T', C) after the K-1 before them."""
        past = self.conv
        if past is None:
            past = inputs.new_zeros(len(inputs), self.reach, inputs.shape[2])
        kept = torch.cat([past, inputs], dim=1)
        window = kept[:, past.shape[1] - self.reach :]
        self.conv = kept if self.record_past else kept[:, kept.shape[1] - self.reach :]
        return window

    def cross(self, attention: Attention, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of the source (B, S, D), computed the first time."""
        if self.cross_keys is None or self.cross_values is None:
            self.cross_keys, self.cross_values = attention.keys_values(memory)
        return self.cross_keys, self.cross_values

    def activate_past_recording(self) -> None:
        """Keep what `crop` needs to undo steps from now on."""
        self.record_past = True

    def crop(self, tokens_to_remove: int) -> None:
        """Forget the last positions; the number is negative, as everywhere in transformers."""
        if self.keys is not None and self.values is not None and tokens_to_remove:
            self.keys = self.keys[:, :, :tokens_to_remove]
            self.values = self.values[:, :, :tokens_to_remove]
        if self.conv is not None:
            end = self.conv.shape[1] + tokens_to_remove
            if end < self.reach:
                raise InputError(
                    f"expected at most {self.conv.shape[1] - self.reach} positions to undo, got "
                    f"{-tokens_to_remove}; call activate_past_recording before they are decoded"
                )
            self.conv = self.conv[:, end - self.reach : end]

    def change_rows(self, change: Callable[[Tensor], Tensor]) -> None:
        """Apply a choice or repetition of rows to everything."""
        for name in _PARTS:
            part = getattr(self, name)
            if part is not None:
                setattr(self, name, change(part))

    def reset(self) -> None:
        """Forget everything."""
        for name in _PARTS:
            setattr(self, name, None)
        self.is_initialized = False

    def get_seq_length(self) -> int:
        return 0 if self.keys is None else int(self.keys.shape[2])

    def get_max_length(self) -> int:
        return -1  # none

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.get_seq_length() + query_length, 0


class LiteTransformerCache(Cache):
    """The memory of all decoder layers, and which of the positions so far are not hidden.

    Rows can be reordered, chosen and repeated, convolution states and source included.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(layers=[LayerCache(kernel) for kernel in config.decoder_kernel_sizes])
        self.real: Tensor | None = None  # (B, T)

    def extend(self, real: Tensor) -> Tensor:
        """Which positions are not hidden (B, T), those of the newest (B, T') appended."""
        self.real = real if self.real is None else torch.cat([self.real, real], dim=1)
        return self.real

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Positions so far, hidden ones included; the same for all layers."""
        return 0 if self.real is None else int(self.real.shape[1])

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Row i becomes what row `beam_idx[i]` was."""
        self._change_rows(lambda part: part.index_select(0, beam_idx.to(part.device)))

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep these rows."""
        self._change_rows(lambda part: part[indices])

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Every row so many times, one after another."""
        self._change_rows(lambda part: part.repeat_interleave(repeats, dim=0))

    def crop(self, tokens_to_remove: int) -> None:
        """Forget the last positions; the number is negative. Needs `activate_past_recording`."""
        if tokens_to_remove > 0 or -tokens_to_remove > self.get_seq_length():
            raise InputError(
                f"expected minus the number of positions to remove, of {self.get_seq_length()}, "
                f"got {tokens_to_remove}"
            )
        super().crop(tokens_to_remove)
        if self.real is not None and tokens_to_remove:
            self.real = self.real[:, :tokens_to_remove]

    def reset(self) -> None:
        """Forget everything."""
        super().reset()
        self.real = None

    @property
    def batch_size(self) -> int:
        """Rows, or -1 before the first step."""
        return -1 if self.real is None else len(self.real)

    def _change_rows(self, change: Callable[[Tensor], Tensor]) -> None:
        for layer in self.layers:
            layer.change_rows(change)
        if self.real is not None:
            self.real = change(self.real)
