"""The paper's figures of size and work beside ours."""

from __future__ import annotations

from typing import Any

from litecompress.model.presets import preset
from litecompress.paper_figures import Figure, figures

REACH = 0.005
UNITS = {"M": 10**6, "G": 10**9, "MB": 10**6}


def compare() -> list[dict[str, Any]]:
    """Every figure as a row of `litecompress inspect --paper`."""
    return [compare_figure(figure) for figure in figures()]


def compare_figure(figure: Figure) -> dict[str, Any]:
    """Paper and ours in the paper's unit; `deviation` is ours / paper - 1.

    `within_reach` is None where there is nothing of ours to compare.
    """
    digits, unit = figure.printed.split()
    paper, half_digit = float(digits), 0.5 * 10.0 ** -len(digits.partition(".")[2])
    ours = deviation = within = None
    if figure.measure:
        ours = round(figure.measure(preset(figure.model)) / UNITS[unit], 6)
        deviation = round(ours / paper - 1, 6)
        within = abs(deviation) <= REACH or abs(ours - paper) <= half_digit
    return {
        "table": figure.table,
        "model": figure.model,
        "column": figure.column,
        "printed": figure.printed,
        "unit": unit,
        "paper": paper,
        "ours": ours,
        "deviation": deviation,
        "within_reach": within,
        "recalled": figure.recalled,
        "source": figure.source,
        "note": figure.note,
    }
