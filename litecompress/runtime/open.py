"""Open whatever runs: a package of any target, an artifact or a checkpoint."""

from __future__ import annotations

from pathlib import Path

from litecompress.artifact_file import load_model
from litecompress.errors import InputError
from litecompress.export.package import MANIFEST, read_manifest
from litecompress.runtime.session import Session
from litecompress.tokenizer import Tokenizer

LEVELS = {"onnx": "executed", "tflite": "executed", "coreml": "emulated"}


def open_package(folder: Path, target: str) -> Session:
    """The session for a target's files; the runtime is imported here."""
    match target:
        case "onnx":
            from litecompress.runtime.ort import OnnxSession

            return OnnxSession(folder)
        case "tflite":
            from litecompress.runtime.litert import LiteRTSession

            return LiteRTSession(folder)
        case "coreml":
            from litecompress.runtime.mil import CoreMLSession

            return CoreMLSession(folder)
    raise InputError(f"expected a package for {', '.join(LEVELS)}, got one for {target!r}")


def open_model(path: Path) -> tuple[Session, Tokenizer]:
    """A session and its tokenizer, from a package, an artifact or a checkpoint."""
    if (path / MANIFEST).is_file():
        target = read_manifest(path)["target"]
        return open_package(path, target), Tokenizer((path / "tokenizer.json").read_bytes())
    from litecompress.runtime.torch_session import TorchSession

    artifact = load_model(path)
    return TorchSession.of(artifact), Tokenizer(artifact.tokenizer)
