"""A pickle read as data: an interpreter of its opcodes that imports nothing and calls nothing.

Python's own unpickler looks names up and calls what it finds. Here a name stays a `Global`, and a
call of it an inert `Record`, but for the few calls that build containers and tensors. Time and
memory are bounded by the size of the pickle.
"""

from __future__ import annotations

import pickletools
import struct
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import IO, Any

from litecompress.errors import CheckpointError
from litecompress.fairseq.tensors import Storage, Tensor

OPERATIONS_LIMIT = 2_000_000
NAME_LIMIT_CHARS = 500
_HASHED_INT = 2**32  # greater ones may be chosen to collide in a dictionary
_SCALARS = {  # opcodes that push their own argument, a number or text
    o.name
    for o in pickletools.opcodes
    if o.arg and not o.stack_before and o.stack_after not in ([], [pickletools.anyobject])
}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_REBUILT_PARAMETERS = {
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_parameter_with_state",
    "torch.nn.parameter.Parameter",
}


@dataclass(frozen=True, eq=False)
class Global:
    """A name that the pickle wants looked up; it is not."""

    name: str


@dataclass(eq=False)
class Record:
    """What a pickle says of an object whose class stays unknown; equal to nothing but itself."""

    kind: str
    arguments: tuple[Any, ...] = ()
    state: Any = None

    def __repr__(self) -> str:
        return f"<record of {self.kind}>"


def read_pickle(stream: IO[bytes]) -> tuple[Any, dict[str, Storage]]:
    """The object of one pickle and its storages by key; the stream is left behind the pickle.

    Containers are `dict`, `list` and `tuple`, tensors are `Tensor`, the rest are scalars, `Global`
    and `Record`. Anything but a whole pickle of known opcodes is a CheckpointError.
    """
    machine = _Machine()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd escapes in text
            return machine.run(stream), machine.storages
    except CheckpointError:
        raise
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, struct.error) as error:
        reason = type(error).__name__ + (f": {error}" if isinstance(error, ValueError) else "")
        raise CheckpointError(
            f"expected a whole pickle, got damaged content ({reason[:200]}); fetch it again"
        ) from error


