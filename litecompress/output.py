"""Outputs are written beside their place and renamed into it; only what is ours is replaced."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from litecompress.errors import InputError

MARKS = ("manifest.json", "report.json")  # a folder with one of them is an output of ours
CHECKPOINT = {"config.json", "model.safetensors", "tokenizer.json", "target_tokenizer.json"}


def refuse_existing(path: Path, *, force: bool, inputs: Sequence[Path] = ()) -> None:
    """An InputError when writing to `path` would replace what it must not.

    Without `force` nothing is replaced; with it a file, an empty folder or a folder of ours, but
    never an input or what holds one.
    """
    where = path.resolve()
    held = [i for i in inputs if i.resolve().is_relative_to(where)]
    if held:
        raise InputError(f"expected an output apart from the input {held[0]}, got {path}")
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    if not force:
        raise InputError(f"expected no {path} yet, got an existing one; use --force to replace it")
    if path.is_dir() and not _is_ours(path):
        raise InputError(
            f"expected {path} to be an earlier output ({' or '.join(MARKS)} in it), got a folder "
            "with other files; choose another place or remove it yourself"
        )


def _is_ours(folder: Path) -> bool:
    """Whether a folder has a mark of ours, or holds a checkpoint and nothing else."""
    names = {path.name for path in folder.iterdir()}
    return not names.isdisjoint(MARKS) or names <= CHECKPOINT


@contextmanager
def replacing(path: Path, *, force: bool, inputs: Sequence[Path] = ()) -> Iterator[Path]:
    """A place to write a folder to; it takes the name `path` only if all goes well."""
    refuse_existing(path, force=force, inputs=inputs)
    path = path.resolve()
    partial = path.with_name(f".{path.name}.partial")
    make_parent(path)
    _remove(partial)
    try:
        yield partial
        _exchange(partial, path)
    finally:
        _remove(partial)


def make_parent(path: Path) -> None:
    """The folder that an output goes into; an InputError where there can be none."""
    try:
        path.resolve().parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"expected a folder that can be written at {path.parent}, got {error.strerror}; "
            "choose another output"
        ) from error


def _exchange(new: Path, path: Path) -> None:
    """Put `new` in the place of `path`; what stood there comes back if that fails."""
    if not path.exists():
        new.rename(path)
        return
    old = path.with_name(f".{path.name}.old")
    _remove(old)
    path.rename(old)
    try:
        new.rename(path)
    except OSError:
        old.rename(path)
        raise
    _remove(old)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
