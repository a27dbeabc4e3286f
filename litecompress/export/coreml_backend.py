"""coremltools, imported and run without its noise, or the error that says how to get it."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType

from litecompress.errors import MissingBackendError

FILES = {"encoder": "encoder.mlpackage", "decoder": "decoder.mlpackage"}  # of an exported folder


def backend(module: str = "coremltools") -> ModuleType:
    """Import a module of coremltools; MissingBackendError where that is not installed."""
    try:
        with unlogged():
            return import_module(module)
    except ModuleNotFoundError as error:
        if error.name != "coremltools":
            raise
        raise MissingBackendError("coremltools", "coreml") from None


@contextlib.contextmanager
def unlogged() -> Iterator[None]:
    """No Python warnings and no log records below ERROR; exceptions pass."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """`unlogged`, and no progress bars either: stderr is dropped."""
    with unlogged(), contextlib.redirect_stderr(io.StringIO()):
        yield
