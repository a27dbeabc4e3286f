"""The search: settings for a budget, made and weighed before they are believed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

from litecompress.allocate import Allocation, Option, allocate
from litecompress.artifact_file import dump_artifact, load_model, stream_table
from litecompress.errors import InputError
from litecompress.scan.digest import model_digest
from litecompress.scan.result import Scan
from litecompress.scan.settings import Setting
from litecompress.search.recipe import stages_of
from litecompress.search.rules import Rule, choices
from litecompress.stages import Context, Stage, apply

ROUNDS = 6  # of correcting by what the file really takes
AIM, CLOSE = 0.9995, 0.998  # of a budget: what to correct to, and what is used well enough


@dataclass(frozen=True)
class Found:
    """What was chosen for each tensor, and what it is predicted to take and to lose.

    `coded_bytes` of the tensors are at their symbols' entropy, `other_bytes` are all else in the
    file, `artifact_bytes` the file that the stages really make. `bound` is what nothing scanned can
    go below: a loss where bytes were given, bytes of the tensors where a loss was.
    """

    settings: Mapping[str, Setting]
    stages: tuple[Stage, ...]
    coded_bytes: int
    other_bytes: int
    artifact_bytes: int
    loss: float
    bound: float
    exact: bool


class Search:
    """One model with its scan; a scan of another one is an InputError."""

    def __init__(self, model: Path, scan: Scan, rules: Sequence[Rule] = ()) -> None:
        self.scan, self.artifact = scan, load_model(model)
        digest = model_digest(self.artifact)
        if digest != scan.model_sha256:
            raise InputError(
                f"expected a scan of {model} ({digest[:12]}), got one of another model, "
                f"{scan.model} ({scan.model_sha256[:12]}); scan this one"
            )
        shapes = {name: weight.shape for name, weight in self.artifact.weights.items()}
        foreign = [t.name for t in scan.tensors if shapes.get(t.name) != t.shape]
        if foreign or not scan.tensors:
            got = f"one such as {foreign[0]}" if foreign else "none"
            raise InputError(f"expected tensors of {model} in the scan, got {got}; scan again")
        self.choices = choices(scan, rules)
        self.parts = [[option for _, option in of] for of in self.choices.values()]

    def within_bytes(self, limit: int) -> Found:
        """The least predicted loss of an artifact of at most so many bytes.

        An InputError where there is none: it says the fewest bytes that can be reached.
        """
        least = sum(min(option.cost for option in part) for part in self.parts)
        best = self._found(allocate(self.parts, least))
        if best.artifact_bytes > limit:
            raise InputError(
                f"expected at least {best.artifact_bytes} bytes, the fewest that this scan and "
                f"these rules can reach (at a predicted loss of {best.loss:+.4f} nats), got "
                f"{limit}; scan higher sparsities or fewer bits"
            )
        budget = float(limit - best.other_bytes)
        for _ in range(ROUNDS):
            found = self._found(allocate(self.parts, max(budget, least)))
            fits = found.artifact_bytes <= limit
            if fits and found.loss <= best.loss:
                best = found
            if fits and (found.artifact_bytes >= CLOSE * limit or found.loss <= 0):
                break
            budget += AIM * limit - found.artifact_bytes
        return best

    def within_loss(self, limit: float) -> Found:
        """The fewest predicted bytes at a predicted loss of at most so much.

        An InputError where there are none: it says the least loss that can be reached.
        """
        swapped = [[Option(o.loss, o.cost) for o in part] for part in self.parts]
        least = sum(min(option.cost for option in part) for part in swapped)
        if not least <= limit:
            raise InputError(
                f"expected a loss of at least {least:g} nats, the least that this scan and these "
                f"rules can reach, got {limit:g}"
            )
        return self._found(allocate(swapped, limit))

    def _found(self, allocation: Allocation) -> Found:
        """An allocation with its stages, applied to see what file they make."""
        of_name = zip(self.choices.items(), allocation.chosen, strict=True)
        chosen = {name: of[i] for (name, of), i in of_name}
        settings = {name: setting for name, (setting, _) in chosen.items()}
        stages = stages_of(settings, self.scan)
        made = reduce(lambda before, stage: apply(stage, before, Context()), stages, self.artifact)
        content = dump_artifact(made)
        others = (row for row in stream_table(content) if row.tensor not in settings)
        return Found(
            settings,
            tuple(stages),
            coded_bytes=sum(int(option.cost) for _, option in chosen.values()),
            other_bytes=sum(row.stored_bytes for row in others),
            artifact_bytes=len(content),
            loss=sum(option.loss for _, option in chosen.values()),
            bound=allocation.bound,
            exact=allocation.exact,
        )
