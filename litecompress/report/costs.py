"""Costs, presets and the paper's figures on a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

import rich.table
from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape

Row = Mapping[str, Any]


def show_costs(values: Row, out: Console) -> None:
    """A line for each component, then their sum, then the paper's scope."""
    source = "" if values["source_length"] is None else f"{values['source_length']} to "
    layers = "+".join(str(n) for n in values["layers"] if n)
    shape = f"{layers} layers, d {values['embed_dim']}, ffn {values['ffn_dim']}"
    title = (
        f"{values['model']}: {values['family']}\n{shape}; {source}{values['target_length']} tokens"
    )
    stored = ["stored\nMB"] if "stored_bytes" in values["total"] else []
    macs = ["MACs (M),\npaper", "MACs (M),\nall"]
    heads = ["component", "parameters", "float32\nMB", *stored, *macs]
    table = _table(title, heads)
    for name, row in values["components"].items():
        table.add_row(name.replace("_", "-"), *_cells(row, bool(stored)))
    table.add_section()
    table.add_row("total", *_cells(values["total"], bool(stored)))
    table.add_row("paper's scope", *_cells(values["paper"], bool(stored)))
    out.print(table)
    if "kept" in values:
        out.print(_kept_table(values["kept"]))
    out.print(
        "The paper counts parameters outside the embedding, and MACs of linear layers and\n"
        "attention products. All: also convolution taps, norms, positions and the output.",
        style="dim",
    )


def _kept_table(stacks: Mapping[str, Sequence[Row]]) -> rich.table.Table:
    """A line for each layer of a model that was pruned in structure."""
    heads = ["layer", "attention\nheads", "cross\nheads", "convolution", "ffn"]
    table = _table("What structured pruning left", heads)
    for stack, layers in stacks.items():
        for i, row in enumerate(layers):
            conv = f"{row['conv_heads']} x {row['conv_head_dim']}" if row["conv_heads"] else "0"
            counts = (row["attention_heads"], row["cross_attention_heads"], conv, row["ffn_dim"])
            table.add_row(f"{stack} {i}", *map(str, counts))
    return table


def show_presets(rows: Iterable[Row], out: Console) -> None:
    """A line for each preset."""
    heads = ["preset", "without\nembedding", "all", "MACs,\npaper", "MACs,\nall"]
    table = _table("Presets: millions of parameters, and of MACs at 30 tokens", heads)
    for row in rows:
        measures = ("nonembed_parameters", "parameters", "paper_macs", "all_macs")
        table.add_row(row["preset"], *(_million(row[m], decimals=2) for m in measures))
    out.print(table)


def show_comparison(rows: Sequence[Row], out: Console) -> None:
    """A table for each of the paper's, rows out of reach in red, and how many there are."""
    for title, group in groupby(rows, key=lambda row: row["table"]):
        of_table = list(group)
        table = _table(title, ["model", "figure", "paper", "ours", "% off", "source"])
        for row in of_table:
            style = {False: "red", None: "dim"}.get(row["within_reach"])
            table.add_row(*_comparison_cells(row), style=style)
        out.print(table)
        for note in dict.fromkeys(row["note"] for row in of_table if row["note"]):
            out.print(f"  {escape(note)}", style="dim")
    verdicts = [row["within_reach"] for row in rows]
    out.print(
        f"\n{verdicts.count(True)} figures within 0.5 % or their last digit, "
        f"{verdicts.count(False)} out of reach (!), {verdicts.count(None)} without a configuration."
    )


def _comparison_cells(row: Row) -> list[str]:
    decimals = len(row["printed"].split()[0].partition(".")[2]) + 2
    ours, deviation = "-", "-"
    if row["ours"] is not None:
        ours = f"{row['ours']:.{decimals}f}"
        deviation = f"{100 * row['deviation']:+.2f}{'' if row['within_reach'] else ' !'}"
    source = "recalled" if row["recalled"] else row["source"]
    column = row["column"].replace("#Mult-Adds", "MACs")
    return [row["model"], column, row["printed"], ours, deviation, source]


def _cells(row: Row, stored: bool) -> list[str]:
    """Parameters, bytes and MACs of one line; a dash where a count has no such figure."""
    sizes = ("float32_bytes", "stored_bytes") if stored else ("float32_bytes",)
    macs = (_million(row[m]) if m in row else "-" for m in ("paper_macs", "all_macs"))
    return [f"{row['parameters']:,}", *(_million(row[s]) for s in sizes), *macs]


def _million(number: int, decimals: int = 3) -> str:
    return f"{number / 1e6:,.{decimals}f}"


def _table(title: str, heads: Sequence[str]) -> rich.table.Table:
    table = rich.table.Table(
        title=escape(title),
        title_justify="left",
        title_style="bold",
        box=SIMPLE,
        padding=(0, 1, 0, 0),
    )
    for i, head in enumerate(heads):
        table.add_column(head, justify="left" if i == 0 else "right", no_wrap=head != "figure")
    return table
