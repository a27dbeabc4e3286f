"""Read lines of text that came from outside."""

from __future__ import annotations

import lzma
from pathlib import Path

from litecompress.errors import InputError

LIMIT_BYTES = 4 * 2**30


def read_lines(path: Path) -> list[str]:
    """Lines of a UTF-8 file, plain or .xz; a line ends at a newline and nowhere else.

    A file that is missing, empty, damaged or of another encoding is an InputError.
    """
    if not path.is_file():
        raise InputError(f"expected a text file at {path}, got none; check the path")
    data = _read(path)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{path}: expected UTF-8 text, got {error.reason} in line {line}; convert it"
        ) from error
    lines = [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]
    if not any(lines):
        raise InputError(f"{path}: expected lines of text, got an empty file")
    return lines


def _read(path: Path) -> bytes:
    """The content, decompressed; more than 4 GiB is an InputError."""
    try:
        with lzma.open(path) if path.suffix == ".xz" else path.open("rb") as file:
            data = file.read(LIMIT_BYTES + 1)
    except (lzma.LZMAError, EOFError) as error:
        raise InputError(f"{path}: expected an intact .xz file, got {error}") from error
    if len(data) > LIMIT_BYTES:
        raise InputError(f"{path}: expected at most {LIMIT_BYTES} bytes of text, got more")
    return data
