"""The recipe that brings each tensor into its setting."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from litecompress.output import make_parent
from litecompress.scan.result import Scan
from litecompress.scan.settings import Setting, stages
from litecompress.stages import Stage
from litecompress.strict import plain


def stages_of(settings: Mapping[str, Setting], scan: Scan) -> list[Stage]:
    """Pruning by sparsity, then quantization by bits, then half precision for vectors."""
    pruned = _grouped((Setting(s.sparsity), name) for name, s in settings.items() if s.sparsity)
    bits = ((Setting(num_bits=s.num_bits), name) for name, s in settings.items() if s.num_bits)
    groups = [*pruned, *_grouped(bits)]
    vectors = [name for name, reason in scan.skipped.items() if reason == "vector"]
    if vectors:
        groups.append((Setting(num_bits=8), vectors))
    return [stage for s, names in groups for stage in stages(s, names, scan.quantize)]


def _grouped(pairs: Iterable[tuple[Setting, str]]) -> list[tuple[Setting, list[str]]]:
    """Names by setting, both in order."""
    groups: dict[Setting, list[str]] = {}
    for setting, name in pairs:
        groups.setdefault(setting, []).append(name)
    return [(setting, sorted(groups[setting])) for setting in sorted(groups)]


def stage_values(made: Sequence[Stage]) -> list[dict[str, Any]]:
    """Entries of a recipe, without what is the default."""
    return [{"stage": stage.name, **_chosen(stage)} for stage in made]


def _chosen(stage: Any) -> dict[str, Any]:
    defaults = {f.name: f.default for f in dataclasses.fields(stage)}
    values = {key: getattr(stage, key) for key in defaults}
    return {key: plain(value) for key, value in values.items() if value != defaults[key]}


def recipe_values(
    model: Path,
    made: Sequence[Stage],
    samples: str,
    exports: Sequence[str],
    gate: Mapping[str, Any],
) -> dict[str, Any]:
    """A whole recipe, as `litecompress run` takes it."""
    return {
        "model": str(model),
        "stages": stage_values(made),
        "exports": [{"target": target} for target in exports],
        "checks": {"samples": samples},
        "gate": dict(gate),
    }


def write_recipe(values: Mapping[str, Any], heading: str, path: Path) -> None:
    """Write YAML under a comment, whole or not at all."""
    make_parent(path)
    partial = path.with_name(path.name + ".partial")
    text = yaml.safe_dump(dict(values), sort_keys=False, width=100)
    try:
        partial.write_text("".join(f"# {line}\n" for line in heading.splitlines()) + text, "utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
