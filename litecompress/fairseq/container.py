"""The two files that torch has written: a zip archive, and before torch 1.6 a row of pickles.

A zip archive holds `data.pkl`, and every storage uncompressed as `data/KEY`. The older file holds
pickles of a magic number, a version, the byte order, the object and the storages' keys, and then
each storage, led by its count.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, Any

from litecompress.errors import CheckpointError
from litecompress.fairseq.pickled import read_pickle
from litecompress.fairseq.tensors import Array, Storage, Tensor

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
VERSION = 1001
PICKLE_LIMIT_BYTES = 16 * 2**20
_COUNT = struct.Struct("q")
_ZIP_ERRORS = (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, struct.error)


@dataclass(frozen=True)
class Stored:
    """A file's object, and how to read the numbers of a tensor in it."""

    content: Any
    file_bytes: int
    byte_order: str
    read: Callable[[Storage], bytes]

    def array(self, tensor: Tensor) -> Array:
        """The numbers of a tensor; a storage that is not there is a CheckpointError."""
        data = self.read(tensor.storage)
        expected = tensor.storage.count * tensor.storage.itemsize
        if len(data) != expected:
            raise CheckpointError(
                f"expected {expected} bytes of storage {tensor.storage.key[:20]!r}, "
                f"got {len(data)}; fetch the file again"
            )
        return tensor.array(data, self.byte_order)


@contextmanager
def open_stored(path: Path) -> Iterator[Stored]:
    """Open what `torch.save` wrote; every error names the file."""
    if not path.is_file():
        raise CheckpointError(f"expected a fairseq checkpoint at {path}, got no such file")
    try:
        with path.open("rb") as file:
            if file.read(2) == b"PK":
                with zipfile.ZipFile(file) as archive:
                    yield _from_zip(archive, path.stat().st_size)
            else:
                yield _from_row(file, path.stat().st_size)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except (*_ZIP_ERRORS, ValueError, KeyError, OverflowError) as error:
        raise CheckpointError(
            f"{path}: expected a whole file of torch.save, got damaged content ({error}); "
            "fetch it again"
        ) from error


def _from_zip(archive: zipfile.ZipFile, file_bytes: int) -> Stored:
    pickles = [n for n in archive.namelist() if n.endswith("/data.pkl") and n.count("/") == 1]
    if len(pickles) != 1:
        raise CheckpointError(f"expected one data.pkl in the archive, got {len(pickles)}")
    root = pickles[0].removesuffix("data.pkl")

    def entry(name: str, limit: int) -> bytes:
        info = archive.getinfo(root + name)
        plain = info.compress_type == zipfile.ZIP_STORED and info.compress_size == info.file_size
        if not 0 <= info.header_offset < file_bytes:
            raise CheckpointError("expected entries within the archive, got one outside")
        if not plain or info.file_size > limit:
            raise CheckpointError(
                f"expected {name[:40]} uncompressed and of at most {limit} bytes, got "
                f"{info.file_size} bytes{'' if plain else ', compressed'}"
            )
        return archive.read(info)

    content, _ = read_pickle(BytesIO(entry("data.pkl", min(file_bytes, PICKLE_LIMIT_BYTES))))
    big = f"{root}byteorder" in archive.namelist() and entry("byteorder", 16) == b"big"
    return Stored(
        content, file_bytes, ">" if big else "<", lambda s: entry(f"data/{s.key}", file_bytes)
    )


def _from_row(file: IO[bytes], file_bytes: int) -> Stored:
    file.seek(0)
    head = BytesIO(file.read(PICKLE_LIMIT_BYTES))
    try:
        magic = read_pickle(head)[0]
    except CheckpointError:
        magic = None
    if magic != MAGIC_NUMBER:
        raise CheckpointError("expected a file of torch.save (0.2 or later), got another format")
    version, system = read_pickle(head)[0], read_pickle(head)[0]
    if version != VERSION or type(system) is not dict:
        raise CheckpointError(f"expected version {VERSION} of torch's format, got another")
    order = ">" if system.get("little_endian") is False else "<"
    content, storages = read_pickle(head)
    keys = read_pickle(head)[0]
    places = _places(file, head.tell(), file_bytes, keys, storages, order)

    def read(storage: Storage) -> bytes:
        start, length = places[storage.key]
        file.seek(start)
        return file.read(length)

    return Stored(content, file_bytes, order, read)


def _places(
    file: IO[bytes],
    position: int,
    file_bytes: int,
    keys: Any,
    storages: dict[str, Storage],
    order: str,
) -> dict[str, tuple[int, int]]:
    """Where the bytes of each storage begin, and how many there are."""
    found = {}
    if type(keys) is not list or not all(type(key) is str and key in storages for key in keys):
        raise CheckpointError("expected the keys of all storages, got others")
    for key in keys:
        storage = storages[key]
        file.seek(position)
        (count,) = struct.unpack(order + "q", file.read(_COUNT.size))
        length = storage.count * storage.itemsize
        start = position + _COUNT.size
        if count != storage.count or start + length > file_bytes:
            raise CheckpointError(
                f"expected {storage.count} numbers in storage {key[:20]!r}, got {count} in a file "
                f"of {file_bytes} bytes; fetch it again"
            )
        found[key] = (start, length)
        position = start + length
    return found
