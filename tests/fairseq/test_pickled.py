"""Pickles of every kind are read as data; hostile ones run nothing and end in one error."""

from __future__ import annotations

import argparse
import os
import pickle
import random
import struct
import time
from collections import OrderedDict
from contextlib import suppress
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from litecompress.errors import CheckpointError
from litecompress.fairseq import pickled
from litecompress.fairseq.pickled import Global, Record, read_pickle

MARKER = "hostile-pickle-ran"


@pytest.fixture(autouse=True)
def nothing_runs(monkeypatch, tmp_path):
    """A call of anything dangerous, or a file that it would leave, fails the test."""

    def ran(*arguments, **named):
        raise AssertionError(f"the pickle ran something: {arguments}")

    for name in ("system", "popen", "execv", "remove"):
        monkeypatch.setattr(os, name, ran)
    monkeypatch.chdir(tmp_path)
    yield
    assert not list(tmp_path.iterdir())


def read(data: bytes):
    return read_pickle(BytesIO(data))[0]


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
values = st.recursive(
    scalars | st.binary(),
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text() | st.integers(-(2**31), 2**31), inner)
        | st.dictionaries(st.text(), inner).map(OrderedDict)
    ),
)


@settings(max_examples=150)
@given(value=values, protocol=st.integers(3, 5))
def test_plain_values_come_back(value, protocol):
    data = pickle.dumps(value, protocol)
    assert read(data) == value
    assert read(data + b"rest") == value


def test_objects_become_records():
    found = read(pickle.dumps(argparse.Namespace(lr=[0.1], arch="x"), 2))
    assert isinstance(found, Record)
    assert found.kind == "argparse.Namespace"
    assert found.state == {"lr": [0.1], "arch": "x"}
    assert read(pickle.dumps(os.path.join, 2)).name == "posixpath.join"
    assert read(pickle.dumps({1, 2}, 4)) == [1, 2]


def test_the_stream_is_left_behind_the_pickle():
    stream = BytesIO(pickle.dumps(1) + pickle.dumps("two") + b"tail")
    assert [read_pickle(stream)[0], read_pickle(stream)[0]] == [1, "two"]
    assert stream.read() == b"tail"


CALL = f"touch {MARKER}".encode()
HARMLESS = {  # what such a pickle asks for stays a record of its wish
    "reduce": b"cos\nsystem\n(S'" + CALL + b"'\ntR.",
    "reduce by stack global": b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x05touch\x85R.",
    "builtins": b"c__builtin__\neval\n(S'1+1'\ntR.",
    "import": b"cbuiltins\n__import__\n(S'os'\ntR.",
    "dotted name": b"\x80\x04\x8c\x08builtins\x8c\x0cobject.__sub\x93.",
    "inst": b"(S'" + CALL + b"'\nios\nsystem\n.",
    "obj": b"(cos\nsystem\nS'" + CALL + b"'\no.",
    "newobj": b"\x80\x02cos\nsystem\nS'x'\n\x85\x81.",
    "newobj_ex": b"\x80\x04cos\nsystem\nS'x'\n\x85}\x92.",
    "build with a state setter": b"cx\nY\n)R}S'__setstate__'\ncos\nsystem\nsbS'touch x'\nb.",
    "build with slots": b"cx\nY\n)R(N}S'__class__'\ncos\nsystem\nstb.",
    "getattr in steps": b"c__builtin__\ngetattr\n(cos\nsystem\nS'__call__'\ntR.",
    "reconstructor": b"ccopy_reg\n_reconstructor\n(cos\nsystem\ncx\nobject\nNtR.",
    "numpy scalar": b"cnumpy.core.multiarray\nscalar\n(S'f8'\nS'\\x00'\ntR.",
    "torch tensor of nothing": b"ctorch._utils\n_rebuild_parameter\n(NI01\nNtR.",
}


@pytest.mark.parametrize("data", HARMLESS.values(), ids=HARMLESS)
def test_what_a_pickle_asks_for_stays_data(data):
    assert isinstance(read(data), (Record, Global))


