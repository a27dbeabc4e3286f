"""A package: the files of one target, the tokenizers, and a manifest of them all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from litecompress import __version__
from litecompress.artifact import Artifact
from litecompress.checkpoint import TARGET_TOKENIZER, write_tokenizers
from litecompress.errors import InputError
from litecompress.export.base import Exported, Exporter, options_of
from litecompress.export.shortlist import shortlist_of
from litecompress.shortlist import FILE as SHORTLIST_FILE
from litecompress.shortlist import save_shortlist

MANIFEST = "manifest.json"
SHORTLIST = "shortlist"  # a role; and an option, not kept because it is a path elsewhere
PACKAGES = ("torch", "numpy", "onnx", "onnxruntime", "coremltools", "ai-edge-litert")


def write_package(exporter: Exporter, artifact: Artifact, folder: Path) -> Exported:
    """Export into a new folder and add what a device needs beside the model's own files."""
    shortlist = shortlist_of(exporter, artifact)
    folder.mkdir(parents=True)
    exported = exporter(artifact, folder)
    roles = dict(exported.files)
    if shortlist is not None:
        save_shortlist(shortlist, folder / SHORTLIST_FILE)
        roles[SHORTLIST] = SHORTLIST_FILE
    write_tokenizers(folder, artifact.tokenizer, artifact.target_tokenizer)
    manifest = {
        "schema_version": 1,
        "target": exported.target,
        "options": {k: v for k, v in options_of(exporter).items() if k != SHORTLIST},
        "roles": roles,
        "files": {
            path.relative_to(folder).as_posix(): {
                "bytes": path.stat().st_size,
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            }
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        },
        "versions": versions(),
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", "utf-8")
    return exported


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a package; files that are missing or changed are one InputError."""
    path = folder / MANIFEST
    if not path.is_file():
        raise InputError(f"{folder}: expected a package with {MANIFEST}, got none; export one")
    try:
        manifest: dict[str, Any] = json.loads(path.read_text("utf-8"))
        if manifest["schema_version"] != 1 or not isinstance(manifest["options"], dict):
            raise ValueError(f"schema_version {manifest['schema_version']!r}")
        files = manifest["files"]
        for role in (*manifest["roles"].values(), "tokenizer.json"):
            if not any(name == role or name.startswith(role + "/") for name in files):
                raise ValueError(f"no checksum for {role}")
        wrong = [name for name, f in files.items() if not _intact(folder, name, f["sha256"])]
        manifest["target"].lower()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: expected a manifest, got damaged content ({error})") from error
    if wrong:
        raise InputError(f"{folder}: files missing or changed: {', '.join(wrong)}; export again")
    return manifest


def package_tokenizers(folder: Path, manifest: Mapping[str, Any]) -> tuple[bytes, bytes | None]:
    """The content of `tokenizer.json`, and the target's own where the manifest names one."""
    own = TARGET_TOKENIZER in manifest["files"]
    target = (folder / TARGET_TOKENIZER).read_bytes() if own else None
    return (folder / "tokenizer.json").read_bytes(), target


def _intact(folder: Path, name: str, sha256: str) -> bool:
    path = (folder / name).resolve()
    inside = path.is_relative_to(folder.resolve())
    return inside and path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256


def versions() -> dict[str, str]:
    """Versions of what makes and runs packages, as far as it is installed."""
    found = {"litecompress": __version__}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
