"""Files of torch.save, new and old: the same numbers come back, damage is one error."""

from __future__ import annotations

import pickle
import random
import struct
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch

from litecompress.errors import CheckpointError
from litecompress.fairseq.container import open_stored
from litecompress.fairseq.tensors import Storage, Tensor

FORMS = pytest.mark.parametrize("legacy", [False, True], ids=["zip", "row of pickles"])


def tensors() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    base = torch.randn(6, 8)
    return {
        "float": base,
        "view": base[1:5, ::3],
        "transposed": base.t(),
        "half": torch.randn(3, 4).half(),
        "bfloat16": torch.randn(5).bfloat16(),
        "double": torch.randn(2, 2, 2).double(),
        "long": torch.arange(7),
        "int": torch.arange(3, dtype=torch.int32),
        "byte": torch.arange(4, dtype=torch.uint8),
        "bool": torch.tensor([True, False]),
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 3),
        "parameter": torch.nn.Parameter(torch.randn(2)),
    }


def save(path, content, legacy):
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path


def read(path):
    with open_stored(path) as stored:
        return {name: stored.array(tensor) for name, tensor in stored.content.items()}


@FORMS
def test_every_type_and_layout_comes_back(tmp_path, legacy):
    expected = tensors()
    found = read(save(tmp_path / "x.pt", OrderedDict(expected), legacy))
    for name, tensor in expected.items():
        theirs = tensor.detach().float().numpy()
        assert found[name].dtype == np.float32
        assert found[name].shape == theirs.shape
        np.testing.assert_array_equal(found[name], theirs, err_msg=name)


@FORMS
def test_tensors_stay_one_storage(tmp_path, legacy):
    base = torch.randn(4, 4)
    path = save(tmp_path / "x.pt", {"a": base, "b": base[1]}, legacy)
    with open_stored(path) as stored:
        assert stored.content["a"].storage == stored.content["b"].storage


def row_of_pickles(body: bytes, storages: dict[str, bytes], kinds: dict[str, int]) -> bytes:
    """The old container, by hand."""
    heads = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True, "protocol_version": 1001}]
    data = b"".join(pickle.dumps(head, 2) for head in heads) + body
    data += pickle.dumps(list(storages), 2)
    return data + b"".join(struct.pack("<q", kinds[k]) + s for k, s in storages.items())


def storage(kind=b"FloatStorage", key=b"0", count=4, view=b"") -> bytes:
    return b"(S'storage'\nctorch\n%b\nS'%b'\nS'cpu'\nI%d\n%btQ" % (kind, key, count, view)


def test_the_first_form_of_tensors_and_views_of_storages(tmp_path):
    view = b"(S'7'\nI1\nI3\nt"
    body = (
        b"\x80\x02}(S'a'\nctorch._utils\n_rebuild_tensor\n("
        + storage()
        + b"I0\n(I2\nI2\nt(I2\nI1\nttRS'b'\nctorch._utils\n_rebuild_tensor\n("
        + storage(view=view)
        + b"I1\n(I2\nt(I1\nttRu."
    )
    path = tmp_path / "old.pt"
    values = np.arange(4, dtype="<f4")
    path.write_bytes(row_of_pickles(body, {"0": values.tobytes()}, {"0": 4}))
    found = read(path)
    np.testing.assert_array_equal(found["a"], [[0, 1], [2, 3]])
    np.testing.assert_array_equal(found["b"], [2, 3])
    path.write_bytes(row_of_pickles(body, {"0": values.tobytes()}, {"0": 400}))
    with pytest.raises(
        CheckpointError, match=r"old\.pt: expected 4 numbers in storage '0', got 400"
    ):
        read(path)
    path.write_bytes(row_of_pickles(body, {"9": values.tobytes()}, {"9": 4}))
    with pytest.raises(CheckpointError, match="keys of all storages"):
        read(path)


@pytest.mark.parametrize("order", ["<", ">"])
def test_byte_order(tmp_path, order):
    path = tmp_path / "x.pt"
    body = b"\x80\x02}S'a'\nctorch._utils\n_rebuild_tensor_v2\n(%bI0\n(I4\nt(I1\ntI00\nNtRs."
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/data.pkl", body % storage())
        archive.writestr("x/byteorder", {"<": "little", ">": "big"}[order])
        archive.writestr("x/data/0", np.arange(4, dtype=order + "f4").tobytes())
    np.testing.assert_array_equal(read(path)["a"], np.arange(4))


