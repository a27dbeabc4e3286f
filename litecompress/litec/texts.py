"""A tokenizer's JSON, without what its merges imply.

A byte-pair encoding lists each merge twice, in the vocabulary and among the merges. Here a merge is
two ids, and the token that it makes is the next one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from litecompress.encoding import Array
from litecompress.errors import ArtifactError
from litecompress.litec.streams import plain, symbols

MOST_CHARS = 1 << 24  # of all tokens: merges could double without end
MOST_TOKENS = 1 << 16
Tree = dict[str, Any]


def describe_text(text: bytes) -> Tree:
    """The tree of a tokenizer; `restore_text` gives the same bytes again."""
    found = _merges(text)
    if found is None:
        return {"kind": "text", "text": plain(text)}
    rest, tokens, pairs = found
    tree: Tree = {
        "kind": "merges",
        "rest": plain(rest),
        "tokens": plain("\0".join(tokens).encode()),
    }
    for side, ids in pairs.items():
        tree[f"{side}_high"] = symbols((ids >> 8).astype(np.uint8))
        tree[f"{side}_low"] = symbols((ids & 255).astype(np.uint8))
    return tree


def restore_text(tree: Mapping[str, Any]) -> bytes:
    """The bytes of a tokenizer."""
    match tree["kind"]:
        case "text":
            return _bytes(tree["text"])
        case "merges":
            pairs = [_joined(tree, side) for side in ("left", "right")]
            return _built(_bytes(tree["rest"]), _bytes(tree["tokens"]).decode().split("\0"), *pairs)
    raise ArtifactError(f"expected a known tokenizer, got {tree['kind']!r}; update litecompress")


def _merges(text: bytes) -> tuple[bytes, list[str], dict[str, NDArray[np.uint16]]] | None:
    """The JSON without vocabulary and merges, the tokens no merge makes, and the merges' ids.

    None where that would not give the same text again.
    """
    try:
        values = json.loads(text)
        vocab, merges = values["model"]["vocab"], values["model"]["merges"]
        tokens = list(vocab)[: len(vocab) - len(merges)]
        ids = [[vocab[part] for part in merge] for merge in merges]
        left, right = np.array(ids, np.uint16).reshape(-1, 2).T.copy()
        values["model"] |= {"vocab": {}, "merges": []}
        rest = _dumped(values)
        same = bool(merges) and _built(rest, tokens, left, right) == text
    except (ArtifactError, ValueError, TypeError, KeyError, AttributeError, OverflowError):
        return None
    return (rest, tokens, {"left": left, "right": right}) if same else None


def _built(rest: bytes, tokens: list[str], left: Array, right: Array) -> bytes:
    """The JSON with its vocabulary and merges."""
    tokens, merges = list(tokens), []
    chars = sum(map(len, tokens))
    if len(tokens) + len(left) > MOST_TOKENS:
        raise ArtifactError(f"expected at most {MOST_TOKENS} tokens, got more")
    for a, b in zip(left.tolist(), right.tolist(), strict=True):
        if max(a, b) >= len(tokens) or chars > MOST_CHARS:
            raise ArtifactError("expected merges of shorter tokens; the tokenizer is damaged")
        merges.append([tokens[a], tokens[b]])
        tokens.append(tokens[a] + tokens[b])
        chars += len(tokens[-1])
    values = json.loads(rest)
    values["model"] |= {"vocab": {token: i for i, token in enumerate(tokens)}, "merges": merges}
    return _dumped(values)


def _dumped(values: Any) -> bytes:
    return json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode()


def _joined(tree: Mapping[str, Any], side: str) -> NDArray[np.uint16]:
    high, low = tree[f"{side}_high"], tree[f"{side}_low"]
    return np.asarray(high.astype(np.uint16) << 8 | low, np.uint16)


def _bytes(values: Array) -> bytes:
    return values.tobytes()
