"""One option for each of many parts, so that costs sum up to a budget and losses to the least.

Equal slope (Shoham and Gersho, 1988): at the best allocation a byte more would gain the same in
every part. The steps of all lower convex hulls, steepest first, are that allocation for each budget
on the way, and a bound for those between. What such a step leaves of a budget is filled by a search
among all options that the bound does not rule out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from litecompress.errors import InputError

STATES = 1 << 11  # partial allocations kept at a time
ROUNDING = 1e-12  # by which sums may be off, relatively

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]


class Option(NamedTuple):
    """What a choice costs, and what it loses."""

    cost: float
    loss: float


@dataclass(frozen=True)
class Allocation:
    """The index of each part's option, the sums, and a loss that no allocation can go below.

    It is `exact` when no other allocation within the budget loses less.
    """

    chosen: tuple[int, ...]
    cost: float
    loss: float
    bound: float
    exact: bool


def allocate(parts: Sequence[Sequence[Option]], budget: float) -> Allocation:
    """The allocation of the least loss that costs no more than the budget.

    An InputError where even the cheapest options cost more.
    """
    tables = [np.array(options, np.float64) for options in parts]
    hulls = [_hull(table) for table in tables]
    curves = [_curve(tables[i:], hulls[i:]) for i in range(len(parts) + 1)]
    limit = budget + ROUNDING * abs(budget)
    least = float(curves[0][0, 0])
    if least > limit:
        raise InputError(f"expected a budget of at least {least:g}, got {budget:g}")
    found, exact = _search(tables, curves, limit, _greedy(tables, hulls, limit))
    cost, loss = _sums(tables, found)
    bound = float(_bound(curves[0], np.array([limit]))[0])
    return Allocation(tuple(map(int, found)), cost, loss, bound, exact)


def frontier(parts: Sequence[Sequence[Option]]) -> Floats:
    """Rows (n, 2) of cost and loss: the allocations of equal slope, from the cheapest on."""
    tables = [np.array(options, np.float64) for options in parts]
    return _curve(tables, [_hull(table) for table in tables])


def _hull(table: Floats) -> Indices:
    """Options on the lower convex hull, from the cheapest to that of the least loss."""
    hull: list[int] = []
    for i in np.lexsort((table[:, 1], table[:, 0])):
        if hull and table[i, 1] >= table[hull[-1], 1]:
            continue
        while len(hull) > 1 and not _is_convex(table[[hull[-2], hull[-1], i]]):
            hull.pop()
        hull.append(int(i))
    return np.array(hull)


def _is_convex(points: Floats) -> bool:
    """Whether the first step of three points is steeper than the second."""
    (cost, gain), (next_cost, next_gain) = np.diff(points, axis=0) * (1, -1)
    return bool(gain * next_cost > next_gain * cost)


def _steps(tables: Sequence[Floats], hulls: Sequence[Indices]) -> tuple[Floats, Indices]:
    """Steps (n, 2) of cost and loss along all hulls, steepest first, and whose each is."""
    steps = [np.diff(table[hull], axis=0) for table, hull in zip(tables, hulls, strict=True)]
    owners = np.repeat(np.arange(len(steps)), [len(step) for step in steps])
    together = np.concatenate([np.zeros((0, 2)), *steps])
    order = np.argsort(together[:, 1] / together[:, 0], kind="stable")
    return together[order], owners[order]


def _curve(tables: Sequence[Floats], hulls: Sequence[Indices]) -> Floats:
    """Points (n, 2) of the convex curve that no allocation of these parts lies below."""
    firsts = (table[hull[0]] for table, hull in zip(tables, hulls, strict=True))
    start = np.sum([np.zeros(2), *firsts], axis=0, keepdims=True)
    return np.cumsum(np.concatenate([start, _steps(tables, hulls)[0]]), axis=0)


def _bound(curve: Floats, budgets: Floats) -> Floats:
    """The least loss for each budget by a curve; infinite where nothing is so cheap."""
    return np.interp(budgets, curve[:, 0], curve[:, 1], left=np.inf)


def _greedy(tables: Sequence[Floats], hulls: Sequence[Indices], limit: float) -> list[int]:
    """Every step along the hulls that still fits, the steepest first."""
    place = [0] * len(tables)
    blocked: set[int] = set()
    spent = sum(float(table[hull[0], 0]) for table, hull in zip(tables, hulls, strict=True))
    for (cost, _), part in zip(*_steps(tables, hulls), strict=True):
        if part in blocked or spent + cost > limit:
            blocked.add(part)
            continue
        place[part] += 1
        spent += cost
    return [int(hull[i]) for hull, i in zip(hulls, place, strict=True)]


def _search(
    tables: Sequence[Floats], curves: Sequence[Floats], limit: float, first: list[int]
) -> tuple[list[int], bool]:
    """An allocation better than the first, or this one; and whether none is better still."""
    best = _sums(tables, first)[1]
    best -= ROUNDING * abs(best)
    cost, loss = np.zeros(1), np.zeros(1)
    trail: list[tuple[Indices, Indices]] = []
    exact = True
    for table, curve in zip(tables, curves[1:], strict=True):
        costs = (cost[:, None] + table[:, 0]).ravel()
        losses = (loss[:, None] + table[:, 1]).ravel()
        bounds = losses + _bound(curve, limit - costs)
        kept = _undominated(costs, losses, np.flatnonzero(bounds < best))
        if len(kept) > STATES:
            kept, exact = kept[np.argsort(bounds[kept], kind="stable")[:STATES]], False
        trail.append((kept // len(table), kept % len(table)))
        cost, loss = costs[kept], losses[kept]
    return (_followed(trail, int(loss.argmin())) if len(loss) else first), exact


def _undominated(costs: Floats, losses: Floats, which: Indices) -> Indices:
    """Those of which no other costs and loses at most as much."""
    order = which[np.lexsort((losses[which], costs[which]))]
    least = np.minimum.accumulate(np.append(np.inf, losses[order]))[:-1]
    kept: Indices = order[losses[order] < least]
    return kept


def _followed(trail: Sequence[tuple[Indices, Indices]], state: int) -> list[int]:
    """The options that lead to a last state."""
    chosen = []
    for parents, options in reversed(trail):
        chosen.append(int(options[state]))
        state = int(parents[state])
    return chosen[::-1]


def _sums(tables: Sequence[Floats], chosen: Sequence[int]) -> tuple[float, float]:
    """Cost and loss of an allocation."""
    total = np.sum([table[i] for table, i in zip(tables, chosen, strict=True)], axis=0)
    return float(total[0]), float(total[1])
