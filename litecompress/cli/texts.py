"""Texts in and answers out, for the verbs that decode."""

from __future__ import annotations

import io
import json
import os
import stat
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from litecompress.runtime.generator import Continuation
    from litecompress.runtime.translator import Translation

SORTED_BATCHES = 16  # of a file, whose sentences of like length are then decoded together


def model_and_texts(
    model: Path | None, arguments: Sequence[str] | None, file: Path | None
) -> tuple[Path, list[str]]:
    """The model, by option or as the first argument, and the texts that follow."""
    from litecompress.errors import InputError

    texts = list(arguments or ())
    if model is None:
        if not texts:
            raise InputError("expected a model, got none; name it first, or with -m")
        model = Path(texts.pop(0))
    if texts and file is not None:
        raise InputError("expected texts as arguments or by --input, got both")
    return model, texts


def groups(
    texts: Sequence[str], file: Path | None, batch_size: int
) -> Iterator[tuple[int, Sequence[str]]]:
    """Texts to be answered together, and the number of the first of them.

    A file is taken many batches at a time, of a pipe or a terminal whatever has come.
    """
    from litecompress.errors import InputError

    number = 1
    for group in _groups(texts, file, batch_size):
        yield number, group
        number += len(group)
    if number == 1:
        raise InputError("expected texts as arguments, by --input or on stdin, got none")


def _groups(texts: Sequence[str], file: Path | None, batch_size: int) -> Iterator[Sequence[str]]:
    from litecompress.runtime.lines import lines_as_they_come
    from litecompress.text import read_lines

    most = batch_size * SORTED_BATCHES
    if not texts and file is None:
        stream, is_file = _stdin()
        yield from lines_as_they_come(stream, most if is_file else batch_size, "stdin")
        return
    lines = texts if file is None else read_lines(file)
    for start in range(0, len(lines), most):
        yield lines[start : start + most]


def _stdin() -> tuple[Any, bool]:
    """Standard input as bytes, and whether it is a file."""
    if not hasattr(sys.stdin, "buffer"):
        return io.BytesIO(sys.stdin.read().encode("utf-8", "surrogateescape")), False
    try:
        mode = os.fstat(sys.stdin.fileno()).st_mode
    except OSError:
        return sys.stdin.buffer, False
    return sys.stdin.buffer, stat.S_ISREG(mode)


def answer(
    results: Sequence[Translation | Continuation], first: int, *, ranked: bool, as_json: bool
) -> None:
    """Print a line a result: its text or JSON; if `ranked` a line a candidate, with number and
    score before it."""
    for number, result in enumerate(results, first):
        if as_json:
            typer.echo(json.dumps(asdict(result), ensure_ascii=False, allow_nan=False))
        elif ranked:
            for found in result.n_best or (result,):
                typer.echo(f"{number}\t{found.score:.4f}\t{_one_line(found.text)}")
        else:
            typer.echo(_one_line(result.text))
    sys.stdout.flush()


def _one_line(text: str) -> str:
    return " ".join(text.splitlines())
