"""A checkpoint: a folder with `config.json`, `model.safetensors` and `tokenizer.json`.

Where the target has a vocabulary of its own there is `target_tokenizer.json` too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, deserialize
from safetensors.numpy import save

from litecompress.errors import CheckpointError
from litecompress.model.config import ModelConfig

FILES = ("config.json", "model.safetensors", "tokenizer.json")
TARGET_TOKENIZER = "target_tokenizer.json"
_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}


@dataclass(frozen=True)
class Checkpoint:
    """A trained model as arrays; nothing of torch in it."""

    config: ModelConfig
    weights: Mapping[str, NDArray[np.float32]]
    tokenizer: bytes
    target_tokenizer: bytes | None = None  # where it is another

    @property
    def nbytes(self) -> int:
        """Bytes of all weights in float32."""
        return sum(4 * w.size for w in self.weights.values())


def load_checkpoint(folder: Path) -> Checkpoint:
    """Read a checkpoint folder, naming every file that is missing."""
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise CheckpointError(
            f"{folder}: expected a checkpoint folder, got none of {', '.join(missing)}; "
            "`litecompress train` writes one"
        )
    try:
        values = json.loads((folder / "config.json").read_text("utf-8"))
        weights = _read_weights(folder / "model.safetensors")
    except (SafetensorError, ValueError) as error:
        raise CheckpointError(f"{folder}: cannot be read as a checkpoint: {error}") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{folder}/config.json: expected an object, got {type(values)}")
    return Checkpoint(
        ModelConfig.from_dict(values),
        weights,
        (folder / "tokenizer.json").read_bytes(),
        read_target_tokenizer(folder),
    )


def _read_weights(path: Path) -> dict[str, NDArray[np.float32]]:
    """Tensors of a safetensors file in float32, whatever precision they are stored in."""
    found = {}
    for name, tensor in deserialize(path.read_bytes()):  # type: ignore[no-untyped-call]
        if tensor["dtype"] not in _DTYPES:
            raise CheckpointError(f"{path}: expected floats as {name}, got {tensor['dtype']}")
        values = np.frombuffer(tensor["data"], _DTYPES[tensor["dtype"]])
        if tensor["dtype"] == "BF16":  # the upper half of a float32, which NumPy lacks
            values = (values.astype("<u4") << 16).view("<f4")
        found[name] = values.reshape(tensor["shape"]).astype(np.float32)
    return found


def read_target_tokenizer(folder: Path) -> bytes | None:
    """The target's own tokenizer in a folder, None where both sides share one."""
    path = folder / TARGET_TOKENIZER
    return path.read_bytes() if path.is_file() else None


def write_tokenizers(folder: Path, source: bytes, target: bytes | None) -> None:
    """Write one tokenizer, or two where the target has its own."""
    (folder / "tokenizer.json").write_bytes(source)
    if target is None:
        (folder / TARGET_TOKENIZER).unlink(missing_ok=True)
    else:
        (folder / TARGET_TOKENIZER).write_bytes(target)


def save_checkpoint(checkpoint: Checkpoint, folder: Path) -> None:
    """Write the files into a folder that exists."""
    text = json.dumps(checkpoint.config.to_dict(), indent=2) + "\n"
    (folder / "config.json").write_text(text, "utf-8")
    write_tokenizers(folder, checkpoint.tokenizer, checkpoint.target_tokenizer)
    content = save(dict(checkpoint.weights), metadata={"format": "pt"})
    (folder / "model.safetensors").write_bytes(content)
