"""Length buckets: how many tokens the fixed shapes of a package have room for."""

from __future__ import annotations

from litecompress.artifact import Artifact
from litecompress.errors import ExportError
from litecompress.export.base import check_length

Lengths = int | tuple[int, ...]  # one bucket, or several


def buckets(length: Lengths) -> tuple[int, ...]:
    """The buckets in ascending order."""
    return (length,) if isinstance(length, int) else tuple(sorted(set(length)))


def checked_buckets(target: str, length: Lengths, artifact: Artifact) -> tuple[int, ...]:
    """The same; an ExportError for none, or for one that `check_length` refuses."""
    found = buckets(length)
    if not found:
        raise ExportError(f"{target}: expected a length or more, got none; try length: 64")
    for one in found:
        check_length(target, one, artifact)
    return found


def parse_lengths(text: str) -> Lengths:
    """`64`, or `16,32,64`, as a recipe would have it; anything else is an ExportError."""
    parts = text.split(",")
    if not all(part.strip().isdecimal() for part in parts):
        raise ExportError(f"expected lengths such as 64 or 16,32,64, got {text!r}")
    numbers = tuple(int(part) for part in parts)
    return numbers[0] if len(numbers) == 1 else numbers
