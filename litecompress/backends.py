"""Optional extras: which package belongs to which, and how exporters are found."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from litecompress.errors import ExportError, MissingBackendError
from litecompress.silence import silenced

if TYPE_CHECKING:
    from litecompress.export.base import Exporter

ENTRY_POINTS = "litecompress.exporters"
EXTRAS = {  # module -> what installs it, and the extra that holds that
    "torch": ("torch", "train"),
    "accelerate": ("accelerate", "train"),
    "tensorboard": ("tensorboard", "tensorboard"),
    "onnx": ("onnx", "onnx"),
    "onnxruntime": ("onnxruntime", "runtime"),
    "coremltools": ("coremltools", "coreml"),
    "ai_edge_litert": ("ai-edge-litert", "litert"),
    "flatbuffers": ("flatbuffers", "litert"),
    "sacrebleu": ("sacrebleu", "eval"),
    "rouge_score": ("rouge-score", "eval"),
    "transformers": ("transformers", "hf"),
    "torch_pruning": ("torch-pruning", "prune"),
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
        raise MissingBackendError(*EXTRAS[package]) from error


def load_backend(module: str) -> Any:
    """Import a module of an optional package without its noise, or say which extra installs it."""
    with named_extras(), silenced():
        return import_module(module)


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
