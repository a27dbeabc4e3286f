"""A shortlist for a model, out of text files."""

from __future__ import annotations

from pathlib import Path

from litecompress.artifact_file import load_model
from litecompress.corpus import read_parallel
from litecompress.errors import InputError
from litecompress.evaluate.corpus import read_pairs
from litecompress.shortlist.learning import Learnt, Settings, learn_from_text


def learn_for(
    model: Path,
    source: Path | None,
    target: Path | None,
    pairs: Path | None,
    columns: tuple[str, str],
    settings: Settings,
) -> Learnt:
    """From two files of one sentence a line, or from two columns of a tab-separated one.

    Other text than that, or a language model, is an InputError.
    """
    artifact = load_model(model)
    if artifact.config.is_language_model:
        raise InputError(
            f"{model}: expected a translation or summarization model, got a language model, which "
            "has no source to shorten a vocabulary by"
        )
    if pairs is not None and source is None and target is None:
        sides = read_pairs(pairs, *columns)
    elif pairs is None and source is not None and target is not None:
        sides = read_parallel(source, target)
    else:
        given = {"--source": source, "--target": target, "--pairs": pairs}
        got = " and ".join(name for name, path in given.items() if path is not None) or "none"
        raise InputError(f"expected text as --source and --target or as --pairs, got {got}")
    copies = artifact.target_tokenizer is None
    return learn_from_text(sides, artifact.tokenizers(), settings, copies=copies)
