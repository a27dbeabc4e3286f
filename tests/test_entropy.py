"""The entropy coder: exact, near the entropy, as specified, and safe from any bytes."""

from __future__ import annotations

import hashlib
import math
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from litecompress import entropy
from litecompress.entropy import blocks, code_length, decode, decode_all, encode, encode_all
from litecompress.entropy.frequencies import fit, unpack
from litecompress.errors import ArtifactError
from tests import entropy_reference as reference

SPECIFICATION = Path(__file__).parents[1] / "docs" / "entropy-coding.md"


def gaussian(count: int, bits: int, zeros: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(bits)
    weight = rng.standard_normal(count)
    symbols = np.searchsorted(np.linspace(-3, 3, 2**bits - 2), weight).astype(np.uint8) + 1
    symbols[np.abs(weight) < zeros] = 0
    return symbols


def geometric(count: int, p: float) -> np.ndarray:
    return np.minimum(np.random.default_rng(0).geometric(p, count), 255).astype(np.uint8)


def rare(count: int, often: int) -> np.ndarray:
    symbols = np.full(count, 9, np.uint8)
    symbols[np.random.default_rng(0).integers(0, count, often)] = 200
    return symbols


def scaled_matrix(rows: int, columns: int, bits: int) -> np.ndarray:
    """Gaussian, with a scale a row and a column."""
    rng = np.random.default_rng(1)
    weight = rng.standard_normal((rows, columns))
    weight *= np.exp(0.7 * rng.standard_normal((rows, 1)) + 0.7 * rng.standard_normal(columns))
    return np.searchsorted(np.linspace(-3, 3, 2**bits - 1), weight).astype(np.uint8)


STREAMS = {
    "empty": np.zeros(0, np.uint8),
    "one symbol": np.array([255], np.uint8),
    "constant": np.full(5000, 7, np.uint8),
    "two symbols in turn": np.tile(np.array([5, 6], np.uint8), 3),
    "uniform 256": np.random.default_rng(0).integers(0, 256, 8000).astype(np.uint8),
    "uniform 5": np.random.default_rng(0).integers(60, 65, 8000).astype(np.uint8),
    "each symbol once": np.arange(256, dtype=np.uint8),
    "geometric": geometric(15_000, 0.3),
    "flat geometric": geometric(15_000, 0.03),
    "one in a million": rare(1_000_000, 1),
    "one in 5000": rare(50_000, 10),
    "8 bits": gaussian(15_000, 8),
    "4 bits, zeros": gaussian(15_000, 4, 0.4),
    "3 bits, zeros": gaussian(20_000, 3, 0.4),
    "2 bits, mostly zeros": gaussian(20_000, 2, 1.5),
    "grid": scaled_matrix(64, 160, 4),
    "grid of three dimensions": scaled_matrix(64, 180, 3).reshape(64, 60, 3),
    "column": geometric(3000, 0.4).reshape(-1, 1),
    "no columns": np.zeros((5, 0), np.uint8),
}
each_stream = pytest.mark.parametrize("symbols", STREAMS.values(), ids=STREAMS.keys())


def entropy_bytes(symbols: np.ndarray) -> float:
    counts = np.unique(symbols, return_counts=True)[1]
    return float(-(counts * np.log2(counts / counts.sum())).sum() / 8)


@each_stream
def test_every_stream_comes_back(symbols):
    decoded = decode(encode(symbols), symbols.size)
    assert decoded.dtype == np.uint8
    assert np.array_equal(decoded, symbols.reshape(-1))


@each_stream
def test_the_specification_decodes_every_stream(symbols):
    symbols = symbols[:20_000] if symbols.ndim == 1 else symbols
    assert reference.decode(encode(symbols), symbols.size) == symbols.reshape(-1).tolist()


@given(
    hnp.arrays(
        np.uint8,
        hnp.array_shapes(max_dims=3, max_side=16),
        elements=st.sampled_from([0, 1, 1, 1, 1, 1, 2, 3, 17, 255]),
    )
)
def test_any_small_array_comes_back_and_reads_as_specified(symbols):
    data = encode(symbols)
    assert np.array_equal(decode(data, symbols.size), symbols.reshape(-1))
    assert reference.decode(data, symbols.size) == symbols.reshape(-1).tolist()
    width = (int(symbols.max()) - int(symbols.min())).bit_length()
    assert len(data) <= 2 + math.ceil(symbols.size * width / 8)


@st.composite
def tables(draw):
    """k, p, codes and the symbols that they have."""
    p = draw(st.integers(0, 7))
    code = st.one_of(st.just(0), st.just(1), st.integers(2, 1 + 24 * 2**p))
    codes = [*draw(st.lists(code, max_size=40)), 1]
    codes.insert(draw(st.integers(0, len(codes) - 1)), draw(st.integers(2, 1 + 24 * 2**p)))
    present = [s for s, c in enumerate(codes) if c]
    return draw(st.sampled_from(reference.LOG2_TOTALS)), p, codes, present


@given(tables(), st.integers(0, 7), st.integers(1, 9), st.randoms(use_true_random=False))
def test_what_the_specification_encodes_is_decoded(table, g, number, random):
    k, p, codes, present = table
    symbols = random.choices(present, k=random.randint(number, 300))
    data = reference.encode_coded(symbols, k, p, codes, number, g)
    assert decode(data, len(symbols)).tolist() == symbols


@pytest.mark.parametrize("name", [n for n, s in STREAMS.items() if entropy_bytes(s) > 2500])
def test_a_stream_is_within_one_percent_of_its_entropy(name):
    symbols = STREAMS[name]
    data = encode(symbols)
    tables_only = entropy.table_bytes(data, symbols.size)
    assert len(data) - tables_only <= 1.01 * entropy_bytes(symbols)


@settings(max_examples=25)
@given(st.integers(2, 256), st.floats(0, 0.6), st.integers(0, 2**32 - 1))
def test_any_distribution_costs_at_most_one_percent_and_a_little(alphabet, slope, seed):
    rng = np.random.default_rng(seed)
    chance = np.exp(-slope * np.arange(alphabet)) * rng.uniform(0.2, 1, alphabet)
    symbols = rng.choice(alphabet, 20_000, p=chance / chance.sum()).astype(np.uint8)
    data = encode(symbols)
    fixed = 20 + 5 * -(-symbols.size // entropy.BLOCK_SYMBOLS)
    size = len(data) - entropy.table_bytes(data, symbols.size)
    assert size <= 1.01 * entropy_bytes(symbols) + fixed


def test_what_hardly_varies_costs_hardly_anything():
    assert len(encode(STREAMS["empty"])) == 0
    assert encode(STREAMS["constant"]) == bytes([0, 7])
    blocks_needed = 1_000_000 / entropy.BLOCK_SYMBOLS
    assert len(encode(STREAMS["one in a million"])) < 40 + 10 * blocks_needed


def test_rows_and_columns_of_unlike_scale_beat_the_entropy_of_order_0():
    symbols = scaled_matrix(300, 200, 4)
    data = encode(symbols)
    assert data[0] == 32
    assert len(data) < 0.97 * entropy_bytes(symbols)
    assert len(data) < 0.97 * len(encode(symbols.reshape(-1)))


def test_rows_and_columns_alike_are_no_grid():
    assert encode(gaussian(40_000, 4).reshape(200, 200))[0] == 16


def test_table_bytes_are_those_that_the_specification_reads():
    data = encode(STREAMS["8 bits"])
    size = reference.read_table(data[1:])[1]
    assert entropy.table_bytes(data, 15_000) == size < 160
    assert entropy.table_bytes(bytes([0, 7]), 5000) == 0


def test_bytes_depend_on_no_company_and_on_no_size_of_groups(monkeypatch):
    arrays = list(STREAMS.values())
    alone = [encode(array) for array in arrays]
    assert encode_all(arrays) == alone
    monkeypatch.setattr(blocks, "LANES", 3)
    monkeypatch.setattr(blocks, "TABLE_ENTRIES", 5000)
    monkeypatch.setattr(blocks, "TILE_BYTES", 1000)
    small = arrays[-8:]
    assert encode_all(small) == alone[-8:]
    decoded = decode_all([(d, a.size) for d, a in zip(alone[-8:], small, strict=True)])
    assert all(np.array_equal(d, a.reshape(-1)) for d, a in zip(decoded, small, strict=True))


def test_bytes_do_not_depend_on_threads():
    arrays = [array for array in STREAMS.values() if array.size < 50_000]
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(encode, arrays)) == [encode(array) for array in arrays]


def test_bytes_are_those_of_yesterday():
    numbers = (np.arange(60_000, dtype=np.uint64) * np.uint64(2654435761) >> np.uint64(7)) % 997
    symbols = (np.minimum(numbers, 996 - numbers) ** 2 >> np.uint64(11)).astype(np.uint8)
    row = np.arange(200, dtype=np.uint8)[:, None] // 50
    data = encode(symbols.reshape(200, 300) >> row)
    assert data[0] == 32
    assert hashlib.sha256(data).hexdigest()[:16] == "5c4c22ca688cc4b6"


def test_the_example_of_the_specification_is_true():
    symbols = np.zeros(60, np.uint8)
    symbols[[7, 19, 23, 31, 44, 50, 58]], symbols[[28, 53]] = 1, 3
    data = encode(symbols)
    text = SPECIFICATION.read_text()
    assert data.hex(" ") in text
    assert reference.read_table(data[1:])[0] == reference.Table(10, [0, 884, 995, 995, 1024])
    assert f"`{encode(STREAMS['two symbols in turn']).hex(' ')}`" in text


@given(hnp.arrays(np.int64, st.integers(2, 256), elements=st.sampled_from([0, 1, 3, 500, 10**6])))
def test_frequencies_are_whole_positive_and_come_back(counts):
    counts[[0, -1]] += 1
    table = fit(counts)
    frequencies = np.diff(table.starts)
    assert table.starts[-1] == 1 << table.log2_total
    assert ((frequencies > 0) == (counts > 0)).all()
    data = table.pack()
    read, used = unpack(data + b"\xff\xff")
    assert used == len(data)
    assert np.array_equal(read.starts, table.starts)
    assert reference.read_table(data)[0].start == table.starts.tolist()


@given(st.integers(1, 2**53 - 1))
def test_whole_logarithms_are_close(number):
    length = int(code_length.log2(np.array(number))) / code_length.UNIT
    assert math.log2(number) - 1e-4 < length <= math.log2(number) + 1e-9


def test_only_bytes_are_symbols():
    with pytest.raises(ArtifactError, match="expected symbols in uint8, got int64"):
        encode(np.zeros(3, np.int64))


@each_stream
def test_no_truncated_or_longer_stream_is_taken(symbols):
    data = encode(symbols)
    count = symbols.size
    for size in {*range(min(len(data), 20)), *range(max(0, len(data) - 5), len(data))}:
        with pytest.raises(ArtifactError, match=r"expected|truncated|damaged"):
            decode(data[:size], count)
    for more in (b"\0", b"\0\0", b"\xff\xff"):
        with pytest.raises(ArtifactError, match="expected"):
            decode(data + more, count)


@pytest.mark.parametrize("name", ["grid", "3 bits, zeros", "uniform 5", "two symbols in turn"])
def test_flipped_bytes_are_refused_or_decode_to_as_many_symbols(name):
    symbols, rng = STREAMS[name], np.random.default_rng(0)
    symbols = symbols if name == "grid" else symbols[:900]
    data, refused = encode(symbols), 0
    for _ in range(60):
        damaged = bytearray(data)
        place = int(rng.integers(min(len(data), 200) if rng.random() < 0.7 else len(data)))
        damaged[place] ^= 1 << int(rng.integers(8))
        try:
            assert len(decode(bytes(damaged), symbols.size)) == symbols.size
        except ArtifactError:
            refused += 1
    assert refused > 6


@given(st.sampled_from([b"", b"\x10", b"\x20", b"\x20\x0a\x0a\x11"]), st.binary(max_size=80))
def test_random_bytes_are_refused_or_decode_to_as_many_symbols(head, tail):
    try:
        symbols = decode(head + tail, 100)
    except ArtifactError:
        return
    assert symbols.shape == (100,)


HOSTILE = {
    "a stream of a known kind": bytes([9, 0]),
    "symbols up to 255": bytes([1, 255, 1 << 7]) + bytes(12),
    "the rest zero bits": bytes([1, 0]) + bytes(12) + b"\x01",
    "expected a frequency table": bytes([16, 3, 3, 0, 0]),
    "two symbols": bytes([16]) + reference.write_table(10, 0, [0, 3]),
    "codes below 26": bytes([16]) + reference.write_table(10, 0, [1, 26]),
    "blocks of 1 to 32768": bytes([16]) + reference.write_table(10, 0, [1, 2]) + b"\x00",
    "two words or more": bytes([16]) + reference.write_table(10, 0, [1, 2]) + b"\x01\0\0",
    "at most 5 bytes": bytes([32]) + b"\xff" * 9,
    "a grid of 100 symbols": bytes([32, 10, 11, 0]),
    "lines in all of 2 classes": bytes([32, 10, 10, 16, 0, 0, 1, 0]),
    "end in state 65536": bytes([16]) + reference.write_table(10, 0, [1, 2]) + b"\x01\0\0\0\0",
}


@pytest.mark.parametrize(("message", "data"), HOSTILE.items(), ids=HOSTILE.keys())
def test_what_breaks_the_specification_is_named(message, data):
    with pytest.raises(ArtifactError, match=message):
        decode(data, 100)


@pytest.mark.parametrize("count", [-1, 2**31 + 1, 10**30])
def test_no_impossible_number_of_symbols_is_tried(count):
    with pytest.raises(ArtifactError, match="expected a stream of 0 to 2147483648 symbols"):
        decode(bytes([0, 7]), count)


@pytest.mark.parametrize(
    "data",
    [
        bytes([1, 0]) + bytes(40),
        bytes([16]) + reference.write_table(14, 0, [1, 2]) + b"\x01" + bytes(8),
        bytes([32, 128, 128, 128, 64, 1, 0]),
        bytes([32, 128, 128, 64, 128, 8, 0x11]),
    ],
)
def test_a_short_stream_that_claims_much_costs_little(data):
    tracemalloc.start()
    with pytest.raises(ArtifactError, match="expected"):
        decode(data, 2**27)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


def test_decoding_holds_little_beside_symbols_and_stream():
    symbols = np.tile(gaussian(1 << 18, 4, 0.4), 16)
    data = encode(symbols)
    tracemalloc.start()
    decode(data, symbols.size)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < symbols.size + 4 * len(data) + 2**23
