"""The size sheet as plain values: what `sizes --json` prints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from litecompress.artifact import Artifact
from litecompress.ledger import DOWNLOAD_LEVEL, download_bytes
from litecompress.sizes.account import Account
from litecompress.sizes.sheet import Sheet, raw_bytes, stored_bytes
from litecompress.sizes.waterfall import waterfall

CODEC = f"zstd level {DOWNLOAD_LEVEL}, each file by itself"


def sheet_values(account: Account) -> dict[str, Any]:
    """Everything about an artifact, a package or a checkpoint; schema in docs/sizes.md."""
    sheet = account.sheet
    values: dict[str, Any] = {"path": sheet.path, "kind": sheet.kind}
    if sheet.kind == "package":
        values |= {"target": sheet.target, "codec": CODEC}
    values |= {
        "total_bytes": sheet.total_bytes,
        "scopes": {sheet.scope: sheet.total_bytes},
        "files": {name: {"bytes": size} for name, size in sheet.files.items()},
        "left_out": dict(sheet.left_out),
        "components": {group: stored_bytes(parts) for group, parts in sheet.groups().items()},
        "roles": {
            role: {"stored_bytes": stored_bytes(parts), "raw_bytes": raw_bytes(parts)}
            for role, parts in sheet.roles().items()
        },
        "parts": [asdict(part) for part in sheet.parts],
    }
    if sheet.kind == "package":
        _add_downloads(values, sheet)
    if account.model is not None:
        values["scopes"] |= _weight_scopes(account.model)
    if account.model is not None and sheet.kind == "artifact":
        values["waterfall"] = waterfall(account.model, sheet)
    return values


def _add_downloads(values: dict[str, Any], sheet: Sheet) -> None:
    for name, sizes in values["files"].items():
        sizes["download_bytes"] = download_bytes(Path(sheet.path) / name)
    total = sum(sizes["download_bytes"] for sizes in values["files"].values())
    values["scopes"]["package_download"] = total


def _weight_scopes(model: Artifact) -> Mapping[str, int]:
    """Bytes of weights as stored, bit-packed, before the entropy coder."""
    return {
        "weights_nonembed": model.nbytes(embeddings=False),
        "weights_all": model.nbytes(embeddings=True),
    }
