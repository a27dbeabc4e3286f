"""What may be done to each tensor: all that was scanned, as far as the rules allow it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from litecompress.allocate import Option
from litecompress.errors import InputError
from litecompress.scan.options import options
from litecompress.scan.result import Scan
from litecompress.scan.settings import Setting, parse_setting

Choices = dict[str, list[tuple[Setting, Option]]]


@dataclass(frozen=True)
class Rule:
    """What some tensors have to be: a glob of names, and values such as `{"num_bits": 4}`."""

    pattern: str
    values: Mapping[str, float | int]

    @classmethod
    def parse(cls, text: str) -> Rule:
        """`GLOB:SETTING`, the setting as `parse_setting` takes it."""
        pattern, colon, setting = text.rpartition(":")
        if not colon:
            raise InputError(f"expected a rule GLOB:SETTING, such as '*.bias:keep', got {text!r}")
        return cls(pattern, parse_setting(setting))

    def allows(self, setting: Setting) -> bool:
        """Whether a setting has these values."""
        return all(getattr(setting, name) == value for name, value in self.values.items())

    def __str__(self) -> str:
        wanted = ",".join(f"{k.removeprefix('num_')}={v:g}" for k, v in self.values.items())
        return f"{self.pattern}:{wanted}"


def choices(scan: Scan, rules: Sequence[Rule]) -> Choices:
    """By tensor, what may be done; all that is wrong with the rules is one InputError."""
    found = {t.name: of for t, of in zip(scan.tensors, options(scan), strict=True)}
    problems = [
        f"expected scanned tensors for the rule {rule}, got none"
        for rule in rules
        if not any(fnmatchcase(name, rule.pattern) for name in found)
    ]
    for name, of in found.items():
        own = [rule for rule in rules if fnmatchcase(name, rule.pattern)]
        if len(own) > 1:
            problems.append(f"expected one rule for {name}, got {' and '.join(map(str, own))}")
        elif own:
            found[name] = [choice for choice in of if own[0].allows(choice[0])]
            if not found[name]:
                scanned = ", ".join(str(setting) for setting, _ in of)
                problems.append(f"{own[0]}: expected of {name} one of {scanned}")
    if problems:
        raise InputError("; ".join(problems))
    return found