REFUSED = {
    "extension": b"\x80\x02\x82\x01.",
    "extension of two bytes": b"\x80\x02\x83\x01\x00.",
    "extension of four bytes": b"\x80\x02\x84\x01\x00\x00\x00.",
    "persistent text": b"Pstorage\n.",
    "out-of-band buffer": b"\x80\x05\x97.",
    "call of a text": b"S'os.system'\n(S'x'\ntR.",
    "call of a result": b"cx\nY\n)R)R.",
    "call of a number": b"I1\n)R.",
    "call with a text": b"cos\nsystem\nS'x'\nR.",
    "global of numbers": b"\x80\x04K\x01K\x02\x93.",
    "state of a list": b"]}b.",
    "state of a number": b"K\x01}b.",
    "state of a global": b"cos\nsystem\n}S'__call__'\nNsb.",
    "append to a global": b"cos\nsystem\nNa.",
    "append to a record": b"cx\nY\n)RNa.",
    "items of a tuple": b")S'a'\nNs.",
    "pairs of an ordered dictionary": b"ccollections\nOrderedDict\n(cos\nsystem\ntR.",
    "broken pairs of one": b"ccollections\nOrderedDict\n((I1\nltR.",
    "storage of a text": b"(S'storage'\nS'FloatStorage'\nS'0'\nS'cpu'\nI4\ntQ.",
    "storage of a class": b"(S'storage'\ncos\nsystem\nS'0'\nS'cpu'\nI4\ntQ.",
    "storage of no size": b"(S'storage'\nctorch\nFloatStorage\nS'0'\nS'cpu'\nI-4\ntQ.",
    "tensor of no storage": b"ctorch._utils\n_rebuild_tensor_v2\n(NI0\n))I00\nNtR.",
    "tensor of too little": b"ctorch._utils\n_rebuild_tensor_v2\n(NtR.",
    "odd items": b"}(S'a'\nu.",
    "global of one word": b"cos\n.",
    "mark below": b"(a.",
    "pop below the mark": b"N(a.",
    "empty": b"",
    "no end": b"N",
    "nothing left": b".",
    "unknown opcode": b"\xff.",
    "memo that is not there": b"g7\n.",
    "text that is not UTF-8": b"X\x02\x00\x00\x00\xff\xfe.",
    "huge text": b"\x8d" + struct.pack("<Q", 2**62) + b"x.",
    "huge number": b"L" + b"9" * 5000 + b"L\n.",
}


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED)
def test_what_is_no_plain_data_is_one_error(data):
    with pytest.raises(CheckpointError, match=r"^expected .*got"):
        read(data)


def test_a_memo_of_huge_index_takes_no_memory():
    assert read(b"Nr\xff\xff\xff\xff.") is None


def nested(depth: int) -> bytes:
    """A tuple of itself twice, `depth` times over: 2^depth leaves."""
    return b")" + b"".join(b"q\x00h\x00\x86" for _ in range(depth))


@pytest.mark.parametrize(
    "data",
    [
        nested(60) + b".",
        b"}" + nested(60) + b"Ns.",
        b"ccollections\nOrderedDict\n(](" + nested(60) + b"N\x86etR.",
        b"cx\nY\n" + nested(60) + b"R.",
        b"cos\nsystem\n" + nested(60) + b"R" + nested(60) + b"b.",
        b"\x8f(" + nested(60) + b"\x90.",
        b"(" * 400_000 + b".",
        b"]" * 400_000 + b"a" * 399_999 + b".",
        b"]("
        + b"(NNl" * 5000
        + b"eq\x00"
        + b"0ccollections\nOrderedDict\nh\x00\x85R" * 9000
        + b".",
        b"(" + b"N" * 50_000 + b"tq\x00" + b"0cx\nY\nh\x00}\x92" * 50_000 + b".",
        b"X\xff\xff\x0f\x00" + b"x" * (2**20 - 1) + b"q\x00" + b"0h\x00h\x00\x93" * 20_000 + b".",
        b"c" + b"x" * 2**20 + b"\ny\nq\x00(S'storage'\nh\x00S'0'\nS'cpu'\nI4\ntQ.",
        b"]" + b"2" * 400_000 + b"a" * 400_000 + b".",
    ],
)
def test_bombs_are_over_quickly(data):
    begun = time.process_time()
    with suppress(CheckpointError):
        read(data)
    assert time.process_time() - begun < 5


def test_keys_of_equal_hash_do_not_meet():
    """Multiples of 2^61 - 1 share a hash; as keys they would take quadratic time."""
    keys = [i * (2**61 - 1) for i in range(1, 30_000)]
    begun = time.process_time()
    assert len(read(pickle.dumps(list(keys), 4)[:-1] + b".")) == len(keys)
    body = b"".join(b"\x8a\x0a" + key.to_bytes(10, "little") + b"N" for key in keys)
    assert len(read(b"(" + body + b"d.")) == len(keys)
    assert time.process_time() - begun < 5


def test_too_many_operations(monkeypatch):
    monkeypatch.setattr(pickled, "OPERATIONS_LIMIT", 100)
    with pytest.raises(CheckpointError, match="at most 100 operations"):
        read(b"N0" * 60 + b"N.")


def test_damage_never_is_another_error():
    whole = pickle.dumps(
        {"args": argparse.Namespace(a=[1, (2.5, None)], b="x" * 50), "m": OrderedDict(c=1)}, 2
    )
    rng = random.Random(0)
    for cut in range(len(whole)):
        with pytest.raises(CheckpointError, match="expected"):
            read(whole[:cut])
    for _ in range(3000):
        damaged = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        with suppress(CheckpointError):
            read(bytes(damaged))
