"""A model opened for evaluation, and what it writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import torch

from litecompress.artifact_file import load_model
from litecompress.errors import InputError
from litecompress.evaluate.batching import Track, by_length, untracked
from litecompress.evaluate.corpus import Samples
from litecompress.model.build import from_weights
from litecompress.model.language_model import LanguageModel
from litecompress.model.lite_transformer import LiteTransformer
from litecompress.runtime.search import SearchConfig, translate
from litecompress.runtime.torch_session import TorchSession
from litecompress.tokenizer import Tokenizer

MAX_SENTENCES = 64
MAX_TOKENS = 4096  # source tokens of one batch, padded


@dataclass(frozen=True)
class Model:
    """A network on its device, with the tokenizers of both sides."""

    name: str
    network: LiteTransformer | LanguageModel
    tokenizer: Tokenizer
    target_tokenizer: Tokenizer

    @property
    def unit(self) -> str:
        """What a target token is: likelihoods compare only between equal ones."""
        return sha256(self.target_tokenizer.data).hexdigest()

    def samples(
        self, sources: Sequence[str], references: Sequence[str], max_source: int | None = None
    ) -> Samples:
        """Both sides encoded; what this model cannot take is one InputError.

        Of sources longer than `max_source` tokens only the beginning counts.
        """
        limit = self.network.config.max_positions
        tokenizers = self.tokenizer, self.target_tokenizer
        try:
            return Samples.of(sources, references, tokenizers[0], limit, tokenizers[1], max_source)
        except InputError as error:
            raise InputError(f"{self.name}: {error}") from error


def open_for_evaluation(path: Path, device: str) -> Model:
    """A checkpoint or artifact on a device."""
    artifact = load_model(path)
    network = from_weights(artifact.config, artifact.decode()).to(device)
    return Model(str(path), network, *artifact.tokenizers())


def chosen_device(name: str) -> str:
    """The device named, or with `auto` a GPU where there is one."""
    available = torch.cuda.is_available()
    if name not in ("auto", "cpu", "cuda") or (name == "cuda" and not available):
        raise InputError(
            f"expected device auto, cpu{' or cuda' if available else ' (no GPU here)'}, got {name}"
        )
    return "cuda" if available and name != "cpu" else "cpu"


def translations(
    model: LiteTransformer,
    samples: Samples,
    tokenizer: Tokenizer,
    config: SearchConfig,
    track: Track = untracked,
    label: str = "decoding",
) -> list[str]:
    """The best hypothesis of every source; `tokenizer` is the target's."""
    session, sources = TorchSession(model), samples.source_ids
    texts = [""] * len(sources)
    for batch in track(by_length([len(s) for s in sources], MAX_TOKENS, MAX_SENTENCES), label):
        found = translate(session, [sources[i] for i in batch], config, batch=len(batch))
        for i, hypothesis in zip(batch, found, strict=True):
            texts[i] = " ".join(tokenizer.decode(hypothesis.tokens).splitlines())
    return texts
