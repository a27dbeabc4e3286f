"""The shortlist as a file: four arrays in safetensors, the same bytes for the same table.

`header` int64 (4,): version 1, source vocabulary, target vocabulary, whether source ids are copied.
`counts` uint8 (source vocabulary,), `always` (K,) and `targets` (M,): uint16 where every id of the
target vocabulary fits, else uint32.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, deserialize
from safetensors.numpy import save

from litecompress.errors import InputError
from litecompress.shortlist.table import Shortlist

FILE = "shortlist.safetensors"  # in a package
VERSION = 1
LIMIT_BYTES = 64 * 2**20
_DTYPES = {"I64": "<i8", "U8": "<u1", "U16": "<u2", "U32": "<u4"}
_Arrays = dict[str, NDArray[np.integer]]


def save_shortlist(shortlist: Shortlist, path: Path) -> None:
    """Write a file into a folder that exists."""
    sizes = (shortlist.source_vocab_size, shortlist.vocab_size)
    ids = _id_dtype(shortlist.vocab_size)
    arrays = {
        "header": np.array([VERSION, *sizes, shortlist.copies], "<i8"),
        "counts": shortlist.counts.astype("<u1"),
        "always": shortlist.always.astype(ids),
        "targets": shortlist.targets.astype(ids),
    }
    path.write_bytes(save(arrays))


def load_shortlist(path: Path, source_vocab_size: int, vocab_size: int) -> Shortlist:
    """Read a file for a model with these vocabularies.

    What is missing, damaged, too large or made for another model is an InputError.
    """
    if not path.is_file():
        raise InputError(
            f"expected a shortlist at {path}, got none; `litecompress shortlist` learns one"
        )
    if path.stat().st_size > LIMIT_BYTES:
        raise InputError(f"{path}: expected at most {LIMIT_BYTES} bytes, got {path.stat().st_size}")
    arrays = _read(path, _id_dtype(vocab_size))
    header, expected = arrays["header"].tolist(), [VERSION, source_vocab_size, vocab_size]
    if header[:3] != expected or header[3:] not in ([0], [1]):
        raise InputError(
            f"{path}: expected a shortlist of version {VERSION} for {source_vocab_size} source ids "
            f"and {vocab_size} target ids, got {header}; learn one for this model"
        )
    if len(arrays["counts"]) != source_vocab_size:
        raise InputError(
            f"{path}: expected {source_vocab_size} counts, got {len(arrays['counts'])}; "
            "learn it again"
        )
    return Shortlist(
        vocab_size, arrays["always"], arrays["counts"], arrays["targets"], copies=bool(header[3])
    )


def _read(path: Path, ids: str) -> _Arrays:
    """The arrays of a file, of the expected names, numbers and one axis."""
    expected = {"header": "<i8", "counts": "<u1", "always": ids, "targets": ids}
    try:
        tensors = deserialize(path.read_bytes())  # type: ignore[no-untyped-call]
    except SafetensorError as error:
        raise InputError(
            f"{path}: cannot be read as a shortlist: {error}; learn it again"
        ) from error
    got = {name: (_DTYPES.get(t["dtype"]), len(t["shape"])) for name, t in tensors}
    if got != {name: (dtype, 1) for name, dtype in expected.items()}:
        raise InputError(
            f"{path}: expected a shortlist of {', '.join(expected)} for this vocabulary, got "
            f"{', '.join(sorted(got)[:8]) or 'nothing'}; learn one for this model"
        )
    return {name: np.frombuffer(t["data"], expected[name]) for name, t in tensors}


def _id_dtype(vocab_size: int) -> str:
    """What holds every id."""
    return "<u2" if vocab_size <= 2**16 else "<u4"
