"""What was measured, in a file that only grows: a line a measurement, found again by its key."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any

from litecompress.errors import InputError

Row = dict[str, Any]
LIMIT_BYTES = 2**30


class Journal:
    """Rows by key, in memory and in the file. A line that a kill cut off does not count."""

    def __init__(self, file: FileIO) -> None:
        self.rows: dict[str, Row] = {}
        self.damaged = 0
        self._file = file
        content = file.read(LIMIT_BYTES)
        for line in content.splitlines():
            self._read(line)
        self._separator = b"" if content.endswith(b"\n") or not content else b"\n"

    def _read(self, line: bytes) -> None:
        try:
            row = json.loads(line, parse_constant=_refuse)
            self.rows[row["key"]] = row
        except (ValueError, TypeError, KeyError, RecursionError):
            self.damaged += 1

    def add(self, key: str, row: Row) -> None:
        """Append a row; the whole line is written at once."""
        self.rows[key] = {"key": key, **row}
        text = json.dumps(self.rows[key], separators=(",", ":"), allow_nan=False)
        self._file.write(self._separator + text.encode() + b"\n")
        self._separator = b""


@contextmanager
def opened(path: Path) -> Iterator[Journal]:
    """The journal at a path, for one process at a time; another one gets an InputError."""
    with FileIO(path, "a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(
                f"expected {path} for this scan alone, got another one at work; wait for its end"
            ) from error
        file.seek(0)
        yield Journal(file)


def _refuse(constant: str) -> float:
    raise ValueError(constant)
