"""`weights.bin`: every weight of an ONNX package, each stored once whichever graphs use it."""

from __future__ import annotations

from pathlib import Path

import onnx_ir as ir

from litecompress.export.onnx_writer import PREFIX

ALIGN_BYTES = 64

_Key = tuple[str, tuple[int, ...], bytes]


class WeightsFile:
    """What is written where; equal arrays are one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.data = bytearray()
        self.names: set[str] = set()
        self._offsets: dict[_Key, int] = {}

    def take(self, model: ir.Model) -> None:
        """Move the weights of a graph into the file; its own constants stay where they are."""
        for name, value in model.graph.initializers.items():
            if not name.startswith(PREFIX):
                continue
            self.names.add(name.removeprefix(PREFIX))
            tensor = value.const_value
            assert tensor is not None
            content = tensor.tobytes()
            if content:
                value.const_value = self._placed(tensor, content)

    def write(self) -> None:
        """Write the file."""
        self.path.write_bytes(self.data)

    def _placed(self, tensor: ir.TensorProtocol, content: bytes) -> ir.ExternalTensor:
        shape = tuple(tensor.shape.numpy())
        key = (str(tensor.dtype), shape, content)
        if key not in self._offsets:
            self.data.extend(bytes(-len(self.data) % ALIGN_BYTES))
            self._offsets[key] = len(self.data)
            self.data.extend(content)
        return ir.ExternalTensor(
            self.path.name,
            self._offsets[key],
            len(content),
            tensor.dtype,
            shape=tensor.shape,  # type: ignore[arg-type]
            name=tensor.name or "",
            base_dir=self.path.parent,
        )
