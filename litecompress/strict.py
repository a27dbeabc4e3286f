"""Plain values from YAML into frozen dataclasses: strict, with every problem named at once."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError

from litecompress.errors import LiteCompressError, MissingBackendError, RecipeError

T = TypeVar("T")
LIMIT_BYTES = 2**20


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


def build(cls: type[T], values: Any, where: str) -> T:
    """An instance of a dataclass from plain values; wrong or unknown keys are a RecipeError."""
    problems: list[str] = []
    built = tried(cls, values, where, problems)
    if problems:
        raise RecipeError("; ".join(problems))
    return typing.cast(T, built)


def tried(cls: type[T], values: Any, where: str, problems: list[str]) -> T | None:
    """The instance, or None with what is wrong added to `problems`."""
    try:
        return TypeAdapter(_strict(cls)).validate_python(values)
    except ValidationError as error:
        for e in error.errors():
            place = ".".join(str(p) for p in (where, *e["loc"]) if p != "")
            if e["type"] == "unexpected_keyword_argument" and len(e["loc"]) > 1:
                problems.append(f"{place}: expected a known key, got {str(e['loc'][-1])!r}")
            elif e["type"] == "unexpected_keyword_argument":
                names = [f.name for f in dataclasses.fields(cls)]  # type: ignore[arg-type]
                problems.append(unknown(where, str(e["loc"][-1]), names))
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


def unknown(where: str, got: str, known: Sequence[str], what: str = "key") -> str:
    """What an error says of a name that is none of the known."""
    place = f"{where}: " if where else ""
    return f"{place}expected a {what} of {', '.join(known)}, got {got!r}"


def plain(value: Any) -> Any:
    """Dataclasses and mappings as dicts, tuples as lists: what YAML and JSON read back equal."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, list | tuple) else value
