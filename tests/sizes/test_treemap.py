"""The treemap: areas in proportion, nothing overlaps, and the paper's own example."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from litecompress.sizes.treemap import Rect, squarify

SIZES = st.lists(st.integers(1, 10**9), min_size=1, max_size=60).map(
    lambda sizes: sorted(sizes, reverse=True)
)
SIDES = st.floats(10, 2000)


@given(sizes=SIZES, width=SIDES, height=SIDES)
def test_areas_are_in_proportion_and_fill_the_place(sizes, width, height):
    area = Rect(5, 7, width, height)
    rects = squarify(sizes, area)
    for size, rect in zip(sizes, rects, strict=True):
        assert rect.area == pytest.approx(area.area * size / sum(sizes), rel=1e-6, abs=1e-6)
        assert area.x <= rect.x + 1e-6
        assert area.y <= rect.y + 1e-6
        assert rect.x + rect.width <= area.x + width * (1 + 1e-6)
        assert rect.y + rect.height <= area.y + height * (1 + 1e-6)


@given(sizes=SIZES, width=SIDES, height=SIDES)
def test_rectangles_do_not_overlap(sizes, width, height):
    rects = squarify(sizes, Rect(0, 0, width, height))
    for i, one in enumerate(rects):
        for other in rects[:i]:
            across = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
            down = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
            assert min(across, down) <= 1e-6 * max(width, height)


def test_the_example_of_the_paper():
    """Sizes 6, 6, 4, 3, 2, 2, 1 in 6 x 4 (Bruls, Huizing and van Wijk 2000, fig. 3 and 4)."""
    rects = squarify([6, 6, 4, 3, 2, 2, 1], Rect(0, 0, 6, 4))
    sides = [(round(r.width, 4), round(r.height, 4)) for r in rects]
    assert sides[:2] == [(3, 2), (3, 2)]
    assert sides[2:4] == [(1.7143, 2.3333), (1.2857, 2.3333)]
    assert sides[4:] == [(1.2, 1.6667), (1.2, 1.6667), (0.6, 1.6667)]


def test_equal_sizes_are_no_slivers():
    for count in range(1, 40):
        for rect in squarify([1.0] * count, Rect(0, 0, 300, 200)):
            assert max(rect.width / rect.height, rect.height / rect.width) <= 3


def test_sizes_in_another_order_are_refused():
    assert squarify([], Rect(0, 0, 1, 1)) == []
    for sizes in ([1, 2], [2, 0], [-1]):
        with pytest.raises(ValueError, match="largest first"):
            squarify(sizes, Rect(0, 0, 1, 1))
