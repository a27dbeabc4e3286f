"""Opens an artifact, a package or a checkpoint, and accounts for all of its bytes."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from litecompress.artifact import Artifact
from litecompress.artifact_file import load_model, stream_table
from litecompress.checkpoint import FILES, TARGET_TOKENIZER
from litecompress.cost import component
from litecompress.errors import InputError
from litecompress.export.package import MANIFEST, read_manifest
from litecompress.sizes import coreml_package, onnx_package, tflite_package
from litecompress.sizes.safetensors_file import tensor_spans
from litecompress.sizes.sheet import Part, Sheet
from litecompress.sizes.spans import divide

TARGETS: dict[str, Callable[[Path, Mapping[str, int]], list[Part]]] = {
    "onnx": onnx_package.package_parts,
    "coreml": coreml_package.package_parts,
    "tflite": tflite_package.package_parts,
}
_TOKENIZERS = ("tokenizer.json", TARGET_TOKENIZER)
_FILE_NAMES = {"tokenizer": _TOKENIZERS[0], "target_tokenizer": _TOKENIZERS[1]}
_DAMAGE = (ValueError, KeyError, IndexError, TypeError, ArithmeticError, struct.error)


@dataclass(frozen=True)
class Account:
    """A sheet, with the model where it is one that can be decoded."""

    sheet: Sheet
    model: Artifact | None = None


def account(path: Path) -> Account:
    """What every byte at a path is for; anything that is no whole model of ours is refused."""
    if (path / MANIFEST).is_file():
        return Account(_package(path))
    if (path / "artifact.litec").is_file():
        raise InputError(
            f"{path}: expected an artifact, a package or a checkpoint, got a run's output; name "
            f"{path / 'artifact.litec'} or a folder in {path / 'packages'}"
        )
    model = load_model(path)
    return Account(_checkpoint(path) if path.is_dir() else _artifact(path), model)


def _artifact(path: Path) -> Sheet:
    data = path.read_bytes()
    parts = []
    for tensor, role, stored, raw in stream_table(data):
        if tensor is not None:
            parts.append(Part(tensor, component(tensor), role, stored, raw, path.name))
        elif role in _FILE_NAMES:
            name = _FILE_NAMES[role]
            parts.append(Part(name, "tokenizer", "tokenizer", stored, raw, path.name))
        else:
            parts.append(Part("header", "container", role, stored, raw, path.name))
    return Sheet(str(path), "artifact", tuple(parts), {path.name: len(data)})


def _checkpoint(folder: Path) -> Sheet:
    sizes = _sizes(folder)
    files = {n: sizes.pop(n) for n in (*FILES, TARGET_TOKENIZER) if n in sizes}
    weights = FILES[1]
    spans = tensor_spans(folder / weights)
    parts = divide(weights, files[weights], spans, (f"{weights} header", "container", "header"))
    parts += _texts({n: size for n, size in files.items() if n != weights})
    return Sheet(str(folder), "checkpoint", tuple(parts), files, left_out=sizes)


def _package(folder: Path) -> Sheet:
    manifest = read_manifest(folder)
    target, files = manifest["target"], _sizes(folder)
    inside: list[Part] = []
    if target in TARGETS:
        try:
            inside = TARGETS[target](folder, files)
        except (*_DAMAGE, InputError) as error:
            raise InputError(
                f"{folder}: expected whole files of target {target}, got damaged content "
                f"({error}); export again"
            ) from error
    counted = {part.file for part in inside}
    inside += _texts({name: size for name, size in files.items() if name not in counted})
    return Sheet(str(folder), "package", tuple(inside), files, target)


def _sizes(folder: Path) -> dict[str, int]:
    """Every file with its bytes."""
    paths = sorted(p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): p.stat().st_size for p in paths}


def _texts(files: Mapping[str, int]) -> Iterator[Part]:
    """Each file as one part: tokenizers, manifests and configs, and what is not known."""
    for name, size in files.items():
        text = name in _TOKENIZERS
        role = "tokenizer" if text else Path(name).stem.lower()
        yield Part(name, "tokenizer" if text else "container", role, size, size, name)
