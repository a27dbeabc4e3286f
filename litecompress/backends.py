"""Optional extras: which package belongs to which, and how exporters are found."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from litecompress.errors import ExportError, MissingBackendError

if TYPE_CHECKING:
    from litecompress.export.base import Exporter

ENTRY_POINTS = "litecompress.exporters"
EXTRAS = {
    "torch": "train",
    "onnx": "onnx",
    "onnx_ir": "onnx",
    "onnxscript": "onnx",
    "onnxruntime": "onnx",
    "coremltools": "coreml",
    "sklearn": "coreml",
    "litert_torch": "litert",
    "ai_edge_litert": "litert",
    "ai_edge_quantizer": "litert",
    "sacrebleu": "eval",
}


@contextmanager
def named_extras() -> Iterator[None]:
    """Turn the absence of an optional package into a MissingBackendError that names its extra."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").split(".")[0]
        if package not in EXTRAS:
            raise
        raise MissingBackendError(package, EXTRAS[package]) from error


def exporter_names() -> list[str]:
    """Targets that some installed package exports to."""
    return sorted(e.name for e in entry_points(group=ENTRY_POINTS))


def load_exporter(target: str) -> type[Exporter]:
    """The exporter class of a target; its back end is imported here, and not before."""
    for entry in entry_points(group=ENTRY_POINTS):
        if entry.name == target:
            with named_extras():
                loaded: Any = entry.load()
                return loaded  # type: ignore[no-any-return]
    raise ExportError(f"expected a target of {', '.join(exporter_names())}, got {target!r}")
