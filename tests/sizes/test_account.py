"""Every byte of an artifact and of a checkpoint is accounted for, once."""

from __future__ import annotations

import json
import struct
from collections import Counter
from math import prod

import numpy as np
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from safetensors import safe_open
from safetensors.numpy import save_file

from litecompress.artifact_file import MAGIC, dump_artifact, save_artifact, stream_table
from litecompress.checkpoint import save_checkpoint
from litecompress.cost import component
from litecompress.encoding import Affine, Bands, Dense, Palette, Sparse
from litecompress.errors import ArtifactError, CheckpointError, InputError
from litecompress.sizes.account import account
from litecompress.sizes.sheet import Part, Sheet, stored_bytes
from litecompress.sizes.values import sheet_values
from tests import models
from tests.sizes.encodings import artifacts

RELAXED = settings(max_examples=15, suppress_health_check=list(HealthCheck))


def stream_sizes(content: bytes) -> list[int]:
    """Bytes of the header and of every stream that it names, read by hand."""
    (length,) = struct.unpack_from("<I", content, len(MAGIC))
    packed = content[len(MAGIC) + 8 :][:length]
    sizes = [length]

    def collect(values: dict[str, object]) -> dict[str, object]:
        sizes.extend([values["bytes"]] if "crc32" in values else [])
        return values

    json.loads(zstandard.ZstdDecompressor().decompress(packed), object_hook=collect)
    return sizes


@RELAXED
@given(model=artifacts())
def test_the_parts_of_an_artifact_are_its_streams_and_its_prefix(model, tmp_path):
    path = tmp_path / "a.litec"
    save_artifact(model, path)
    sheet = account(path).sheet
    assert sheet.total_bytes == path.stat().st_size == stored_bytes(sheet.parts)
    framing = [part.stored_bytes for part in sheet.parts if part.role == "framing"]
    assert framing == [len(MAGIC) + 8]
    assert sheet.total_bytes - framing[0] == sum(stream_sizes(path.read_bytes()))


@RELAXED
@given(model=artifacts())
def test_each_tensor_has_its_streams(model, tmp_path):
    path = tmp_path / "a.litec"
    save_artifact(model, path)
    parts = account(path).sheet.parts
    for name, encoding in model.weights.items():
        of_tensor = {part.role: part for part in parts if part.name == name}
        assert {part.group for part in of_tensor.values()} == {component(name)}
        table = of_tensor.pop("coder_table", None)
        assert table is None or (table.stored_bytes > 0 and table.raw_bytes == 0)
        raw = Counter({role: part.raw_bytes for role, part in of_tensor.items()})
        assert raw == raw_sizes(encoding)
    names = [part.name for part in parts if part.role == "tokenizer"]
    texts = {"tokenizer.json": model.tokenizer, "target_tokenizer.json": model.target_tokenizer}
    assert sorted(names) == sorted(n for n, text in texts.items() if text is not None)


def raw_sizes(encoding) -> Counter[str]:
    """Bytes before coding by role, as docs/format.md stores an encoding."""
    count = prod(encoding.shape)
    match encoding:
        case Dense(values):
            return Counter(values=values.nbytes)
        case Affine(values, scale, zero_point):
            return Counter(values=count, scale=scale.nbytes, zero_point=zero_point.nbytes)
        case Palette(_, codebook):
            return Counter(indices=count, codebook=codebook.nbytes)
        case Sparse(_, Palette(_, codebook)) if len(codebook) < 256:
            return Counter(symbols=count, codebook=codebook.nbytes)
        case Sparse(_, values):
            return Counter(mask=count) + raw_sizes(values)
        case Bands(band, bands):
            return sum((raw_sizes(part) for part in bands), Counter(band=band.nbytes))
    raise TypeError(type(encoding))


def test_bytes_that_no_stream_names_are_refused():
    content = dump_artifact(models.artifact())
    for changed in (content + b"x", content[:-1]):
        with pytest.raises(ArtifactError, match=r"expected \d+ bytes of streams by the header"):
            stream_table(changed)


def test_a_damaged_artifact_is_one_error(tmp_path):
    content = dump_artifact(models.compressed())
    path = tmp_path / "a.litec"
    for end in (0, 12, 200, len(content) - 1):
        path.write_bytes(content[:end])
        with pytest.raises(ArtifactError, match=r"a\.litec: "):
            account(path)


def test_the_parts_of_a_checkpoint_are_its_tensors(tmp_path):
    save_checkpoint(models.checkpoint("dynamic", share_embeddings=False), tmp_path)
    (tmp_path / "README.md").write_text("about it")
    sheet = account(tmp_path).sheet
    sizes = {p.name: p.stat().st_size for p in tmp_path.iterdir() if p.name != "README.md"}
    assert dict(sheet.files) == sizes
    assert sheet.left_out == {"README.md": 8}
    with safe_open(tmp_path / "model.safetensors", "np") as file:
        expected = {n: file.get_tensor(n).nbytes for n in file.keys()}  # noqa: SIM118
    found = {p.name: p.stored_bytes for p in sheet.parts if p.role == "values"}
    assert found == expected
    assert {p.group for p in sheet.parts if p.name == "output.weight"} == {"output"}


def test_a_checkpoint_in_half_precision_counts_what_it_stores(tmp_path):
    checkpoint = models.checkpoint()
    save_checkpoint(checkpoint, tmp_path)
    halves = {n: w.astype(np.float16) for n, w in checkpoint.weights.items()}
    save_file(halves, tmp_path / "model.safetensors")
    sheet = account(tmp_path).sheet
    values = [part for part in sheet.parts if part.role == "values"]
    assert stored_bytes(values) == sum(w.nbytes for w in halves.values())


def test_what_is_no_model_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match="no such file"):
        account(tmp_path / "none")
    with pytest.raises(CheckpointError, match=r"none of config\.json"):
        account(tmp_path)
    save_artifact(models.artifact(), tmp_path / "artifact.litec")
    with pytest.raises(InputError, match=r"got a run's output; name .*artifact\.litec"):
        account(tmp_path)


def test_parts_that_do_not_add_up_are_refused():
    part = Part("w", "ffn", "values", 3, 3, "a")
    with pytest.raises(InputError, match="add up to each file, got a: 4 and 3"):
        Sheet("x", "artifact", (part,), {"a": 4})
    with pytest.raises(InputError, match="got b: 1 and 0"):
        Sheet("x", "artifact", (part,), {"a": 3, "b": 1})


@RELAXED
@given(model=artifacts())
def test_every_view_of_the_values_has_the_same_total(model, tmp_path):
    path = tmp_path / "a.litec"
    save_artifact(model, path)
    values = json.loads(json.dumps(sheet_values(account(path)), allow_nan=False))
    total = path.stat().st_size
    assert values["total_bytes"] == values["scopes"]["artifact_bytes"] == total
    assert sum(values["components"].values()) == total
    assert sum(role["stored_bytes"] for role in values["roles"].values()) == total
    assert sum(part["stored_bytes"] for part in values["parts"]) == total
    assert values["scopes"]["weights_all"] == model.nbytes(embeddings=True)
    assert values["scopes"]["weights_nonembed"] == model.nbytes(embeddings=False)
