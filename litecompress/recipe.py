"""The recipe: YAML in, a strict and round-trippable value out."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from litecompress.backends import exporter_names, load_exporter
from litecompress.errors import RecipeError
from litecompress.export.base import Exporter
from litecompress.gate import Gate
from litecompress.hardware.profiles import find_profile
from litecompress.stages import STAGES, Stage
from litecompress.strict import plain, read_yaml, tried, unknown


@dataclass(frozen=True)
class Checks:
    """What is measured: `samples` are pairs of sentences, `sentences` how many of them, of several
    lengths, go through every export for parity and latency."""

    samples: str
    sentences: int = 8
    latency: bool = True
    profiles: tuple[str, ...] = ("raspberry-pi-4", "raspberry-pi-5")

    def __post_init__(self) -> None:
        if self.sentences < 1:
            raise RecipeError(f"expected at least 1 sentence, got {self.sentences}")
        for name in self.profiles:
            find_profile(name)


@dataclass(frozen=True)
class Recipe:
    """The main job: a model through stages and exporters, checked and held against a gate."""

    model: str
    checks: Checks
    stages: tuple[Stage, ...]
    exports: tuple[Exporter, ...]
    gate: Gate = dataclasses.field(default_factory=Gate)
    seed: int = 0


def load_recipe(path: Path) -> Recipe:
    """Read a recipe; every problem in it is named in one RecipeError."""
    return parse_recipe(read_yaml(path))


def parse_recipe(values: Mapping[str, Any]) -> Recipe:
    """A recipe from plain values."""
    problems: list[str] = []
    known = [f.name for f in dataclasses.fields(Recipe)]
    problems += [unknown("", key, known) for key in values if key not in known]
    needed = ("model", "checks", "stages", "exports")
    problems += [f"{key}: expected it, got none" for key in needed if key not in values]
    parts: dict[str, Any] = {
        "stages": _parse_list(values, "stages", "stage", _stage_class, problems),
        "exports": _parse_list(values, "exports", "target", _exporter_class, problems),
    }
    targets = [e.target for e in parts["exports"] if e is not None]
    problems += [f"exports: expected {t} once" for t in set(targets) if targets.count(t) > 1]
    for name, cls in (("checks", Checks), ("gate", Gate)):
        if name in values:
            parts[name] = tried(cls, values[name], name, problems)
    for name, kind in (("model", str), ("seed", int)):
        if name in values:
            parts[name] = values[name]
            if not isinstance(values[name], kind) or isinstance(values[name], bool):
                problems.append(f"{name}: expected {kind.__name__}, got {values[name]!r}")
    if problems:
        raise RecipeError("recipe: " + "; ".join(problems))
    return Recipe(**parts)


def dump_recipe(recipe: Recipe) -> str:
    """The YAML of a recipe with every default written out; `parse(dump(recipe)) == recipe`."""
    return yaml.safe_dump(recipe_values(recipe), sort_keys=False)


def recipe_values(recipe: Recipe) -> dict[str, Any]:
    """A recipe as plain values, every default written out."""
    return {
        "model": recipe.model,
        "seed": recipe.seed,
        "stages": [{"stage": s.name, **plain(s)} for s in recipe.stages],
        "exports": [{"target": e.target, **plain(e)} for e in recipe.exports],
        "checks": plain(recipe.checks),
        "gate": plain(recipe.gate),
    }


def _parse_list(
    values: Mapping[str, Any], key: str, kind: str, find: Any, problems: list[str]
) -> tuple[Any, ...]:
    """Entries such as `{stage: prune, sparsity: 0.5}`, each by the class that its kind names."""
    entries = values.get(key, [])
    if not isinstance(entries, Sequence) or isinstance(entries, str):
        problems.append(f"{key}: expected a list, got {entries!r}")
        return ()
    built = []
    for i, entry in enumerate(entries):
        where = f"{key}[{i}]"
        if not isinstance(entry, Mapping) or kind not in entry:
            problems.append(f"{where}: expected `{kind}: NAME` and its options, got {entry!r}")
            continue
        cls = find(entry[kind], where, problems)
        if cls is not None:
            options = {k: v for k, v in entry.items() if k != kind}
            built.append(tried(cls, options, where, problems))
    return tuple(built)


def _stage_class(name: Any, where: str, problems: list[str]) -> type[Stage] | None:
    if not isinstance(name, str) or name not in STAGES:
        problems.append(unknown(where, str(name), sorted(STAGES), "stage"))
        return None
    return STAGES[name]


def _exporter_class(name: Any, where: str, problems: list[str]) -> type[Exporter] | None:
    if not isinstance(name, str) or name not in exporter_names():
        problems.append(unknown(where, str(name), exporter_names(), "target"))
        return None
    return load_exporter(name)
