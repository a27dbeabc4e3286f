"""The size sheet: every byte of a file or folder, with the tensor and the purpose it serves."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from litecompress.cost import COMPONENTS, component
from litecompress.errors import InputError

GROUPS = (*COMPONENTS, "linear", "constants", "tokenizer", "graph", "container")
"""Components, then what a package adds: matrices without a name, a graph's own constants, texts."""

SCOPES = {
    "artifact": "artifact_bytes",
    "checkpoint": "checkpoint_bytes",
    "package": "package_raw",
}
_TENSOR = re.compile(
    r"(encoder|decoder)\.\d+\.(attention|cross_attention|conv|ffn|\w+_norm)\."
    r"|((source|target)_)?embedding\.|output\.weight$"
)


@dataclass(frozen=True)
class Part:
    """Bytes of one role in one tensor, or of what else a file holds.

    `raw_bytes` are those before the coder of an artifact; elsewhere they are the stored ones.
    """

    name: str
    group: str
    role: str
    stored_bytes: int
    raw_bytes: int
    file: str


@dataclass(frozen=True)
class Sheet:
    """All parts of an artifact, a checkpoint or a package; `files` says how large each file is.

    The parts of every file add up to its size, or an InputError says which do not. `left_out` are
    files in the folder that are none of the checkpoint's.
    """

    path: str
    kind: str
    parts: tuple[Part, ...]
    files: Mapping[str, int]
    target: str = ""
    left_out: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        counted: Counter[str] = Counter()
        for part in self.parts:
            counted[part.file] += part.stored_bytes
        wrong = [f for f in counted.keys() | self.files if counted[f] != self.files.get(f, 0)]
        if wrong or any(part.stored_bytes < 0 for part in self.parts):
            found = ", ".join(f"{f}: {self.files.get(f, 0)} and {counted[f]}" for f in wrong)
            raise InputError(f"{self.path}: expected parts to add up to each file, got {found}")

    @property
    def scope(self) -> str:
        """What the total is the total of."""
        return SCOPES[self.kind]

    @property
    def total_bytes(self) -> int:
        """Bytes of all files together."""
        return sum(self.files.values())

    def groups(self) -> dict[str, list[Part]]:
        """Parts by component, in a fixed order, those that there are."""
        found: dict[str, list[Part]] = {group: [] for group in GROUPS}
        for part in self.parts:
            found[part.group].append(part)
        return {group: parts for group, parts in found.items() if parts}

    def roles(self) -> dict[str, list[Part]]:
        """Parts by role, most bytes first."""
        found: dict[str, list[Part]] = {}
        for part in self.parts:
            found.setdefault(part.role, []).append(part)
        return dict(sorted(found.items(), key=lambda item: -stored_bytes(item[1])))


def is_tensor(name: str) -> bool:
    """Whether a name is that of a weight of the model."""
    return _TENSOR.match(name) is not None


def group_of(name: str) -> str:
    """The component of a weight; `constants` for any other name in a graph."""
    return component(name) if is_tensor(name) else "constants"


def stored_bytes(parts: Iterable[Part]) -> int:
    """Sum over parts."""
    return sum(part.stored_bytes for part in parts)


def raw_bytes(parts: Iterable[Part]) -> int:
    """Sum over parts, before coding."""
    return sum(part.raw_bytes for part in parts)


def printable(name: str) -> str:
    """A name from a file, without what a terminal or a picture must not be given."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name)
