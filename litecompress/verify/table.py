"""What `verify` found, on a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import rich.table
from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape

FORMATS = {
    "token_agreement": "tokens {:.2%}",
    "sentence_agreement": "whole {:.1%}",
    "sentences": "{:.0f} sentences",
    "bleu": "BLEU {:.2f}",
    "bleu_model": "model {:.2f}",
    "bleu_delta": "difference {:+.2f}",
    "perplexity": "perplexity {:.3f}",
    "perplexity_model": "model {:.3f}",
    "perplexity_ratio": "ratio {:.4f}",
    "tensors": "{:.0f} tensors",
    "weights_missing": "{:.0f} weights missing",
}


def show(values: Mapping[str, Any], out: Console) -> None:
    """Logits in a table, a line for each other check, then notes."""
    against = f" against {values['against']}" if values["against"] else ", against itself"
    out.print(escape(f"{values['package']} ({values['target']}, {values['precision']}){against}"))
    logits = [check for check in values["checks"] if "psnr_db" in check]
    if logits:
        out.print(_table(logits))
    for check in values["checks"]:
        if "psnr_db" not in check:
            line = f"{check['check']} ({check['case']}, {check['level']}): {_figures(check)}"
            out.print(escape(f"{line} {_verdict(check)}"), style=_style(check))
    for note in values["notes"]:
        out.print(escape(f"note: {note}"))


def _table(checks: Sequence[Mapping[str, Any]]) -> rich.table.Table:
    table = rich.table.Table(box=SIMPLE, pad_edge=False)
    for head in ("check", "case", "level", "dB", "max error", "argmax", ""):
        right = head in ("dB", "max error", "argmax")
        table.add_column(head, overflow="fold", justify="right" if right else "left")
    for check in checks:
        named = (check["check"], check["case"], check["level"])
        cells = (*named, *map(check.get, ("psnr_db", "max_abs_err", "argmax_agreement")))
        forms = ("{}", "{}", "{}", "{:.1f}", "{:.1e}", "{:.2%}")
        shown = [f.format(c) if c is not None else "-" for f, c in zip(forms, cells, strict=True)]
        table.add_row(*map(escape, shown), _verdict(check), style=_style(check))
    return table


def _figures(check: Mapping[str, Any]) -> str:
    named = ((name, check[name]) for name in FORMATS if name in check)
    return ", ".join(
        FORMATS[name].format(value) if value is not None else f"{name} is no number"
        for name, value in named
    )


def _verdict(check: Mapping[str, Any]) -> str:
    """The verdict, with the bounds where one was missed."""
    if check["passed"] is not False:
        return "passed" if check["passed"] else ""
    return f"FAILED ({', '.join(f'{name} {bound:g}' for name, bound in check['bounds'].items())})"


def _style(check: Mapping[str, Any]) -> str | None:
    return "red" if check["passed"] is False else None
