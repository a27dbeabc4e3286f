"""Typed access to the arguments that a checkpoint was trained with."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_WHOLE_LIMIT = 2**31
_TEXT_LIMIT = 100
_LIST_LIMIT = 100


@dataclass
class Arguments:
    """Arguments of unknown origin; all that is wrong with them is collected in `problems`.

    An argument that is absent or None has its default. Values are never printed but for short
    text and numbers: others may be without end.
    """

    values: Mapping[Any, Any]
    layers_limit: int
    problems: list[str] = field(default_factory=list)

    def whole(self, name: str, default: int | None = None) -> int:
        """A whole number of at least 1."""
        value = self._get(name, default)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        right = type(value) is int and 1 <= value < _WHOLE_LIMIT
        return value if self._check(name, "a positive whole number", right, value) else 1

    def fraction(self, name: str, default: float = 0.0) -> float:
        """A number in [0, 1)."""
        value = self._get(name, default)
        right = type(value) in (int, float) and 0 <= value < 1
        return float(value) if self._check(name, "a number in [0, 1)", right, value) else 0.0

    def flag(self, name: str, default: bool = False) -> bool:
        """Whether an option was set."""
        value = self._get(name, default)
        return value if self._check(name, "true or false", type(value) is bool, value) else default

    def text(self, name: str, default: str) -> str:
        """A short text."""
        value = self._get(name, default)
        right = type(value) is str and len(value) < _TEXT_LIMIT
        return value if self._check(name, "a short text", right, value) else default

    def texts(self, name: str) -> list[str] | None:
        """A list of short texts, or None where it is not given."""
        value = self.values.get(name)
        right = value is None or (
            type(value) is list and all(type(v) is str and len(v) < _TEXT_LIMIT for v in value)
        )
        return value if self._check(name, "a list of text", right, value) else None

    def wholes(self, name: str, default: list[int]) -> list[int]:
        """Positive whole numbers, as a list or as text with commas."""
        value = self._get(name, default)
        if type(value) is str and re.fullmatch(r"[\s\d,\[\]()]{1,200}", value):
            value = [int(n) for n in re.findall(r"\d{1,9}", value)]
        right = type(value) is list and len(value) <= _LIST_LIMIT
        right = right and all(type(v) is int and 0 < v < _WHOLE_LIMIT for v in value)
        return value if self._check(name, "a list of whole numbers", right, value) else default

    def expect(self, condition: bool, problem: str) -> None:
        """Note a problem, once, unless the condition holds."""
        if not condition and problem not in self.problems:
            self.problems.append(problem)

    def _get(self, name: str, default: Any) -> Any:
        value = self.values.get(name)
        return default if value is None else value

    def _check(self, name: str, expected: str, right: bool, value: Any) -> bool:
        plain = type(value) in (int, float, bool)
        got = str(value)[:20] if plain else "none" if value is None else type(value).__name__
        self.expect(right, f"{name} must be {expected}, got {got}")
        return right
