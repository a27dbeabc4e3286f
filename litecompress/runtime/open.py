"""Open whatever runs: a package of any target, an artifact or a checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from litecompress.artifact_file import load_model
from litecompress.backends import named_extras
from litecompress.errors import InputError, LiteCompressError
from litecompress.export.package import MANIFEST, package_tokenizers, read_manifest
from litecompress.runtime.session import Session
from litecompress.tokenizer import Tokenizers

LEVELS = {"onnx": "executed", "tflite": "executed", "coreml": "emulated"}


def open_package(folder: Path, target: str) -> Session:
    """The session for a target's files; what the runtime refuses is an InputError."""
    if target not in LEVELS:
        raise InputError(f"expected a package for {', '.join(LEVELS)}, got one for {target!r}")
    with named_extras():
        session = _session_class(target)
    try:
        return session(folder)
    except LiteCompressError:
        raise
    except Exception as error:  # each runtime has its own, down to RuntimeError
        raise InputError(
            f"{folder}: expected a package that its runtime loads, got {error}; export it again"
        ) from error


def _session_class(target: str) -> Callable[[Path], Session]:
    """The session of a target; its runtime is imported here."""
    match target:
        case "onnx":
            from litecompress.runtime.ort import OnnxSession

            return OnnxSession
        case "tflite":
            from litecompress.runtime.litert import LiteRTSession

            return LiteRTSession
    from litecompress.runtime.mil import CoreMLSession

    return CoreMLSession


def open_model(path: Path) -> tuple[Session, Tokenizers]:
    """A session and its tokenizers, from a package, an artifact or a checkpoint."""
    if (path / MANIFEST).is_file():
        manifest = read_manifest(path)
        tokenizers = Tokenizers.of(*package_tokenizers(path, manifest))
        return open_package(path, manifest["target"]), tokenizers
    from litecompress.runtime.torch_session import TorchSession

    artifact = load_model(path)
    return TorchSession.of(artifact), artifact.tokenizers()
