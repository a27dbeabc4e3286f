"""Compress a trained Lite Transformer and export it to ONNX, Core ML and TFLite."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from litecompress.runtime.generator import Generator
    from litecompress.runtime.translator import Translator

__version__ = "0.1.0"
__all__ = ["Generator", "Translator"]


def __getattr__(name: str) -> Any:
    """What runs a model, imported when it is first asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"litecompress.runtime.{name.lower()}"), name)
