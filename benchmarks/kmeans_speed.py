"""k-means of weights: processor seconds, and inertia against the global optimum.

    python benchmarks/kmeans_speed.py [--bits 8] [--vocab 44512] [--threads 1] [--small]

Each matrix goes through every method in the same run, assignment included. `scikit-learn` is what
coremltools 9 does with float32 weights (k-means++, tol 1e-2, one start), `from a line` is Lloyd's
from evenly spaced centroids, as of Han et al. (arXiv:1510.00149). `kmeans1d` finds the global
optimum; where it is not installed, ratios are to the best of the others. At last all matrices of
the preset wmt14-en-fr-embed496, with random weights, by our own alone. `--small` leaves out the
matrix of 496 x 496, on which kmeans1d takes 15 seconds and a GB of memory.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans

from litecompress.model.presets import preset
from litecompress.model.shapes import weight_shapes
from litecompress.stages.kmeans import kmeans, nearest

Vector = NDArray[np.float32]
Method = Callable[[Vector, int], tuple[NDArray[np.float64], NDArray[np.integer]]]


def ours(values: Vector, clusters: int) -> tuple[NDArray[np.float64], NDArray[np.integer]]:
    centroids = kmeans(values, clusters)
    return centroids, nearest(values, centroids)


def scikit_learn(values: Vector, clusters: int) -> tuple[NDArray[np.float64], NDArray[np.integer]]:
    model = KMeans(clusters, init="k-means++", tol=1e-2, n_init=1, random_state=0)
    model.fit(values[:, None])
    return model.cluster_centers_[:, 0], model.labels_


def from_a_line(values: Vector, clusters: int) -> tuple[NDArray[np.float64], NDArray[np.integer]]:
    line = np.linspace(values.min(), values.max(), clusters)[:, None]
    model = KMeans(clusters, init=line, n_init=1).fit(values[:, None])
    return model.cluster_centers_[:, 0], model.labels_


def exact(values: Vector, clusters: int) -> tuple[NDArray[np.float64], NDArray[np.integer]]:
    import kmeans1d

    found = kmeans1d.cluster(values.astype(np.float64), clusters)
    return np.array(found.centroids), np.array(found.clusters)


def matrices(small: bool) -> Iterator[tuple[str, Vector]]:
    rng = np.random.default_rng(0)
    yield "124 x 248 normal", rng.normal(0, 0.05, 124 * 248).astype(np.float32)
    yield "248 x 248 normal", rng.normal(0, 0.05, 248 * 248).astype(np.float32)
    yield "248 x 248 heavy tails", rng.standard_t(3, 248 * 248).astype(np.float32)
    pruned = rng.normal(0, 0.05, 4 * 248 * 248)
    pruned = pruned[np.abs(pruned) > np.quantile(np.abs(pruned), 0.75)]
    yield "248 x 248 pruned", pruned.astype(np.float32)
    if not small:
        yield "496 x 496 normal", rng.normal(0, 0.0488, 496 * 496).astype(np.float32)


def compare(clusters: int, small: bool) -> None:
    methods: dict[str, Method] = {
        "ours": ours,
        "scikit-learn": scikit_learn,
        "from a line": from_a_line,
    }
    if importlib.util.find_spec("kmeans1d"):
        methods["kmeans1d"] = exact
    print(f"{'matrix':24}{'method':16}{'processor s':>12}{'inertia':>14}{'to optimum':>12}")
    for name, values in matrices(small):
        rows = {method: measured(run, values, clusters) for method, run in methods.items()}
        best = rows["kmeans1d"][1] if "kmeans1d" in rows else min(r[1] for r in rows.values())
        for method, (seconds, inertia) in rows.items():
            print(f"{name:24}{method:16}{seconds:12.3f}{inertia:14.6g}{inertia / best:12.4f}")


def measured(method: Method, values: Vector, clusters: int) -> tuple[float, float]:
    """Processor seconds and inertia."""
    used = time.process_time()
    centroids, indices = method(values, clusters)
    used = time.process_time() - used
    return used, float(np.square(values.astype(np.float64) - centroids[indices]).sum())


def whole_model(clusters: int, vocab: int, threads: int) -> None:
    rng = np.random.default_rng(0)
    shapes = weight_shapes(preset("wmt14-en-fr-embed496", vocab)).values()
    weights = [rng.standard_normal(shape, np.float32) for shape in shapes if len(shape) > 1]
    count = sum(weight.size for weight in weights)
    print(f"\nwmt14-en-fr-embed496, vocabulary {vocab}: {count / 1e6:.1f} M weights", end=", ")
    print(f"{len(weights)} matrices, {clusters} clusters each, {threads} threads")
    with ThreadPoolExecutor(threads) as pool:
        centroids = timed("k-means", lambda: list(pool.map(lambda w: kmeans(w, clusters), weights)))
        timed("assignment", lambda: list(pool.map(nearest, weights, centroids)))


def timed(name: str, work: Callable[[], list[Any]]) -> list[Any]:
    used, started = time.process_time(), time.perf_counter()
    result = work()
    used, passed = time.process_time() - used, time.perf_counter() - started
    print(f"{name:12}{used:8.2f} s of processor time{passed:8.2f} s passed")
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--bits", type=int, default=8)
    parser.add_argument("--vocab", type=int, default=44512)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args()
    compare(2**options.bits, options.small)
    whole_model(2**options.bits, options.vocab, options.threads)


if __name__ == "__main__":
    main()
