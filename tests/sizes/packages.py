"""Small packages, written by each target's own tools."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np

MATRIX = (64, 96)  # of the Core ML program
TOKENIZER = b'{"model": {}}'


def seal(folder: Path, target: str, roles: dict[str, str]) -> Path:
    """Add tokenizer and manifest, as an export does."""
    (folder / "tokenizer.json").write_bytes(TOKENIZER)
    (folder / "manifest.json").unlink(missing_ok=True)
    files = {
        path.relative_to(folder).as_posix(): {
            "bytes": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    manifest = {"schema_version": 1, "target": target, "options": {}, "roles": roles}
    (folder / "manifest.json").write_text(json.dumps(manifest | {"files": files}))
    return folder


def onnx_package(folder: Path, rows: int = 40) -> Path:
    """Two graphs that share one table beside them and hold what is small themselves."""
    from onnx import TensorProto, helper, numpy_helper

    def outside(name, kind, shape, offset, length):
        tensor = TensorProto(name=name, data_type=kind, dims=shape)
        tensor.data_location = TensorProto.EXTERNAL
        places = {"location": "weights.bin", "offset": offset, "length": length}
        for key, value in places.items():
            tensor.external_data.add(key=key, value=str(value))
        return tensor

    folder.mkdir(parents=True, exist_ok=True)
    name, begin = "litecompress.embedding.weight", 8 * rows + 64
    table = outside(name, TensorProto.UINT8, [8, rows], 0, 8 * rows)
    scale = outside(f"{name}.scale", TensorProto.FLOAT, [rows], begin, 4 * rows)
    codebook = numpy_helper.from_array(
        np.arange(4, dtype="f4"), "litecompress.encoder.0.ffn.fc1.weight.codebook"
    )
    codes = numpy_helper.from_array(
        np.zeros((3, 5), np.uint8), "litecompress.encoder.0.ffn.fc1.weight"
    )
    bias = numpy_helper.from_array(np.ones(6, np.float32), "model.encoder.0.attention.out.bias")
    typed = helper.make_tensor("val_7", TensorProto.FLOAT, [3], [1.0, 2.0, 3.0])
    held = {"encoder": [table, scale, codebook, codes, bias, typed], "decoder": [table, scale]}
    for role, tensors in held.items():
        graph = helper.make_graph([], role, [], [], tensors)
        (folder / f"{role}.onnx").write_bytes(helper.make_model(graph).SerializeToString())
    (folder / "weights.bin").write_bytes(bytes(begin + 4 * rows))
    roles = {r: f"{r}.onnx" for r in held} | {"weights": "weights.bin"}
    return seal(folder, "onnx", roles)


def tflite_package(folder: Path, rows: int = 40) -> Path:
    """A table that is looked up and multiplied with, a matrix of one linear layer, a constant."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    folder.mkdir(parents=True, exist_ok=True)
    builtin = schema.BuiltinOperator
    model = schema.ModelT()
    kinds = (builtin.EMBEDDING_LOOKUP, builtin.FULLY_CONNECTED, builtin.DEQUANTIZE, builtin.ADD)
    model.operatorCodes = [schema.OperatorCodeT() for _ in kinds]
    for code, kind in zip(model.operatorCodes, kinds, strict=True):
        code.deprecatedBuiltinCode = code.builtinCode = kind
    shapes = [(rows, 8), (5, 8), (5,), (8,)]
    data = [b"", *(bytes(range(1, 1 + int(np.prod(s)) % 250)) for s in shapes)]
    data[1], data[2] = bytes(rows * 8), b"\1" * 40
    model.buffers = [schema.BufferT() for _ in data]
    for buffer, content in zip(model.buffers, data, strict=True):
        buffer.data = np.frombuffer(content, np.uint8) if content else None
    model.subgraphs = [_subgraph(schema, shapes), _subgraph(schema, shapes, lookup=False)]
    model.version = 3
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    (folder / "model.tflite").write_bytes(bytes(builder.Output()))
    return seal(folder, "tflite", {"model": "model.tflite"})


def _subgraph(schema, shapes, lookup=True):
    graph = schema.SubGraphT()
    graph.tensors = []
    for number, shape in enumerate([(1,), *shapes, shapes[0]]):
        tensor = schema.TensorT()
        tensor.shape, tensor.type = list(shape), schema.TensorType.INT8
        tensor.buffer = number if number <= len(shapes) else 0
        if number == 1:
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale = np.arange(shape[0], dtype=np.float32)
            tensor.quantization.zeroPoint = np.zeros(shape[0], np.int64)
        graph.tensors.append(tensor)
    operators = [(2, [1], [5]), (1, [0, 5, -1], [0]), (1, [0, 2, 3], [0]), (3, [0, 4], [0])]
    graph.operators = []
    for code, inputs, outputs in [*operators, *[(0, [0, 1], [0])] * lookup]:
        operator = schema.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = code, inputs, outputs
        graph.operators.append(operator)
    graph.inputs = graph.outputs = [0]
    return graph


def coreml_package(folder: Path) -> Path:
    """A program with a palette, a pruned palette and a plain constant, in the exporter's forms."""
    import coremltools as ct

    from litecompress.export import coreml_weights
    from litecompress.export.coreml_forms import smallest
    from litecompress.silence import silenced
    from tests.sizes.encodings import encoding

    rng, half = np.random.default_rng(0), np.dtype(np.float16)
    forms = {"encoder_0_ffn_fc1_weight": "palette", "embedding_weight": "full_sparse_palette"}
    plain = rng.standard_normal(MATRIX).astype(half)
    mb, types = coreml_weights.mil.Builder, ct.converters.mil.mil.types

    @mb.program(
        input_specs=[mb.TensorSpec(shape=MATRIX, dtype=types.fp16)], opset_version=ct.target.iOS18
    )
    def program(x):
        for name, form in forms.items():
            weight = encoding(form, MATRIX, rng)
            stored = smallest(weight, "fp16", "iOS18")
            x = mb.add(x=x, y=coreml_weights.build(stored, name=name, before_op=None))
        return mb.add(x=x, y=mb.const(val=plain, name="model_decoder_3_ffn_norm_bias_to_fp16"))

    folder.mkdir(parents=True, exist_ok=True)
    with silenced():
        ct.convert(
            program,
            minimum_deployment_target=ct.target.iOS18,
            pass_pipeline=ct.PassPipeline.EMPTY,
        ).save(str(folder / "encoder.mlpackage"))
    return seal(folder, "coreml", {"encoder": "encoder.mlpackage"})
