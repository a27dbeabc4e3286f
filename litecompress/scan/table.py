"""A scan on a terminal: a row a tensor, a column a setting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from rich import box
from rich.console import Console
from rich.table import Table

from litecompress.scan.result import Metric, Scan

SHORT = {"encoder.": "enc.", "decoder.": "dec.", "cross_attention": "cross", "attention": "attn"}


def show(scan: Scan, out: Console) -> None:
    """Print the increase of the loss by tensor and setting, and the metric if there is one."""
    how = "measured" if scan.measured else "by gradient and curvature"
    out.print(
        f"{scan.model}: token NLL {scan.loss:.4f} nats on {scan.text.sentences} sentences; its "
        f"increase with one tensor pruned or quantized, in thousandths ({how})",
        soft_wrap=True,
        markup=False,
    )
    settings = scan.alone
    heads = [f"{s.sparsity:g}" if s.sparsity else f"{s.num_bits} b" for s in settings]
    rows = []
    for tensor in scan.ordered:
        costs = [tensor.cost(setting) for setting in settings]
        cells = ["" if cost is None else _thousandths(cost.estimate) for cost in costs]
        rows.append([short_name(tensor.name), f"{tensor.kept_bytes / 1e3:.0f}", *cells])
    out.print(table(["tensor", "kB", *heads], rows))
    if scan.metric is not None:
        out.print(_scores(scan.metric))
    reasons = list(scan.skipped.values())
    for reason in dict.fromkeys(reasons):
        out.print(f"skipped {reasons.count(reason)} ({reason})")


def _thousandths(loss: float) -> str:
    return f"{1000 * loss:.0f}".replace("-0", "0")


def short_name(name: str) -> str:
    """A weight's name in fewer letters: `dec.0.cross.key`."""
    for long, short in SHORT.items():
        name = name.replace(long, short)
    return name.removesuffix(".weight")


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """Names to the left, numbers to the right; of too little room the names get less."""
    found = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), collapse_padding=True)
    for i, (head, *cells) in enumerate(zip(heads, *rows, strict=True)):
        width = max(map(len, (head, *cells))) if i else None
        side: Literal["left", "right"] = "right" if i else "left"
        found.add_column(head, justify=side, no_wrap=bool(i), min_width=width, overflow="ellipsis")
    for row in rows:
        found.add_row(*row)
    return found


def _scores(metric: Metric) -> Table:
    """The metric where it was measured."""
    rows = [["none", "as it is", f"{metric.score:.2f}"]]
    rows += [[short_name(s.tensor), str(s.setting), f"{s.score:.2f}"] for s in metric.scores]
    return table(["tensor", "setting", f"{metric.name}, greedy"], rows)
