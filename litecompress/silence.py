"""Run other people's converters without their noise."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Drop what Python and C++ code print, warn and log below ERROR; exceptions pass.

    It acts on the file descriptors of the whole process, so no other thread should be printing.
    """
    disabled, handlers = logging.root.manager.disable, logging.root.handlers[:]
    logging.disable(logging.WARNING)
    try:
        with contextlib.ExitStack() as stack:
            stack.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
            for descriptor in (1, 2):
                stack.enter_context(_to_nowhere(descriptor))
            stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
            stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
            yield
    finally:
        logging.disable(disabled)
        logging.root.handlers[:] = handlers  # absl adds its own when it is imported


@contextlib.contextmanager
def _to_nowhere(descriptor: int) -> Iterator[None]:
    """Send a file descriptor to the null device, and back afterwards."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    saved = os.dup(descriptor)
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, descriptor)
        os.close(nowhere)
        yield
    finally:
        os.dup2(saved, descriptor)
        os.close(saved)
