"""Read lines of text that came from outside."""

from __future__ import annotations

from pathlib import Path

from litecompress.errors import InputError


def read_lines(path: Path) -> list[str]:
    """Lines of a UTF-8 file; one that is missing, empty or of another encoding is an InputError."""
    if not path.is_file():
        raise InputError(f"expected a text file at {path}, got none; check the path")
    try:
        lines = path.read_text("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: expected UTF-8 text, got {error.reason}; convert it") from error
    if not lines:
        raise InputError(f"{path}: expected lines of text, got an empty file")
    return lines
