"""Outputs are written beside their place and renamed into it; an existing one is refused."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from litecompress.errors import InputError


def refuse_existing(path: Path, force: bool) -> None:
    """An InputError when something stands there already and may not be replaced."""
    if path.exists() and not force:
        raise InputError(f"expected no {path} yet, got an existing one; use --force to replace it")


@contextmanager
def replacing(path: Path, *, force: bool) -> Iterator[Path]:
    """A place to write a file or folder to; it takes the name `path` only if all goes well."""
    refuse_existing(path, force)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    _remove(partial)
    try:
        yield partial
        if path.exists():
            old = path.with_name(f".{path.name}.old")
            _remove(old)
            path.rename(old)
            partial.rename(path)
            _remove(old)
        else:
            partial.rename(path)
    finally:
        _remove(partial)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