HOSTILE_VIEWS = {
    "beyond the end": (1, (4,), (1,)),
    "long stride": (0, (2, 2), (3, 1)),
    "negative stride": (3, (4,), (-1,)),
    "negative offset": (-1, (2,), (1,)),
    "negative size": (0, (-1,), (1,)),
    "one number a thousand times": (0, (1000,), (0,)),
    "huge": (0, (2**40, 2**40), (0, 0)),
    "huge offset": (2**70, (1,), (1,)),
    "unequal ranks": (0, (2, 2), (1,)),
    "many dimensions": (0, (1,) * 40, (1,) * 40),
    "fraction": (0, (1.0,), (1,)),
    "text": (0, "ab", "cd"),
    "truth": (0, (True,), (1,)),
}


@pytest.mark.parametrize("view", HOSTILE_VIEWS.values(), ids=HOSTILE_VIEWS)
def test_views_outside_their_storage_are_refused(view):
    with pytest.raises(CheckpointError, match="lies within its storage"):
        Tensor(Storage("torch.FloatStorage", "0", 4), *view)


@pytest.mark.parametrize(
    "fields",
    [
        ("torch.ComplexStorage", "0", 4),
        ("torch.FloatStorage", 0, 4),
        ("torch.FloatStorage", "0", -1),
        ("torch.FloatStorage", "0", 4, ("1", 2, 3)),
        ("torch.FloatStorage", "0", 4, ("1", -1, 3)),
        ("torch.FloatStorage", "0", 4, "abc"),
    ],
)
def test_odd_storages_are_refused(fields):
    with pytest.raises(CheckpointError, match=r"expected the (storage|view)"):
        Storage(*fields)


def test_rows_of_a_tensor():
    values = np.arange(12, dtype=np.float32)
    tensor = Tensor(Storage("torch.FloatStorage", "0", 12), 0, (6, 2), (2, 1))
    np.testing.assert_array_equal(
        tensor.rows(2, 4).array(values.tobytes(), "<"), values.reshape(6, 2)[2:4]
    )


def rewritten(path, change, compression=zipfile.ZIP_STORED):
    """The archive with other content."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    change(entries)
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda e: e.update({"x/data/0": e["x/data/0"][:-4]}), "expected 192 bytes of storage '0'"),
        (lambda e: e.pop("x/data/0"), "no item named"),
        (lambda e: e.pop("x/data.pkl"), "expected one data.pkl in the archive, got 0"),
        (lambda e: e.update({"y/data.pkl": b""}), "expected one data.pkl in the archive, got 2"),
        (lambda e: e.update({"x/data.pkl": b""}), "expected a whole pickle"),
        (
            lambda e: e.update({"x/data.pkl": b"N" * (17 * 2**20)}),
            "data.pkl uncompressed and of at",
        ),
    ],
)
def test_archives_with_other_content(tmp_path, change, message):
    path = save(tmp_path / "x.pt", tensors(), legacy=False)
    rewritten(path, change)
    with pytest.raises(CheckpointError, match=message):
        read(path)


def test_compressed_archives_are_refused(tmp_path):
    path = save(tmp_path / "x.pt", {"a": torch.zeros(2**22)}, legacy=False)
    rewritten(path, lambda entries: None, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 2**16
    with pytest.raises(CheckpointError, match="uncompressed and of at most"):
        read(path)


@pytest.mark.parametrize(
    "data", [b"", b"P", b"PK", b"PK\x03\x04" + bytes(40), b"text of another kind\n", bytes(100)]
)
def test_other_files(tmp_path, data):
    path = tmp_path / "x.pt"
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"x\.pt: expected"):
        read(path)
    with pytest.raises(CheckpointError, match="no such file"):
        read(tmp_path / "none.pt")


@FORMS
def test_truncated_and_damaged_files_are_one_error(tmp_path, legacy):
    whole = save(tmp_path / "x.pt", {"a": torch.randn(20), "b": [1, "x"]}, legacy).read_bytes()
    path, rng = tmp_path / "damaged.pt", random.Random(0)
    messages = set()

    def outcome(data):
        path.write_bytes(data)
        try:
            with open_stored(path) as stored:
                return stored.array(stored.content["a"]).shape == (20,)
        except CheckpointError as error:
            messages.add(str(error).startswith(f"{path}: expected"))
        except (TypeError, AttributeError, KeyError):  # whole, but of another content
            assert stored.content is not None
        return None

    assert outcome(whole)
    assert not any(outcome(whole[:cut]) for cut in range(0, len(whole), 7))
    for _ in range(300):
        damaged = bytearray(whole)
        damaged[rng.randrange(len(damaged))] ^= rng.randint(1, 255)
        outcome(bytes(damaged))
    assert messages == {True}
