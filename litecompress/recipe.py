"""The recipe: YAML in, a strict and round-trippable value out."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError

from litecompress.backends import exporter_names, load_exporter
from litecompress.errors import LiteCompressError, MissingBackendError, RecipeError
from litecompress.export.base import Exporter
from litecompress.gate import Gate
from litecompress.hardware.profiles import find_profile
from litecompress.stages import STAGES, Stage

T = TypeVar("T")
LIMIT_BYTES = 2**20


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


def read_yaml(path: Path) -> dict[str, Any]:
    """A mapping from a YAML file of at most 1 MiB."""
    if not path.is_file():
        raise RecipeError(f"expected a recipe at {path}, got no such file; check the path")
    if path.stat().st_size > LIMIT_BYTES:
        raise RecipeError(f"{path}: expected at most {LIMIT_BYTES} bytes, got a larger file")
    try:
        values = yaml.load(path.read_text("utf-8"), _Loader)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise RecipeError(f"{path}: expected YAML, got {error}") from error
    if not isinstance(values, dict):
        raise RecipeError(f"{path}: expected keys and values, got {type(values).__name__}")
    return values


class _Loader(yaml.SafeLoader):
    """Plain values only, and no key twice."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        twice = sorted({str(k) for k in keys if keys.count(k) > 1})
        if twice:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {twice[0]!r} twice", node.start_mark
            )
        return super().construct_mapping(node, deep)


def parse_recipe(values: Mapping[str, Any]) -> Recipe:
    """A recipe from plain values."""
    problems: list[str] = []
    known = [f.name for f in dataclasses.fields(Recipe)]
    problems += [_unknown("", key, known) for key in values if key not in known]
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
            parts[name] = _try(cls, values[name], name, problems)
    for name, plain in (("model", str), ("seed", int)):
        if name in values:
            parts[name] = values[name]
            if not isinstance(values[name], plain) or isinstance(values[name], bool):
                problems.append(f"{name}: expected {plain.__name__}, got {values[name]!r}")
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
        "stages": [{"stage": s.name, **_plain(s)} for s in recipe.stages],
        "exports": [{"target": e.target, **_plain(e)} for e in recipe.exports],
        "checks": _plain(recipe.checks),
        "gate": _plain(recipe.gate),
    }


def build(cls: type[T], values: Any, where: str) -> T:
    """An instance of a dataclass from plain values; wrong or unknown keys are a RecipeError."""
    problems: list[str] = []
    built = _try(cls, values, where, problems)
    if problems:
        raise RecipeError("; ".join(problems))
    return typing.cast(T, built)


def _try(cls: type[T], values: Any, where: str, problems: list[str]) -> T | None:
    try:
        return TypeAdapter(_strict(cls)).validate_python(values)
    except ValidationError as error:
        for e in error.errors():
            place = ".".join(str(p) for p in (where, *e["loc"]) if p != "")
            if e["type"] == "unexpected_keyword_argument" and len(e["loc"]) > 1:
                problems.append(f"{place}: expected a known key, got {str(e['loc'][-1])!r}")
            elif e["type"] == "unexpected_keyword_argument":
                names = [f.name for f in dataclasses.fields(cls)]  # type: ignore[arg-type]
                problems.append(_unknown(where, str(e["loc"][-1]), names))
            else:
                problems.append(f"{place}: {e['msg'].lower()}, got {e['input']!r}")
    except MissingBackendError:
        raise
    except LiteCompressError as error:
        problems.append(f"{where}: {error}")
    return None


def _strict(cls: type[T]) -> type[T]:
    """The class, with unknown keys forbidden in it and in the dataclasses inside it."""
    if "__pydantic_config__" not in vars(cls):
        cls.__pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[attr-defined]
        for hint in typing.get_type_hints(cls).values():
            for inner in (hint, *typing.get_args(hint)):
                if dataclasses.is_dataclass(inner):
                    _strict(typing.cast(type, inner))
    return cls


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
            built.append(_try(cls, options, where, problems))
    return tuple(built)


def _stage_class(name: Any, where: str, problems: list[str]) -> type[Stage] | None:
    if not isinstance(name, str) or name not in STAGES:
        problems.append(_unknown(where, str(name), sorted(STAGES), "stage"))
        return None
    return STAGES[name]


def _exporter_class(name: Any, where: str, problems: list[str]) -> type[Exporter] | None:
    if not isinstance(name, str) or name not in exporter_names():
        problems.append(_unknown(where, str(name), exporter_names(), "target"))
        return None
    return load_exporter(name)


def _unknown(where: str, got: str, known: Sequence[str], what: str = "key") -> str:
    place = f"{where}: " if where else ""
    return f"{place}expected a {what} of {', '.join(known)}, got {got!r}"


def _plain(value: Any) -> dict[str, Any]:
    values = dataclasses.asdict(value)
    return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}
