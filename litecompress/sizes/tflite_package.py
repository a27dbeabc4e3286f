"""What a TFLite file holds: buffers of its constants, their scales, and the rest (schema.fbs).

Our files name no inner tensors, so a constant goes by its shape and a number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from litecompress.sizes.flatbuffer import Flatbuffer, Table
from litecompress.sizes.sheet import Part
from litecompress.sizes.spans import Span, divide

_CODES, _SUBGRAPHS, _BUFFERS = 1, 2, 4  # of a model
_TENSORS, _OPERATORS = 0, 3  # of a subgraph
_SHAPE, _BUFFER, _QUANTIZATION = 0, 2, 4  # of a tensor
_CODE, _INPUTS, _OUTPUTS = 0, 1, 2  # of an operator
_DEQUANTIZE, _LOOKUP, _LINEAR = 6, 7, 9
_GROUPS = {_LOOKUP: "embedding", _LINEAR: "linear"}  # of a constant, by what reads it
_PARAMETERS = {2: ("scale", 4), 3: ("zero_point", 8)}  # of a quantization, bytes of each


def package_parts(folder: Path, files: Mapping[str, int]) -> list[Part]:
    """The parts of every `.tflite` file."""
    return [
        part
        for file in files
        if file.endswith(".tflite")
        for part in divide(
            file, files[file], _spans((folder / file).read_bytes()), ("graph", "graph", "graph")
        )
    ]


def _spans(content: bytes) -> Iterator[Span]:
    """Data of every constant, then scales and zero points; each place may come more than once."""
    model = Flatbuffer(content).root()
    buffers = [buffer.vector(0) for buffer in model.tables(_BUFFERS)]
    codes = [_operator(code) for code in model.tables(_CODES)]
    graphs = list(model.tables(_SUBGRAPHS))
    groups = _groups(graphs, codes)
    names: dict[int, str] = {}
    seen: Counter[str] = Counter()
    for graph in graphs:
        for tensor in graph.tables(_TENSORS):
            number = tensor.number(_BUFFER)
            data = buffers[number]
            if data is None:
                continue
            if data.start not in names:
                names[data.start] = _name(tensor, seen)
            name, group = names[data.start], groups.get(number, "constants")
            yield Span(data.start, data.count, name, "values", group)
            yield from _parameters(tensor.table(_QUANTIZATION), name, group)


def _name(tensor: Table, seen: Counter[str]) -> str:
    """The shape, and which of this shape in the file it is."""
    name = "x".join(map(str, tensor.numbers(_SHAPE))) or "scalar"
    seen[name] += 1
    return f"{name} #{seen[name]}"


def _parameters(quantization: Table | None, name: str, group: str) -> Iterator[Span]:
    for field, (role, size) in _PARAMETERS.items():
        vector = quantization.vector(field) if quantization else None
        if vector is not None:
            yield Span(vector.start, size * vector.count, name, role, group)


def _operator(code: Table) -> int:
    """The operator's number in the schema, which has an old field and a new one."""
    return max(code.number(0, 1), code.number(3))


def _groups(graphs: list[Table], codes: list[int]) -> dict[int, str]:
    """What reads each buffer; a table that is looked up is the embedding's, whatever else is."""
    found: dict[int, str] = {}
    for wanted in (_LINEAR, _LOOKUP):
        for graph in graphs:
            found |= dict.fromkeys(_read_by(wanted, graph, codes), _GROUPS[wanted])
    return found


def _read_by(wanted: int, graph: Table, codes: list[int]) -> list[int]:
    """Buffers that operators of a kind read beside their input, as they are or dequantized."""
    buffers = [tensor.number(_BUFFER) for tensor in graph.tables(_TENSORS)]
    operators = [(codes[o.number(_CODE)], o) for o in graph.tables(_OPERATORS)]
    expanded = {
        o.numbers(_OUTPUTS)[0]: o.numbers(_INPUTS)[0]
        for code, o in operators
        if code == _DEQUANTIZE
    }
    read = [i for code, o in operators if code == wanted for i in o.numbers(_INPUTS)[1:] if i >= 0]
    return [buffers[expanded.get(i, i)] for i in read]
