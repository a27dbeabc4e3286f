"""What can be done to one tensor, and which of it a scan tries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from litecompress.artifact import Artifact
from litecompress.encoding import Encoding, is_floating_point
from litecompress.errors import InputError, LiteCompressError, RecipeError, StageError
from litecompress.stages import Context, Prune, Quantize, Stage
from litecompress.stages.base import matching
from litecompress.strict import build

PRUNABLE = Prune(sparsity=0.5).targets


@dataclass(frozen=True, order=True)
class Setting:
    """Zeros and bits of one tensor: `sparsity` 0 is not pruned, `num_bits` 0 not quantized."""

    sparsity: float = 0.0
    num_bits: int = 0

    @property
    def parts(self) -> list[Setting]:
        """The pruning alone and the quantization alone, as far as there is either."""
        both = Setting(self.sparsity), Setting(num_bits=self.num_bits)
        return [part for part in both if part != KEPT]

    def __str__(self) -> str:
        zeros = [f"sparsity={self.sparsity:g}"] if self.sparsity else []
        bits = [f"bits={self.num_bits}"] if self.num_bits else []
        return ",".join(zeros + bits) or "keep"


KEPT = Setting()


@dataclass(frozen=True)
class Grid:
    """Sparsities and bits to try, alone and together, and the matrices to try them on.

    `quantize` holds further options of the stage, such as its method.
    """

    sparsities: tuple[float, ...] = (0.3, 0.5, 0.7, 0.8, 0.9)
    num_bits: tuple[int, ...] = (2, 3, 4, 5, 6, 8)
    quantize: Mapping[str, Any] = field(default_factory=dict)
    targets: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        problems = [] if self.sparsities or self.num_bits else ["expected sparsities or bits"]
        problems += [f"expected sparsities above 0, got {s}" for s in self.sparsities if s == 0]
        for option in sorted({"num_bits", "targets", "exclude"} & set(self.quantize)):
            problems.append(f"quantize: {option} is the scan's to choose; leave it out")
        for values in (self.sparsities, self.num_bits):
            if list(values) != sorted(set(values)):
                problems.append(f"expected each value once and rising, got {list(values)}")
        for setting in self.alone(prunable=True):
            try:
                stages(setting, ["*"], self.quantize)
            except LiteCompressError as error:
                problems.append(str(error))
        if problems:
            raise InputError("; ".join(dict.fromkeys(problems)))

    def alone(self, *, prunable: bool) -> list[Setting]:
        """Each sparsity and each number of bits alone: what is measured."""
        pruned = [Setting(s) for s in self.sparsities if prunable]
        return pruned + [Setting(num_bits=b) for b in self.num_bits]

    def all(self, *, prunable: bool) -> list[Setting]:
        """These, and both together: what a search may choose from.

        Not 1 bit of what is pruned: zero is one of the two codes, the other has a single sign.
        """
        both = [Setting(s, b) for s in self.sparsities for b in self.num_bits if b > 1]
        return sorted(self.alone(prunable=prunable) + (both if prunable else []))

    def tensors(self, artifact: Artifact) -> tuple[list[str], dict[str, str]]:
        """Names to scan, and of all others why not; quantized ones are a StageError."""
        chosen = set(matching(self.targets, artifact)) - set(matching(self.exclude, artifact))
        names = [n for n in sorted(chosen) if len(artifact.weights[n].shape) > 1]
        quantized = [n for n in names if not is_floating_point(artifact.weights[n])]
        if quantized or not names:
            got = f"{len(quantized)} quantized, such as {quantized[0]}" if quantized else "none"
            raise StageError(
                f"scan: expected matrices in floating point for {list(self.targets)} without "
                f"{list(self.exclude)}, got {got}; scan the uncompressed model or narrow --target"
            )
        skipped = {n: "vector" if n in chosen else "left out" for n in artifact.weights}
        return names, {n: skipped[n] for n in sorted(skipped) if n not in names}


def is_prunable(name: str) -> bool:
    """Whether the pruning stage takes this weight by default."""
    return any(fnmatchcase(name, pattern) for pattern in PRUNABLE)


def stages(setting: Setting, names: Sequence[str], quantize: Mapping[str, Any]) -> list[Stage]:
    """The stages that bring these tensors into a setting."""
    found: list[Stage] = []
    if setting.sparsity:
        found.append(Prune(sparsity=setting.sparsity, targets=tuple(names)))
    if setting.num_bits:
        options = {**quantize, "num_bits": setting.num_bits, "targets": list(names)}
        found.append(build(Quantize, options, "quantize"))
    return found


def encoded(
    artifact: Artifact, name: str, setting: Setting, quantize: Mapping[str, Any]
) -> Encoding:
    """The weight of an artifact in a setting."""
    for stage in stages(setting, [name], quantize):
        weights = stage(artifact, Context()).weights
        artifact = Artifact(artifact.config, {**artifact.weights, **weights}, artifact.tokenizer)
    return artifact.weights[name]


def parse_setting(text: str) -> dict[str, float | int]:
    """`sparsity=0.7,bits=3` as values by name; `keep` is neither. Else a RecipeError."""
    if text == "keep":
        return {"sparsity": 0.0, "num_bits": 0}
    kinds: dict[str, tuple[str, type]] = {
        "sparsity": ("sparsity", float),
        "bits": ("num_bits", int),
    }
    found: dict[str, float | int] = {}
    for part in text.split(","):
        name, _, value = part.strip().partition("=")
        key, kind = kinds.get(name, ("", str))
        try:
            if key in found or not key:
                raise ValueError
            found[key] = kind(value)
        except ValueError:
            raise RecipeError(
                f"expected sparsity=FRACTION, bits=NUMBER, both with a comma, or keep, got {text!r}"
            ) from None
    return found
