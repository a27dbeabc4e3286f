"""Lines of a stream as they come."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from litecompress.errors import InputError

CHUNK_BYTES = 2**16
LINE_LIMIT_BYTES = 2**22


class Stream(Protocol):
    """A buffered stream of bytes."""

    def read1(self, size: int, /) -> bytes:
        """At most `size` bytes of what is there, waiting only where nothing is; none at the end."""


def lines_as_they_come(stream: Stream, most: int, origin: str) -> Iterator[list[str]]:
    """Groups of at most `most` lines, each as large as what has arrived allows.

    What is not UTF-8 is an InputError that names the line, after the lines before it are given.
    """
    rest, number = b"", 1
    while chunk := stream.read1(CHUNK_BYTES):
        *lines, rest = (rest + chunk).split(b"\n")
        for start in range(0, len(lines), most):
            group = lines[start : start + most]
            yield from _decoded(group, number, origin)
            number += len(group)
        if len(rest) > LINE_LIMIT_BYTES:
            raise InputError(
                f"{origin}: expected lines of at most {LINE_LIMIT_BYTES} bytes, got more in line "
                f"{number}; break the text into lines"
            )
    if rest:
        yield from _decoded([rest], number, origin)


def _decoded(lines: list[bytes], number: int, origin: str) -> Iterator[list[str]]:
    """The lines as one group, the first of them with that number."""
    group: list[str] = []
    for line in lines:
        try:
            group.append(line.decode("utf-8").removesuffix("\r"))
        except UnicodeDecodeError as error:
            if group:
                yield group
            raise InputError(
                f"{origin}: expected UTF-8 text, got {error.reason} in line "
                f"{number + len(group)}; convert it"
            ) from error
    yield group
