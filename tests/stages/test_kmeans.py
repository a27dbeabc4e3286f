"""k-means against the exact optimum, and the search for the nearest centroid against NumPy's."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.cluster import KMeans

from litecompress.errors import StageError
from litecompress.stages import kmeans_bins
from litecompress.stages.kmeans import kmeans, nearest, row_groups

vectors = hnp.arrays(np.float32, st.integers(1, 60), elements=st.floats(-10, 10, width=32))
repeated = hnp.arrays(np.float32, st.integers(1, 60), elements=st.integers(-9, 9).map(float))


def optimum(values, clusters, weights=None):
    """Least inertia there is, by dynamic programming over all splits of the sorted values."""
    order = np.argsort(values)
    x = values[order].astype(np.float64)
    x = x - x[len(x) // 2]
    w = np.ones(len(x)) if weights is None else weights[order].astype(np.float64)
    mass, first, second = (np.concatenate([[0], np.cumsum(w * x**p)]) for p in range(3))
    inner = mass[None] - mass[:, None]
    moment = first[None] - first[:, None]
    cost = second[None] - second[:, None] - moment**2 / np.where(inner > 0, inner, 1)
    cost = np.where(np.tri(len(x) + 1, dtype=bool).T, np.maximum(cost, 0), np.inf)  # from, to
    best = cost[0]
    for _ in range(clusters - 1):
        best = (best[:, None] + cost).min(axis=0)
    return best[-1]


def inertia(values, centroids, weights=None):
    distance = np.abs(values.astype(np.float64)[:, None] - centroids).min(axis=1)
    weights = np.ones(len(values)) if weights is None else weights.astype(np.float64)
    return float(weights @ distance**2)


def pruned(rng, count):
    values = rng.standard_normal(4 * count)
    return values[np.abs(values) > 1][:count]


SHAPES = {
    "normal": lambda rng, count: rng.standard_normal(count) * 0.05,
    "uniform": lambda rng, count: rng.random(count),
    "heavy tails": lambda rng, count: rng.standard_t(3, count),
    "heavier tails": lambda rng, count: rng.standard_cauchy(count),
    "one tail": lambda rng, count: np.exp(2 * rng.standard_normal(count)),
    "one outlier": lambda rng, count: np.append(rng.standard_normal(count - 1), 1e4),
    "an absurd outlier": lambda rng, count: np.append(rng.standard_normal(count - 1), -1e30),
    "pruned": pruned,
    "many modes": lambda rng, count: rng.integers(0, 8, count) ** 3 + rng.standard_normal(count),
    "far apart": lambda rng, count: rng.choice([-100, 100], count) + rng.normal(0, 0.01, count),
    "two scales": lambda rng, count: rng.normal(0, rng.choice([1e-3, 1], count, p=[0.9, 0.1])),
    "half precision": lambda rng, count: rng.standard_normal(count).astype(np.float16),
    "few values": lambda rng, count: rng.integers(0, 300, count),
    "mixed": lambda rng, count: rng.standard_normal(count).round(1) + pruned(rng, count).round(3),
    "mostly zero": lambda rng, count: rng.normal(0, rng.choice([0, 1], count, p=[0.9, 0.1])),
    "far from zero": lambda rng, count: 1000 + rng.standard_normal(count),
    "subnormal": lambda rng, count: rng.standard_normal(count) * 1e-40,
    "huge": lambda rng, count: rng.standard_normal(count) * 1e36,
}


def weights_of(name, count):
    """Weights as they come, and as they should not."""
    return SHAPES[name](np.random.default_rng(0), count).astype(np.float32)


@given(vectors | repeated, st.integers(1, 12), st.randoms(use_true_random=False))
def test_few_values_have_the_best_centroids(values, clusters, random):
    weights = None
    if random.random() < 0.5:
        weights = np.array([random.choice([0.1, 1, 2, 50]) for _ in values], np.float32)
    best = optimum(values, clusters, weights)
    ours = inertia(values, kmeans(values, clusters, weights), weights)
    total = 1 if weights is None else float(weights.max())
    assert ours <= 1.001 * best + 1e-9 * total


@pytest.mark.parametrize("name", SHAPES)
def test_within_a_percent_of_the_optimum(name):
    values = weights_of(name, 500)
    for clusters in (2, 5, 16, 100):
        if (
            name == "an absurd outlier"
        ):  # alone in its cluster; with it, the reference has no digits
            best = optimum(values[values > -1e30], clusters - 1)
        else:
            best = optimum(values, clusters)
        assert inertia(values, kmeans(values, clusters)) <= 1.005 * best


@pytest.mark.parametrize("name", SHAPES)
def test_within_a_percent_of_kmeans1d(name):
    kmeans1d = pytest.importorskip("kmeans1d")
    if name in ("an absurd outlier", "subnormal", "huge"):
        pytest.skip("beyond the precision of the reference")
    values = weights_of(name, 4000)
    exact = values.astype(np.float64)
    if name == "far apart":
        exact -= 99 * np.sign(exact)  # the same clusters, and enough digits
    clusters = np.array(kmeans1d.cluster(exact - np.median(exact), 255).clusters)
    theirs = np.bincount(clusters, values.astype(np.float64)) / np.bincount(clusters)
    ours = kmeans(values, 255)
    assert inertia(values, ours) <= 1.01 * inertia(values, theirs) + 1e-12


@pytest.mark.parametrize("clusters", [4, 16, 255])
def test_better_than_lloyd_from_a_line(clusters):
    values = np.random.default_rng(0).normal(size=4000).astype(np.float32)
    line = np.linspace(values.min(), values.max(), clusters)[:, None]
    theirs = KMeans(clusters, init=line, n_init=1, max_iter=1000, tol=0, algorithm="lloyd")
    theirs.fit(values[:, None].astype(np.float64))
    assert inertia(values, kmeans(values, clusters)) <= theirs.inertia_ * 1.0005


@pytest.mark.slow
def test_the_global_optimum_of_a_matrix():
    kmeans1d = pytest.importorskip("kmeans1d")
    values = np.random.default_rng(0).normal(scale=0.0488, size=496 * 496).astype(np.float32)
    best = np.array(kmeans1d.cluster(values.astype(np.float64), 256).centroids)
    ours = kmeans(values, 256)
    assert squared_error(values, ours) <= 1.01 * squared_error(values, best)


def squared_error(values, centroids):
    return float(np.square(values.astype(np.float64) - centroids[nearest(values, centroids)]).sum())


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", SHAPES)
def test_a_histogram_is_as_good_as_sorting(name, weighted, monkeypatch):
    values = weights_of(name, 100_000)
    weights = np.random.default_rng(1).random(len(values), np.float32) ** 4 if weighted else None
    ours = kmeans(values, 64, weights)
    monkeypatch.setattr(kmeans_bins, "_histogram", lambda *_: None)
    distances = [
        values.astype(np.float64) - c[nearest(values, c)]
        for c in (ours, kmeans(values, 64, weights))
    ]
    errors = [float(np.average(d**2, weights=weights)) for d in distances]
    assert errors[0] <= 1.005 * errors[1]


@pytest.mark.parametrize("name", SHAPES)
def test_no_cluster_is_empty_and_each_is_at_the_mean_of_its_own(name):
    values = weights_of(name, 70_000)
    centroids = kmeans(values, 200)
    assert len(centroids) == min(200, len(np.unique(values)))
    assert (np.diff(centroids) > 0).all()
    index = nearest(values, centroids)
    members = np.bincount(index, minlength=len(centroids))
    assert members.all()
    means = np.bincount(index, values.astype(np.float64)) / members
    spread = np.sqrt(squared_error(values, centroids) / len(values))
    assert np.sqrt(np.average((means - centroids) ** 2, weights=members)) < 0.1 * spread + 1e-30


@given(vectors | repeated, st.integers(1, 70))
def test_as_many_as_asked_for_or_each_value(values, clusters):
    centroids = kmeans(values, clusters)
    distinct = np.unique(values)
    assert len(centroids) == min(clusters, len(distinct))
    assert (np.diff(centroids) > 0).all()
    if clusters >= len(distinct):
        np.testing.assert_array_equal(centroids, distinct)
    assert len(np.unique(nearest(values, centroids))) == len(centroids)


@given(repeated, st.integers(1, 6), st.data())
def test_a_weight_is_a_number_of_times(values, clusters, data):
    times = data.draw(hnp.arrays(np.int64, len(values), elements=st.integers(0, 5)))
    if not times.any():
        times += 1
    plain = np.repeat(values, times)
    weighted = kmeans(values, clusters, times.astype(np.float32))
    assert inertia(plain, weighted) <= 1.001 * inertia(plain, kmeans(plain, clusters)) + 1e-9


@given(vectors, st.integers(1, 6), st.sampled_from([0.0, 1e-20, 1.0, 3e20]))
def test_equal_weights_are_none(values, clusters, weight):
    plain = inertia(values, kmeans(values, clusters))
    weighted = kmeans(values, clusters, np.full(len(values), weight, np.float32))
    assert inertia(values, weighted) == pytest.approx(plain, rel=1e-3, abs=1e-9)


@given(vectors, st.integers(1, 12), st.randoms(use_true_random=False))
def test_order_does_not_matter(values, clusters, random):
    shuffled = values.copy()
    random.shuffle(shuffled)
    np.testing.assert_array_equal(kmeans(shuffled, clusters), kmeans(values, clusters))


def test_the_same_bytes_every_time():
    values = weights_of("normal", 200_000)
    assert kmeans(values, 256).tobytes() == kmeans(values.copy(), 256).tobytes()


def test_of_one_value():
    np.testing.assert_array_equal(kmeans(np.float32([0.25]), 256), [0.25])
    np.testing.assert_array_equal(kmeans(np.full(100_000, 0.25, np.float32), 256), [0.25])


@pytest.mark.parametrize(
    ("name", "weighted"),
    [
        ("normal", False),
        ("heavier tails", False),
        ("heavier tails", True),
    ],
)
def test_memory_of_three_tensors_at_most(name, weighted):
    values = weights_of(name, 2_000_000)
    weights = np.random.default_rng(1).random(len(values), np.float32) if weighted else None
    tensors = values.nbytes * (2 if weighted else 1)
    tracemalloc.start()
    try:
        nearest(values, kmeans(values, 256, weights))
        assert tracemalloc.get_traced_memory()[1] <= 3 * tensors
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("values", "clusters", "weights", "message"),
    [
        ([], 4, None, "got 0 values and 4 clusters"),
        ([1.0], 0, None, "got 1 values and 0 clusters"),
        ([1.0, 2.0], 1, [1.0], "expected 2 finite weights from 0, got 1"),
        ([1.0, 2.0], 1, [1.0, -1.0], "finite weights from 0, got 2 between -1.0"),
        ([1.0, 2.0], 1, [1.0, np.nan], "finite weights from 0"),
        ([1.0, 2.0], 1, [1.0, np.inf], "finite weights from 0"),
    ],
)
def test_what_has_no_centroids(values, clusters, weights, message):
    weights = None if weights is None else np.float32(weights)
    with pytest.raises(StageError, match=message):
        kmeans(np.float32(values), clusters, weights)


centroid_lists = st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=40, unique=True).map(
    lambda c: np.array(sorted(c))
)


@given(centroid_lists, st.sampled_from([np.float16, np.float32, np.float64]), st.data())
def test_nearest_is_the_binary_search(centroids, kind, data):
    limits = (centroids[1:] + centroids[:-1]) / 2
    some = st.floats(-1000, 1000, width=16) | st.sampled_from([*centroids, *limits])
    values = np.array(data.draw(st.lists(some, max_size=60)), kind)
    found = nearest(values, centroids)
    np.testing.assert_array_equal(found, np.searchsorted(limits, values.astype(np.float64)))
    assert found.dtype == np.uint8


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("clusters", [255, 1000])
def test_nearest_of_many(name, clusters):
    values = weights_of(name, 200_000).reshape(400, -1)
    centroids = np.unique(values.reshape(-1)[:: len(values.reshape(-1)) // clusters]).astype(
        np.float64
    )
    found = nearest(values, centroids)
    limits = (centroids[1:] + centroids[:-1]) / 2
    np.testing.assert_array_equal(found, np.searchsorted(limits, values))
    assert found.dtype == (np.uint8 if len(centroids) <= 256 else np.uint16)


def test_rows_in_groups_as_even_as_can_be():
    assert row_groups(10, 3) == [slice(0, 4), slice(4, 7), slice(7, 10)]


@pytest.mark.parametrize("groups", [0, 11])
def test_more_groups_than_rows(groups):
    with pytest.raises(StageError, match=f"1 to 10 groups for 10 rows, got {groups}"):
        row_groups(10, groups)
