"""Open whatever runs: a package of any target, an artifact or a checkpoint."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from litecompress.backends import named_extras
from litecompress.errors import InputError, LiteCompressError
from litecompress.export.package import MANIFEST, SHORTLIST, package_tokenizers, read_manifest
from litecompress.runtime.session import LanguageSession, Session, ShortlistSession
from litecompress.tokenizer import Tokenizers

if TYPE_CHECKING:
    from litecompress.artifact import Artifact

LEVELS = {
    "onnx": "executed",
    "tflite": "executed",
    "coreml": "executed" if sys.platform == "darwin" else "emulated",
}
_S = TypeVar("_S")


def open_package(folder: Path, target: str, threads: int | None = None) -> Session:
    """The session for a target's files; what the runtime refuses is an InputError."""
    return _opened(folder, target, _session_class, threads)


def open_model(
    path: Path, threads: int | None = None, *, shortlist: bool = False
) -> tuple[Session, Tokenizers]:
    """A session and its tokenizers, from a package, an artifact or a checkpoint.

    A package runs on one thread where none are asked for; PyTorch keeps what it has. With
    `shortlist` the session is a ShortlistSession where a package has one.
    """
    if (path / MANIFEST).is_file():
        manifest = read_manifest(path)
        _check_kind(path, "step" in manifest["roles"], language=False)
        tokenizers = Tokenizers.of(*package_tokenizers(path, manifest))
        if shortlist and SHORTLIST in manifest["roles"]:
            return _open_shortlist(path, manifest, tokenizers, threads), tokenizers
        return open_package(path, manifest["target"], threads), tokenizers
    artifact = _artifact(path, threads, language=False)
    from litecompress.runtime.torch_session import TorchSession

    return TorchSession.of(artifact), artifact.tokenizers()


def _open_shortlist(
    folder: Path, manifest: Mapping[str, Any], tokenizers: Tokenizers, threads: int | None
) -> ShortlistSession:
    """The session that scores candidates only; a table that does not fit is an InputError."""
    from litecompress.shortlist import load_shortlist

    sizes = tokenizers.source.vocab_size, tokenizers.target.vocab_size
    table = load_shortlist(folder / manifest["roles"][SHORTLIST], *sizes)

    def class_of(target: str) -> Callable[[Path, int], ShortlistSession]:
        if target != "onnx":
            raise InputError(
                f"{folder}: expected a shortlist in a package for onnx, got one for {target}; "
                "translate without it (--no-shortlist)"
            )
        from litecompress.runtime.ort_shortlist import OnnxShortlistSession

        return lambda path, count: OnnxShortlistSession(
            path, count, table, lambda: open_package(path, target, count)
        )

    return _opened(folder, manifest["target"], class_of, threads)


def open_language_model(
    path: Path, threads: int | None = None
) -> tuple[LanguageSession, Tokenizers]:
    """The same for a language model."""
    if (path / MANIFEST).is_file():
        manifest = read_manifest(path)
        _check_kind(path, "step" in manifest["roles"], language=True)
        tokenizers = Tokenizers.of(*package_tokenizers(path, manifest))
        return _opened(path, manifest["target"], _language_class, threads), tokenizers
    artifact = _artifact(path, threads, language=True)
    from litecompress.runtime.torch_language import TorchLanguageSession

    return TorchLanguageSession.of(artifact), artifact.tokenizers()


def _artifact(path: Path, threads: int | None, *, language: bool) -> Artifact:
    """An artifact or a checkpoint of the right kind, with torch ready to run it."""
    from litecompress.artifact_file import load_model

    artifact = load_model(path)
    _check_kind(path, artifact.config.is_language_model, language=language)
    with named_extras():
        import torch
    if threads is not None:
        torch.set_num_threads(threads)
    return artifact


def _check_kind(path: Path, is_language_model: bool, *, language: bool) -> None:
    """An InputError for a language model in place of a translation model, or the reverse."""
    if is_language_model != language:
        kinds = ["a translation or summarization model", "a language model"]
        verb = "generate" if is_language_model else "translate"
        raise InputError(
            f"{path}: expected {kinds[language]}, got {kinds[is_language_model]}; "
            f"use litecompress {verb}"
        )


def _opened(
    folder: Path,
    target: str,
    class_of: Callable[[str], Callable[[Path, int], _S]],
    threads: int | None,
) -> _S:
    if target not in LEVELS:
        raise InputError(f"expected a package for {', '.join(LEVELS)}, got one for {target!r}")
    with named_extras():
        session = class_of(target)
    try:
        return session(folder, threads or 1)
    except LiteCompressError:
        raise
    except Exception as error:  # each runtime has its own, down to RuntimeError
        raise InputError(
            f"{folder}: expected a package that its runtime loads, got {error}; export it again"
        ) from error


def _session_class(target: str) -> Callable[[Path, int], Session]:
    """The session of a target; its runtime is imported here."""
    match target:
        case "onnx":
            from litecompress.runtime.ort import OnnxSession

            return OnnxSession
        case "tflite":
            from litecompress.runtime.litert import LiteRTSession

            return LiteRTSession
    from litecompress.runtime.mil import CoreMLSession

    return lambda folder, _: CoreMLSession(folder)


def _language_class(target: str) -> Callable[[Path, int], LanguageSession]:
    """The same for a language model."""
    match target:
        case "onnx":
            from litecompress.runtime.ort import OnnxLanguageSession

            return OnnxLanguageSession
        case "tflite":
            from litecompress.runtime.litert import LiteRTLanguageSession

            return LiteRTLanguageSession
    from litecompress.runtime.mil import CoreMLLanguageSession

    return lambda folder, _: CoreMLLanguageSession(folder)
