"""What follows from a package's operators, where it is sure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from litecompress.explain.finding import Operator, total_us

LEAST = 0.05  # of the time, below which nothing is said
MUCH = 0.2
PRODUCTS = ("int8", "int4", "int8 in blocks", "float32", "float16")


def advice(operators: Sequence[Operator]) -> list[str]:
    """A sentence a finding, those that cost most time first; of what was not timed, counts."""
    whole = total_us(operators)
    if not whole:
        return list(_counted(operators))
    found: list[tuple[float, str]] = []
    for chosen, least, sentence in _RULES:
        members = [op for op in operators if chosen(op)]
        share = total_us(members) / whole
        if members and share >= least:
            matrices = len({weight for op in members for weight in op.weights})
            found.append((share, f"{share:.0%} of the time is in {sentence.format(n=matrices)}"))
    return [text for _, text in sorted(found, reverse=True)]


def _float(op: Operator) -> bool:
    return op.arithmetic == "float32"


_Rule = tuple[Callable[[Operator], bool], float, str]
_RULES: tuple[_Rule, ...] = (
    (
        lambda op: _float(op) and op.densified,
        LEAST,
        "float32 products of {n} weights that the file holds in codes and that are expanded at "
        "load: they make the package smaller, not faster; export with --storage int8 or int4",
    ),
    (
        lambda op: _float(op) and not op.densified,
        LEAST,
        "float32 products of {n} weights held as floats; export with --storage int8",
    ),
    (
        lambda op: op.kernel == "MatMulInteger",
        LEAST,
        "integer products that are not fused with their scales: each is followed by a Cast and "
        "Muls of its own; export again with this version's int8",
    ),
    (
        lambda op: op.component == "output" and op.arithmetic in PRODUCTS,
        MUCH,
        "the output projection, which grows with the vocabulary: a smaller one, or a vocabulary "
        "shortlist, shrinks it",
    ),
    (
        lambda op: op.fallback,
        LEAST,
        "nodes that stand in for the custom convolution: this runtime has no kernel of that name "
        "and runs its decomposition, as with --conv-branch builtin",
    ),
    (
        lambda op: op.arithmetic == "quantizing",
        MUCH,
        "finding the range of activations, once for every input of a product; "
        "--activations per_block does without it, on processors with dot products of bytes",
    ),
)


def _counted(operators: Sequence[Operator]) -> Iterator[str]:
    """The same from the files alone."""
    dense = sum(_float(op) and op.densified for op in operators)
    plain = sum(_float(op) and not op.densified for op in operators)
    if dense:
        yield (
            f"{dense} products expand their weights to floats: they make the package smaller, "
            "not faster; export with --storage int8 and --activations dynamic"
        )
    if plain:
        yield f"{plain} products hold their weights as floats; export with --storage int8"
    outside = [op for op in operators if op.delegated is False and op.arithmetic in PRODUCTS]
    if outside:
        names = ", ".join(sorted({op.kernel for op in outside}))
        yield f"{len(outside)} products ({names}) are not taken by XNNPACK and run the slower way"
