"""`weights.bin`: every weight of an ONNX package, each stored once whichever graphs use it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import numpy as np
from onnx import TensorProto, helper

from litecompress.encoding import Array
from litecompress.export.onnx_writer import PREFIX

ALIGN_BYTES = 64

_Key = tuple[str, tuple[int, ...], bytes]


class WeightsFile:
    """What is written where, at once; equal arrays are one."""

    def __init__(self, path: Path) -> None:
        self.names: set[str] = set()
        self._file, self._name = path.open("wb"), path.name
        self._offsets: dict[_Key, int] = {}

    def __enter__(self) -> WeightsFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    def take(self, arrays: Mapping[str, Array]) -> list[TensorProto]:
        """The initializers of a graph's weights; what is empty stays in the graph."""
        self.names.update(name.removeprefix(PREFIX) for name in arrays)
        return [self._placed(name, array) for name, array in arrays.items()]

    def _placed(self, name: str, array: Array) -> TensorProto:
        tensor = TensorProto(
            name=name, dims=array.shape, data_type=helper.np_dtype_to_tensor_dtype(array.dtype)
        )
        if not array.size:
            tensor.raw_data = b""
            return tensor
        tensor.data_location = TensorProto.EXTERNAL
        entries = {
            "location": self._name,
            "offset": self._offset(np.ascontiguousarray(array)),
            "length": array.nbytes,
        }
        for key, value in entries.items():
            tensor.external_data.add(key=key, value=str(value))
        return tensor

    def _offset(self, array: Array) -> int:
        """Where an array lies, written there if none like it was before."""
        key = array.dtype.str, array.shape, hashlib.sha256(array.data).digest()
        if key not in self._offsets:
            self._file.write(bytes(-self._file.tell() % ALIGN_BYTES))
            self._offsets[key] = self._file.tell()
            self._file.write(array.data)
        return self._offsets[key]
