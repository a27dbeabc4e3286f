"""How likely a language model finds running text, seen through overlapping windows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from litecompress.errors import InputError
from litecompress.evaluate.batching import Track, untracked
from litecompress.evaluate.bootstrap import Floats, Statistics
from litecompress.evaluate.likelihood import LOGITS, likelihood_statistics
from litecompress.model.config import EOS_ID
from litecompress.model.language_model import LanguageModel

TOKENS = 4096
SIGNATURE = "text:contiguous|</s> after each line|blank lines:no"
Span = tuple[int, int, int]  # first token seen, first token scored, end


@dataclass(frozen=True)
class Windows:
    """Text is scored `window - context` tokens at a time, the `context` tokens before them seen.

    So every token is scored once, given at least as many before it as `context` says or as there
    are (with the last token of the text before, </s> at the very beginning, as decoder input).
    """

    window: int = 512
    context: int = 256

    def __post_init__(self) -> None:
        if not 0 <= self.context < self.window:
            raise InputError(
                f"expected a context from 0 to below the window, got {self.context} of "
                f"{self.window} tokens"
            )

    def spans(self, tokens: int) -> list[Span]:
        """The windows over a text of so many tokens."""
        stride = self.window - self.context
        return [
            (max(0, start - self.context), start, min(start + stride, tokens))
            for start in range(0, tokens, stride)
        ]


@torch.inference_mode()
def line_nll(
    model: LanguageModel,
    lines: Sequence[Sequence[int]],
    windows: Windows,
    track: Track = untracked,
    label: str = "likelihood",
) -> Floats:
    """Rows (lines, 2): negative log-likelihood in nats of each line's ids, and their number.

    The text is the lines one after another, each ending in </s>.
    """
    device = next(model.parameters()).device
    stream = torch.tensor([EOS_ID, *(i for line in lines for i in line)], device=device)
    spans = windows.spans(len(stream) - 1)
    nll = np.zeros(len(stream) - 1)
    for batch in track(_batches(spans, model.config.target_vocab_size), label):
        chosen = [spans[i] for i in batch]
        for (_, start, end), values in zip(chosen, _window_nll(model, stream, chosen), strict=True):
            nll[start:end] = values
    starts = np.cumsum([0, *(len(line) for line in lines[:-1])])
    return np.stack([np.add.reduceat(nll, starts), [len(line) for line in lines]], axis=1)


def _window_nll(model: LanguageModel, stream: torch.Tensor, spans: Sequence[Span]) -> Floats:
    """Negative log-likelihood (windows, scored) of windows of one shape."""
    _, start, end = spans[0]
    previous = torch.stack([stream[seen:stop] for seen, _, stop in spans])  # (B, W)
    target = torch.cat([stream[first + 1 : stop + 1] for _, first, stop in spans])  # (B * scored,)
    features = model.features(previous)[:, start - end :]  # (B, scored, D)
    log_probs = model.target_log_probs(features.flatten(0, 1), target)
    return -log_probs.double().cpu().numpy().reshape(len(spans), end - start)


def _batches(spans: Sequence[Span], vocab_size: int) -> list[list[int]]:
    """Windows of one shape together, as many as fit."""
    batches: list[list[int]] = []
    shape = None
    for i, (seen, start, end) in enumerate(spans):
        fits = batches and (len(batches[-1]) + 1) * (end - seen) <= TOKENS
        fits = fits and (len(batches[-1]) + 1) * (end - start) * vocab_size <= LOGITS
        if fits and shape == (end - seen, end - start):
            batches[-1].append(i)
        else:
            batches.append([i])
        shape = (end - seen, end - start)
    return batches


def text_statistics(
    rows: Floats, lines: Sequence[str], windows: Windows, unit: str
) -> dict[str, Statistics]:
    """Token NLL, perplexity and bits a character; the last compares models of any tokenizer."""
    signature = f"{SIGNATURE}|window:{windows.window}|context:{windows.context}"
    characters = np.array(
        [[nll, len(line) + 1] for nll, line in zip(rows[:, 0], lines, strict=True)]
    )
    bits = Statistics(characters, _bits, f"{signature}|line ends counted")
    return {**likelihood_statistics(rows, signature, unit), "bits_per_character": bits}


def _bits(sums: Floats) -> float:
    nll, characters = sums
    return float(nll / math.log(2) / characters)
