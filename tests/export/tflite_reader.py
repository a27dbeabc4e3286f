"""Reads weights back from a `.tflite` file, from the schema alone."""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema

KINDS = schema.TensorType
PLAIN = {KINDS.FLOAT32: np.float32, KINDS.FLOAT16: np.float16, KINDS.INT8: np.int8}


class File:
    """A file's named constants; `places` are where their bytes lie, each place once."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.model = schema.Model.GetRootAs(content)
        self.tensors = {}  # name: every tensor of that name
        for g in range(self.model.SubgraphsLength()):
            graph = self.model.Subgraphs(g)
            for t in range(graph.TensorsLength()):
                tensor = graph.Tensors(t)
                if tensor.Buffer() and tensor.Name():
                    self.tensors.setdefault(tensor.Name().decode(), []).append((graph, tensor))

    def bytes_of(self, names) -> int:
        """Bytes of values and scales of these tensors, what they share counted once."""
        places = {}
        for name in names:
            for graph, tensor in self.tensors[name]:
                places |= dict(self._places(graph, tensor))
        return sum(places.values())

    def value(self, name) -> np.ndarray:
        """A weight in float32; the same in all graphs."""
        (graph, tensor), *others = self.tensors[name]
        found = self._value(graph, tensor)
        assert all(np.array_equal(found, self._value(*other)) for other in others)
        return found

    def kind(self, name) -> int:
        return self.tensors[name][0][1].Type()

    def data_places(self) -> list[tuple[int, int]]:
        """Begin and length of every constant's bytes."""
        found = []
        for i in range(self.model.BuffersLength()):
            buffer = self.model.Buffers(i)
            if buffer.DataLength():
                start = buffer._tab.Vector(buffer._tab.Offset(4))
                found.append((start, buffer.DataLength()))
        return found

    def _places(self, graph, tensor):
        yield ("buffer", tensor.Buffer()), self._data(tensor).nbytes
        quantization = tensor.Quantization()
        if quantization is not None and quantization.ScaleLength():
            place = quantization._tab.Vector(quantization._tab.Offset(8))
            yield ("scale", place), 4 * quantization.ScaleLength()
        blocks = self._blocks(quantization)
        if blocks is not None:
            scales = graph.Tensors(blocks.Scales())
            yield ("buffer", scales.Buffer()), self._data(scales).nbytes

    def _value(self, graph, tensor):
        shape, quantization = tensor.ShapeAsNumpy(), tensor.Quantization()
        values = self._integers(tensor, shape)
        blocks = self._blocks(quantization)
        if blocks is not None:
            scales = graph.Tensors(blocks.Scales())
            scale = self._data(scales).view(np.float16).reshape(scales.ShapeAsNumpy())
            return values * scale.astype(np.float32).repeat(blocks.BlockSize(), axis=1)
        if quantization is None or not quantization.ScaleLength():
            return values.astype(np.float32)
        assert not quantization.ZeroPointAsNumpy().any()
        return values * quantization.ScaleAsNumpy()[:, None]

    def _integers(self, tensor, shape):
        data = self._data(tensor)
        if tensor.Type() != KINDS.INT4:
            return data.view(PLAIN[tensor.Type()]).reshape(shape)
        nibbles = np.stack([data & 15, data >> 4], axis=1).ravel()[: np.prod(shape)]
        return ((nibbles.astype(np.int8) ^ 8) - 8).reshape(shape)

    def _data(self, tensor):
        return self.model.Buffers(tensor.Buffer()).DataAsNumpy()

    @staticmethod
    def _blocks(quantization):
        if quantization is None or quantization.DetailsType() != 2:
            return None
        table = quantization.Details()
        blocks = schema.BlockwiseQuantization()
        blocks.Init(table.Bytes, table.Pos)
        return blocks
