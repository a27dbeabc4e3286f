"""What an ONNX file declares beside its graph, domains and functions, held against what we write.

A function in the file takes the place of an operator, also of one whose name is ours. ONNX Runtime
loads no node of a domain that is not declared, and of ours none but those functions, so nothing
else needs a look. Read by hand from the protobuf wire format: a device has no `onnx` package.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from litecompress.errors import InputError

DOMAINS = frozenset(["", "ai.onnx", "com.microsoft", "litecompress"])
FUNCTIONS = frozenset(  # SHA-256 of the decompositions in export/conv_branch.py, as they are stored
    [
        "7a167f5fb72d42c59d7379a77abee10f64b9cd1cdc410b1e957dfd0f95edb02a",  # Lightweight, encoder
        "29e62aaebbe75fd8e6017f2728e309320d7d9f321a80ce33514932d9014b2761",  # Lightweight, decoder
        "b45576bd9d355a5deac545b0cdab0a3308afe61a9b0707daf48f0a1ac2caf439",  # Dynamic, encoder
        "e822d0f8eeb0daa6f97538bf43171a595fc14b342042b6f6a17c551117c03254",  # Dynamic, decoder
    ]
)
_OPSETS, _FUNCTIONS, _DOMAIN = 8, 25, 1  # of a model, of a model, of an opset
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def check_declared(path: Path) -> None:
    """An InputError for domains that no package has, or functions that are not ours.

    A file that is damaged is a ValueError.
    """
    domains, functions = set(), set()
    for field, content in _fields(path.read_bytes()):
        if field == _OPSETS:
            domains.add(b"".join(c for f, c in _fields(content) if f == _DOMAIN).decode())
        elif field == _FUNCTIONS:
            functions.add(hashlib.sha256(content).hexdigest())
    foreign = [f"the domain {domain!r}" for domain in sorted(domains - DOMAINS)]
    if functions - FUNCTIONS:
        foreign.append("functions that differ from this version's")
    if foreign:
        raise InputError(
            f"{path}: expected the operators that litecompress writes, got "
            f"{' and '.join(foreign)}; export the package again, from a model that you trust"
        )


def _fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Number and content of every field of a message that has bytes; others are passed over."""
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        kind, size = key & 7, 0
        if kind in (_VARINT, _BYTES):
            size, position = _varint(data, position)
        if kind == _VARINT:
            continue
        if kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
        elif kind != _BYTES:
            raise ValueError(f"a protobuf field of type {kind}")
        if position + size > len(data):
            raise ValueError(f"protobuf content up to {position + size} of {len(data)} bytes")
        if kind == _BYTES:
            yield key >> 3, data[position : position + size]
        position += size


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """A number, and where what follows it begins."""
    value = 0
    for i, byte in enumerate(data[position : position + 10]):
        value |= (byte & 0x7F) << 7 * i
        if byte < 0x80:
            return value, position + i + 1
    raise ValueError("a protobuf number without an end")
