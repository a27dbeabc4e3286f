"""An import as a whole: checkpoints, dictionaries and merges in, a checkpoint of ours out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from litecompress.checkpoint import Checkpoint
from litecompress.errors import InputError, LiteCompressError
from litecompress.fairseq.convert import read_checkpoints
from litecompress.fairseq.dictionary import Codes, fitted, read_codes, read_dictionary
from litecompress.fairseq.tokens import TextForm, build_tokenizer
from litecompress.model.config import ModelConfig
from litecompress.tokenizer import SPECIAL_TOKENS


@dataclass(frozen=True)
class ImportJob:
    """What to import; several checkpoints are averaged."""

    checkpoints: tuple[Path, ...]
    source_dict: Path | None = None
    target_dict: Path | None = None
    bpe_codes: Path | None = None
    form: TextForm = field(default_factory=TextForm)

    @property
    def inputs(self) -> list[Path]:
        """Every file that is read."""
        texts = (self.source_dict, self.target_dict, self.bpe_codes)
        return [*self.checkpoints, *(path for path in texts if path is not None)]

    def run(self) -> Checkpoint:
        """Read everything; what cannot be used is one error, raised before anything is written."""
        texts = self._texts()
        converted = read_checkpoints(self.checkpoints)
        tokens = _dictionaries(texts, converted.config)
        source, target = (build_tokenizer(side, texts.codes, self.form) for side in tokens)
        own = None if target == source else target
        return Checkpoint(converted.config, converted.weights, source, own)

    def _texts(self) -> _Texts:
        """The text files; all that are missing, and all that is wrong in them, is one error."""
        missing = [str(path) for path in self.inputs if not path.is_file()]
        if missing:
            raise InputError(f"expected these files, got none: {', '.join(missing)}")
        problems: list[str] = []
        dictionaries, codes = [], None
        for path in (self.source_dict, self.target_dict):
            if path is not None:
                with _noted(problems):
                    dictionaries.append((path, read_dictionary(path)))
        if self.bpe_codes is not None:
            with _noted(problems):
                codes = read_codes(self.bpe_codes)
        _refuse(problems)
        return _Texts(dictionaries, codes)


@dataclass(frozen=True)
class _Texts:
    """The dictionaries that were given, source first, and the merges."""

    dictionaries: list[tuple[Path, tuple[str, ...]]]
    codes: Codes | None


@contextmanager
def _noted(problems: list[str]) -> Iterator[None]:
    """Note what is raised, and go on to the next."""
    try:
        yield
    except LiteCompressError as error:
        problems.append(str(error))


def _refuse(problems: list[str]) -> None:
    if problems:
        raise InputError("; ".join(dict.fromkeys(problems)))


def _dictionaries(texts: _Texts, config: ModelConfig) -> list[tuple[str, ...]]:
    """The tokens of each side; one dictionary is enough where both sides share a table."""
    given, shared = texts.dictionaries, config.share_embeddings
    sizes = config.source_vocab_size, config.target_vocab_size
    if not given or (len(given) == 1 and not shared):
        wanted = "--source-dict" if shared else "--source-dict and --target-dict"
        raise InputError(f"expected {wanted} for this model, got {len(given)} of them")
    if min(sizes) <= len(SPECIAL_TOKENS):
        raise InputError(
            f"expected a vocabulary of more than the {len(SPECIAL_TOKENS)} special tokens, got "
            f"{min(sizes)} rows"
        )
    problems: list[str] = []
    tokens = []
    for (path, entries), rows in zip((given[0], given[-1]), sizes, strict=True):
        with _noted(problems):
            tokens.append(fitted(entries, rows, path))
    _refuse(problems)
    if shared and tokens[0] != tokens[1]:
        raise InputError(
            "expected one dictionary for both sides of a model with one table, got two that "
            f"differ: {given[0][0]} and {given[-1][0]}"
        )
    return tokens
