"""What a measurement depends on, as one hash: equal keys mean equal results."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

import numpy as np

from litecompress import __version__
from litecompress.artifact import Artifact
from litecompress.encoding import Sparse


def model_digest(artifact: Artifact) -> str:
    """SHA-256 of config, weights, masks and tokenizers; the path and the history do not count."""
    digest = sha256(json.dumps(artifact.config.to_dict(), sort_keys=True).encode())
    for tokenizer in (artifact.tokenizer, artifact.target_tokenizer or b""):
        digest.update(sha256(tokenizer).digest())
    for name, weight in sorted(artifact.weights.items()):
        content = sha256(weight.decode().tobytes())
        if isinstance(weight, Sparse):
            content.update(np.packbits(weight.mask).tobytes())
        digest.update(name.encode() + b"\0" + content.digest())
    return digest.hexdigest()


def key(kind: str, model: str, text: str, details: Any) -> str:
    """The key of one measurement, by the digests of model and text."""
    values = [kind, __version__, model, text, details]
    return sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
