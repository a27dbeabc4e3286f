"""An evaluation on a terminal: the scores, and the differences to each baseline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from litecompress.runtime.search import SearchConfig

NAMES = {
    "bleu": "BLEU",
    "bleu_lowercased": "BLEU, lower-cased",
    "chrf": "chrF2",
    "rouge1": "ROUGE-1 F1",
    "rouge2": "ROUGE-2 F1",
    "rougel": "ROUGE-L F1",
    "token_nll": "token NLL, nats",
    "perplexity": "perplexity",
    "bits_per_character": "bits a character",
}
FINE = ("token_nll", "bits_per_character")  # four decimals, not two


def show(result: Mapping[str, Any], out: Console) -> None:
    """Print what `evaluate` gave."""
    scores, bootstrap = result["scores"], result["bootstrap"]
    unit = bootstrap["unit"]
    _say(out, f"{result['model']}: {result['task']}, {result[unit]} {unit}, {_settings(result)}")
    table = _table("", "score", "95 % interval")
    for name, row in scores.items():
        table.add_row(NAMES[name], _number(name, row["score"]), _interval(name, row))
    out.print(table)
    for baseline in result["baselines"]:
        _say(out, f"Difference to {baseline['name']}")
        out.print(_differences(baseline))
    for signature in dict.fromkeys(row["signature"] for row in scores.values()):
        names = ", ".join(NAMES[n] for n, row in scores.items() if row["signature"] == signature)
        _say(out, f"{names}: {signature}")
    drawn = f"{bootstrap['resamples']} resamples of {unit}, seed {bootstrap['seed']}"
    _say(out, f"Intervals: bootstrap, {drawn}" + ("; p two-sided" * bool(result["baselines"])))


def _differences(baseline: Mapping[str, Any]) -> Table:
    """By how much the model differs from one baseline."""
    table = _table("", "baseline", "difference", "95 % interval", "p")
    for name, row in baseline["scores"].items():
        delta, cells = baseline["deltas"].get(name), ("other tokens", "-", "-")
        if delta is not None:
            difference = _number(name, delta["delta"], sign="+")
            cells = (difference, _interval(name, delta, sign="+"), f"{delta['p_value']:.3f}")
        table.add_row(NAMES[name], _number(name, row["score"]), *cells)
    return table


def _settings(result: Mapping[str, Any]) -> str:
    """How text was decoded or seen; of the rarer settings those that are not the default."""
    if "search" not in result:
        return f"window {result['window']}, context {result['context']}"
    defaults = asdict(SearchConfig())
    always = ("beam", "length_penalty")
    chosen = {k: v for k, v in result["search"].items() if k in always or v != defaults[k]}
    return ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in chosen.items())


def _say(out: Console, text: str) -> None:
    out.print(text, soft_wrap=True, markup=False)


def _table(*heads: str) -> Table:
    table = Table()
    for head in heads:
        table.add_column(head, justify="right" if head else "left")
    return table


def _number(name: str, value: float, sign: str = "") -> str:
    return f"{value:{sign}.{4 if name in FINE else 2}f}"


def _interval(name: str, row: Mapping[str, Any], sign: str = "") -> str:
    return f"[{_number(name, row['low'], sign)}, {_number(name, row['high'], sign)}]"
