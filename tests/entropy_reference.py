"""docs/entropy-coding.md read literally: a coder of one symbol at a time, in plain Python.

It shares no code with litecompress.entropy, so that each checks the other.
"""

from __future__ import annotations

from dataclasses import dataclass

LOG2_TOTALS = (10, 12, 14)


class Bits:
    """A string of bits, read from the highest of the first byte on."""

    def __init__(self, data: bytes) -> None:
        self.text = "".join(f"{byte:08b}" for byte in data)
        self.at = 0

    def take(self, size: int) -> int:
        assert self.at + size <= len(self.text)
        self.at += size
        return int(self.text[self.at - size : self.at] or "0", 2)


@dataclass
class Table:
    """k, and where each symbol starts, with 2^k at the end."""

    k: int
    start: list[int]

    @classmethod
    def of(cls, k: int, p: int, codes: list[int]) -> Table:
        weights = [0 if c < 2 else (2**p + (c - 2) % 2**p) << (c - 2) // 2**p for c in codes]
        present = [c > 0 for c in codes]
        spare = 2**k - sum(present)
        start = [
            sum(present[:s]) + sum(weights[:s]) * spare // sum(weights)
            for s in range(len(codes) + 1)
        ]
        assert start[-1] == 2**k
        return cls(k, start)

    def frequency(self, symbol: int) -> int:
        return self.start[symbol + 1] - self.start[symbol]


def read_table(data: bytes) -> tuple[Table, int]:
    bits = Bits(data[:1200])
    symbols, g, p, k = bits.take(8) + 1, bits.take(3), bits.take(3), LOG2_TOTALS[bits.take(2)]
    codes = [0]
    for _ in range(symbols):
        zeros = 0
        while bits.take(1) == 0:
            zeros += 1
        v = (1 << (zeros + g)) + bits.take(zeros + g) - 2**g
        codes.append(codes[-1] + ((v + 1) // 2 if v % 2 else -v // 2))
    return Table.of(k, p, codes[1:]), -(-bits.at // 8)


def write_table(k: int, p: int, codes: list[int], g: int = 0) -> bytes:
    text = f"{len(codes) - 1:08b}{g:03b}{p:03b}{LOG2_TOTALS.index(k):02b}"
    for before, code in zip([0, *codes], codes, strict=False):
        d = code - before
        digits = f"{(2 * d - 1 if d > 0 else -2 * d) + 2**g:b}"
        text += "0" * (len(digits) - 1 - g) + digits
    text += "0" * (-len(text) % 8)
    return bytes(int(text[i : i + 8], 2) for i in range(0, len(text), 8))


def read_number(data: bytes) -> tuple[int, bytes]:
    value = 0
    for i, byte in enumerate(data):
        value |= (byte & 127) << 7 * i
        if byte < 128:
            return value, data[i + 1 :]
    raise AssertionError("a number without an end")


def block_sizes(count: int, blocks: int) -> list[int]:
    return [count // blocks + (i < count % blocks) for i in range(blocks)]


def decode(data: bytes, count: int) -> list[int]:
    if count == 0:
        assert data == b""
        return []
    if data[0] == 32:
        return decode_grid(data[1:], count)
    if data[0] == 16:
        return decode_coded(data[1:], count)
    bits = Bits(data[2:])
    return [data[1] + bits.take(data[0]) for _ in range(count)]


def decode_coded(data: bytes, count: int) -> list[int]:
    table, used = read_table(data)
    blocks, data = read_number(data[used:])
    number = [int.from_bytes(data[i : i + 2], "little") for i in range(0, len(data), 2)]
    words = number[blocks - 1 :]
    symbols: list[int] = []
    for size, length in zip(block_sizes(count, blocks), [*number[: blocks - 1], None], strict=True):
        part, words = words[:length], words[len(words) if length is None else length :]
        symbols += decode_block(part, size, table)
    return symbols


def decode_block(words: list[int], size: int, table: Table) -> list[int]:
    x, at, symbols = words[0] << 16 | words[1], 2, []
    for _ in range(size):
        assert 2**16 <= x < 2**32
        y = x % 2**table.k
        s = next(s for s in range(len(table.start)) if table.start[s + 1] > y)
        symbols.append(s)
        x = table.frequency(s) * (x >> table.k) + y - table.start[s]
        if x < 2**16:
            x, at = x << 16 | words[at], at + 1
    assert x == 2**16
    assert at == len(words)
    return symbols


def decode_grid(data: bytes, count: int) -> list[int]:
    rows, data = read_number(data)
    columns, data = read_number(data)
    assert rows * columns == count
    classes, data, labels = (data[0] >> 4, data[0] & 15), data[1:], []
    for lines, most in zip((rows, columns), classes, strict=True):
        bits = Bits(data)
        labels.append([bits.take(most.bit_length()) for _ in range(lines)])
        data = data[-(-bits.at // 8) :]
    matrix = [[0] * columns for _ in range(rows)]
    for r in range(classes[0] + 1):
        for c in range(classes[1] + 1):
            places = [
                (i, j)
                for i in range(rows)
                for j in range(columns)
                if labels[0][i] == r and labels[1][j] == c
            ]
            length, data = read_number(data)
            cell, data = data[:length], data[length:]
            for (i, j), symbol in zip(places, decode(cell, len(places)), strict=True):
                matrix[i][j] = symbol
    assert data == b""
    return [symbol for row in matrix for symbol in row]


def encode_coded(
    symbols: list[int], k: int, p: int, codes: list[int], blocks: int, g: int = 0
) -> bytes:
    """A coded stream by any table that has the symbols, in any number of blocks below 128."""
    table, parts, at = Table.of(k, p, codes), [], 0
    for size in block_sizes(len(symbols), blocks):
        parts.append(encode_block(symbols[at : at + size], table))
        at += size
    numbers = [len(part) for part in parts[:-1]] + [word for part in parts for word in part]
    body = b"".join(number.to_bytes(2, "little") for number in numbers)
    return bytes([16]) + write_table(k, p, codes, g) + bytes([blocks]) + body


def encode_block(symbols: list[int], table: Table) -> list[int]:
    x, words = 2**16, []
    for s in reversed(symbols):
        f = table.frequency(s)
        if x >> (32 - table.k) >= f:
            words.insert(0, x % 2**16)
            x >>= 16
        x = (x // f << table.k) + table.start[s] + x % f
    return [x >> 16, x % 2**16, *words]
