"""The operators of Core ML's intermediate language (MIL) that our programs use, in NumPy.

Each function takes an operator's inputs under their MIL names; `mil_batch` lets them take several
sentences at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from litecompress.errors import UnsupportedOpError

Array = NDArray[Any]


def linear(x: Array, weight: Array, bias: Array) -> Array:
    """Multiply x (.., in) by weight (out, in), and add the bias."""
    return np.asarray(x @ weight.T + bias)


def matmul(x: Array, y: Array, transpose_x: bool = False, transpose_y: bool = False) -> Array:
    """Batched product of the last two axes, either of them turned before."""
    x = x.swapaxes(-1, -2) if transpose_x else x
    return np.asarray(x @ (y.swapaxes(-1, -2) if transpose_y else y))


def layer_norm(x: Array, axes: Array, gamma: Array, beta: Array, epsilon: float) -> Array:
    """Centre and scale along `axes` together, with the biased variance."""
    along = tuple(axes)
    centred = x - x.mean(axis=along, keepdims=True)
    variance = np.square(centred).mean(axis=along, keepdims=True)
    return np.asarray(centred / np.sqrt(variance + epsilon) * gamma + beta)


def softmax(x: Array, axis: int) -> Array:
    """Exponentials that sum to 1 along an axis."""
    raised = np.exp(x - x.max(axis=axis, keepdims=True))
    return np.asarray(raised / raised.sum(axis=axis, keepdims=True))


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)), through tanh, which never overflows."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * x)))


def sin(x: Array) -> Array:
    """Sine of radians."""
    return np.asarray(np.sin(x))


def cos(x: Array) -> Array:
    """Cosine of radians."""
    return np.asarray(np.cos(x))


def log(x: Array, epsilon: float = 1e-45) -> Array:
    """Natural logarithm of x + epsilon."""
    return np.asarray(np.log(x + np.float32(epsilon)))


def cumsum(x: Array, axis: int, exclusive: bool = False, reverse: bool = False) -> Array:
    """Running sum, the current element included."""
    _only("cumsum", exclusive=not exclusive, reverse=not reverse)
    return np.cumsum(x, axis=axis)


def reduce_sum(x: Array, axes: Array, keep_dims: bool = False) -> Array:
    """Sum along axes."""
    return np.asarray(x.sum(axis=tuple(axes), keepdims=bool(keep_dims)))


def gather(
    x: Array, indices: Array, axis: int, batch_dims: int = 0, validate_indices: bool = False
) -> Array:
    """Slices of x along an axis; negative indices count from its end."""
    _only("gather", batch_dims=batch_dims == 0, validate_indices=not validate_indices)
    return np.take(x, indices.astype(np.intp), axis=int(axis))


def pad(x: Array, pad: Array, mode: str, constant_val: float) -> Array:
    """`pad` holds begin and end of the last axes only."""
    _only("pad", mode=mode == "constant")
    widths = np.asarray(pad).reshape(-1, 2)
    widths = np.concatenate([np.zeros((x.ndim - len(widths), 2), int), widths])
    return np.pad(x, widths, constant_values=constant_val)


def split(
    x: Array, axis: int, num_splits: int | None = None, split_sizes: Array | None = None
) -> Sequence[Array]:
    """Parts of equal or of given sizes."""
    if split_sizes is None:
        return np.split(x, int(num_splits or 1), axis=int(axis))
    return np.split(x, np.cumsum(split_sizes)[:-1], axis=int(axis))


def concat(values: Sequence[Array], axis: int, interleave: bool = False) -> Array:
    """Values one after another along an axis."""
    _only("concat", interleave=not interleave)
    return np.concatenate(values, axis=int(axis))


def slice_by_index(x: Array, begin: Array, end: Array, **options: Array | None) -> Array:
    """A mask lifts the bound of an axis; a squeezed axis keeps the index at `begin` alone."""
    return np.asarray(x[_index(x.ndim, begin, end, **options)])


def slice_update(
    x: Array, update: Array, begin: Array, end: Array, **options: Array | None
) -> Array:
    """A copy of x with `update` in the place of what `slice_by_index` gives."""
    changed = x.copy()
    changed[_index(x.ndim, begin, end, **options)] = update
    return changed


def _index(
    rank: int,
    begin: Array,
    end: Array,
    *,
    stride: Array | None = None,
    begin_mask: Array | None = None,
    end_mask: Array | None = None,
    squeeze_mask: Array | None = None,
) -> tuple[slice | int, ...]:
    index: list[slice | int] = []
    for axis in range(rank):
        if squeeze_mask is not None and squeeze_mask[axis]:
            index.append(int(begin[axis]))
            continue
        first = None if begin_mask is not None and begin_mask[axis] else int(begin[axis])
        last = None if end_mask is not None and end_mask[axis] else int(end[axis])
        index.append(slice(first, last, None if stride is None else int(stride[axis])))
    return tuple(index)


def maximum(x: Array, y: Array) -> Array:
    """The greater of two, element by element."""
    return np.asarray(np.maximum(x, y))


def minimum(x: Array, y: Array) -> Array:
    """The lesser of two, element by element."""
    return np.asarray(np.minimum(x, y))


def select(cond: Array, a: Array, b: Array) -> Array:
    """Elements of a where the condition holds, of b elsewhere."""
    return np.where(cond, a, b)


def _only(operator: str, **holds: bool) -> None:
    """Refuse the options of an operator that are not written here."""
    wrong = [option for option, right in holds.items() if not right]
    if wrong:
        raise UnsupportedOpError(
            f"emulated Core ML: expected the usual {', '.join(wrong)} of {operator}, got another; "
            "such a program runs on a device only"
        )


OPERATORS: dict[str, Callable[..., Any]] = {
    "add": lambda x, y: x + y,
    "cast": lambda x, dtype: x,  # all results take the types that are declared
    "concat": concat,
    "cos": cos,
    "cumsum": cumsum,
    "equal": lambda x, y: x == y,
    "expand_dims": lambda x, axes: np.expand_dims(x, tuple(axes)),
    "gather": gather,
    "greater": lambda x, y: x > y,
    "greater_equal": lambda x, y: x >= y,
    "identity": lambda x: x,
    "layer_norm": layer_norm,
    "less": lambda x, y: x < y,
    "linear": linear,
    "log": log,
    "logical_and": lambda x, y: x & y,
    "matmul": matmul,
    "maximum": maximum,
    "minimum": minimum,
    "mul": lambda x, y: x * y,
    "not_equal": lambda x, y: x != y,
    "pad": pad,
    "reduce_sum": reduce_sum,
    "relu": lambda x: np.maximum(x, 0),
    "reshape": lambda x, shape: x.reshape(tuple(shape)),
    "select": select,
    "sigmoid": sigmoid,
    "sin": sin,
    "slice_by_index": slice_by_index,
    "slice_update": slice_update,
    "softmax": softmax,
    "split": split,
    "sub": lambda x, y: x - y,
    "tile": lambda x, reps: np.tile(x, tuple(reps)),
    "transpose": lambda x, perm: x.transpose(tuple(perm)),
}