@dataclass
class _Machine:
    """The stack, the marks on it, the memo, and the storages that were named."""

    stack: list[Any] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)
    storages: dict[str, Storage] = field(default_factory=dict)
    operations: int = 0

    def run(self, stream: IO[bytes]) -> Any:
        for opcode, argument, _ in pickletools.genops(stream):
            self.spend(1)
            if opcode.name == "STOP":
                break
            self.execute(opcode.name, argument)
        return self.stack.pop()

    def spend(self, operations: int) -> None:
        """Count work; too much of it is a CheckpointError."""
        self.operations += operations
        if self.operations > OPERATIONS_LIMIT:
            raise CheckpointError(
                f"expected a pickle of at most {OPERATIONS_LIMIT} operations, got more"
            )

    def execute(self, name: str, argument: Any) -> None:
        """One opcode."""
        if name in _SCALARS:
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _TUPLES:
            self.stack.append(tuple(self.take(_TUPLES[name])))
        elif name in ("PROTO", "FRAME"):
            pass
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            self.memo[argument] = self.stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            self.stack.append(self.memo[argument])
        else:
            handler: Callable[[Any], None] | None = getattr(self, f"op_{name.lower()}", None)
            if handler is None:
                raise CheckpointError(f"expected a pickle of plain data, got the opcode {name}")
            handler(argument)

    def take(self, count: int) -> list[Any]:
        """The topmost `count` values, none of them below the last mark."""
        start = len(self.stack) - count
        if start < (self.marks[-1] if self.marks else 0):
            raise ValueError("a value is missing on the stack")
        taken = self.stack[start:]
        del self.stack[start:]
        return taken

    def take_to_mark(self) -> list[Any]:
        """The values above the last mark."""
        return self.take(len(self.stack) - self.marks.pop())

    def op_mark(self, _: Any) -> None:
        self.marks.append(len(self.stack))

    def op_pop(self, _: Any) -> None:
        if self.marks and self.marks[-1] == len(self.stack):
            self.marks.pop()
        else:
            self.take(1)

    def op_pop_mark(self, _: Any) -> None:
        self.take_to_mark()

    def op_dup(self, _: Any) -> None:
        self.stack.append(self.stack[-1])

    def op_memoize(self, _: Any) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def op_empty_list(self, _: Any) -> None:
        self.stack.append([])

    op_empty_set = op_empty_list  # nothing that a checkpoint needs is a set

    def op_empty_dict(self, _: Any) -> None:
        self.stack.append({})

    def op_list(self, _: Any) -> None:
        self.stack.append(self.take_to_mark())

    op_frozenset = op_list

    def op_tuple(self, _: Any) -> None:
        self.stack.append(tuple(self.take_to_mark()))

    def op_dict(self, _: Any) -> None:
        self.stack.append(_paired(self.take_to_mark()))

    def op_append(self, _: Any) -> None:
        self.extend(self.take(1))

    def op_appends(self, _: Any) -> None:
        self.extend(self.take_to_mark())

    op_additems = op_appends

    def extend(self, values: list[Any]) -> None:
        _expect(self.stack[-1], list).extend(values)

    def op_setitem(self, _: Any) -> None:
        self.update(self.take(2))

    def op_setitems(self, _: Any) -> None:
        self.update(self.take_to_mark())

    def update(self, values: list[Any]) -> None:
        _expect(self.stack[-1], dict).update(_paired(values))

    def op_global(self, argument: str) -> None:
        self.stack.append(_global(*argument.split(" ", 1)))

    def op_stack_global(self, _: Any) -> None:
        module, name = self.take(2)
        self.stack.append(_global(_expect(module, str), _expect(name, str)))

    def op_reduce(self, _: Any) -> None:
        function, arguments = self.take(2)
        self.call(function, _expect(arguments, tuple))

    op_newobj = op_reduce

    def op_newobj_ex(self, _: Any) -> None:
        function, *arguments = self.take(3)
        self.stack.append(Record(_expect(function, Global).name, tuple(arguments)))

    def op_inst(self, argument: str) -> None:
        values = tuple(self.take_to_mark())
        self.stack.append(Record(_global(*argument.split(" ", 1)).name, values))

    def op_obj(self, _: Any) -> None:
        function, *arguments = self.take_to_mark()
        self.call(function, tuple(arguments))

    def call(self, function: Any, arguments: tuple[Any, ...]) -> None:
        name = _expect(function, Global).name
        if name == "collections.OrderedDict":
            pairs = _expect(arguments[0], list) if arguments else []
            self.spend(len(pairs))  # which may be one list again and again
            self.stack.append(_paired(value for pair in pairs for value in _pair(pair)))
        else:
            self.stack.append(_called(name, arguments))

    def op_build(self, _: Any) -> None:
        (state,) = self.take(1)
        if isinstance(self.stack[-1], Record):
            self.stack[-1].state = state
        elif not isinstance(self.stack[-1], dict):  # of a dictionary: attributes, not content
            raise CheckpointError(
                f"expected the state of an object, got one for a {type(self.stack[-1]).__name__}"
            )

    def op_binpersid(self, _: Any) -> None:
        (identity,) = self.take(1)
        persistent = _persistent(_expect(identity, tuple))
        if isinstance(persistent, Storage):
            self.storages[persistent.key] = persistent
        self.stack.append(persistent)


def _global(module: str, name: str) -> Global:
    if len(module) + len(name) > NAME_LIMIT_CHARS:
        raise CheckpointError("expected the name of a class in the pickle, got one without end")
    return Global(f"{module}.{name}")


def _called(name: str, arguments: tuple[Any, ...]) -> Any:
    """What calling a global with these arguments stands for."""
    if name in ("torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2"):
        return Tensor(*arguments[:4])
    if name in _REBUILT_PARAMETERS and arguments and isinstance(arguments[0], Tensor):
        return arguments[0]
    if name == "torch.Size" and len(arguments) == 1 and isinstance(arguments[0], tuple):
        return arguments[0]
    return Record(name, arguments)


def _persistent(identity: tuple[Any, ...]) -> Storage | Record:
    """A storage: ("storage", type, key, device, count), and a view of it in the older form."""
    if len(identity) in (5, 6) and isinstance(identity[0], str) and identity[0] == "storage":
        _, kind, key, _, count, *view = identity
        return Storage(_expect(kind, Global).name, key, count, view[0] if view else None)
    return Record("persistent id", identity)


def _paired(values: Iterable[Any]) -> dict[Any, Any]:
    """Alternating keys and values as a dictionary.

    A key whose hash may take time without bound becomes a record.
    """
    values = list(values)
    if len(values) % 2:
        raise ValueError("a key has no value")
    return {_key(key): value for key, value in zip(values[::2], values[1::2], strict=True)}


def _key(key: Any) -> Any:
    plain = key is None or isinstance(key, (str, bool))
    if plain or (isinstance(key, int) and abs(key) < _HASHED_INT):
        return key
    return Record("key", (key,))


def _pair(value: Any) -> Any:
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise ValueError("a pair of key and value is none")
    return value


def _expect(value: Any, kind: type[Any]) -> Any:
    """The value, if it is of this type."""
    if type(value) is not kind:
        raise CheckpointError(
            f"expected a {kind.__name__} in the pickle, got a {type(value).__name__}"
        )
    return value
