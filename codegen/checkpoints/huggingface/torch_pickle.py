"""Reads the list of tensors in the pickle of a torch.save file, without importing or calling anything that it names.

A pickle is a program for a stack machine. The standard library's pickletools only splits it into operations. The
machine here knows only the operations that torch.save writes (protocol 2) and a few names, and gives each one harmless
meaning, as weights_only of torch.load does. Anything else is refused by name.
"""

from __future__ import annotations

import pickletools
import warnings
from dataclasses import dataclass
from typing import Any

from tinyllm.text import shown

DTYPES = {
    "FloatStorage": "F32",
    "HalfStorage": "F16",
    "BFloat16Storage": "BF16",
    "DoubleStorage": "F64",
    "LongStorage": "I64",
    "IntStorage": "I32",
    "ShortStorage": "I16",
    "CharStorage": "I8",
    "ByteStorage": "U8",
    "BoolStorage": "BOOL",
}
"""Storage classes of the module torch, and safetensors' name for the dtype of their elements."""

ORDERED_DICT = "collections OrderedDict"
REBUILD_TENSOR = "torch._utils _rebuild_tensor_v2"
REBUILD_PARAMETER = "torch._utils _rebuild_parameter"
NAMES = {ORDERED_DICT, REBUILD_TENSOR, REBUILD_PARAMETER, *(f"torch {storage}" for storage in DTYPES)}

MAX_AXES = 8


class PickleError(ValueError):
    """The pickle is damaged, or holds more than tensors; the message says what."""


@dataclass(frozen=True)
class Storage:
    """The entry NAME/data/`key` of the archive: `n_values` elements of `dtype`."""

    key: str
    dtype: str
    n_values: int


@dataclass(frozen=True)
class View:
    """A tensor: the part of a storage from element `offset` on. Strides are in elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True)
class Name:
    """A class or function that the pickle names, as "module name"."""

    text: str


class Mark:
    """Where a run of items begins on the stack."""


MARK = Mark()
CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
LITERALS = {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE"}
SHORT_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def tensors_in_pickle(data: bytes) -> dict[str, View]:
    """The tensors of a pickled mapping from names to tensors. Raises PickleError for any other content."""
    try:
        with warnings.catch_warnings():
            # pickletools decodes backslashes in names, and warns if one begins no valid escape.
            warnings.simplefilter("ignore")
            found = _Machine().run(data)
    except PickleError:
        raise
    except (ValueError, IndexError, OverflowError) as error:
        raise PickleError(f"its pickle is damaged ({str(error)[:100]})") from error
    if not isinstance(found, dict):
        raise PickleError(f"it holds a {type(found).__name__}, expected a mapping from names to tensors")
    for name, value in found.items():
        if not isinstance(value, View):
            raise PickleError(f"its entry {shown(name)} is a {type(value).__name__}, expected nothing but tensors")
    return found


class _Machine:
    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, data: bytes) -> Any:
        for operation, argument, _ in pickletools.genops(data):
            if operation.name == "STOP":
                return self.stack.pop()
            self._step(operation.name, argument)
        raise PickleError("its pickle has no end")

    def _step(self, name: str, argument: Any) -> None:
        stack = self.stack
        if name == "PROTO":
            if argument != 2:
                raise PickleError(f"its pickle has protocol {argument}, expected 2")
        elif name in CONSTANTS:
            stack.append(CONSTANTS[name])
        elif name in LITERALS:
            stack.append(argument)
        elif name == "EMPTY_DICT":
            stack.append({})
        elif name == "EMPTY_LIST":
            stack.append([])
        elif name == "MARK":
            stack.append(MARK)
        elif name == "TUPLE":
            stack.append(tuple(self._pop_to_mark()))
        elif name in SHORT_TUPLES:
            items = [stack.pop() for _ in range(SHORT_TUPLES[name])]
            stack.append(tuple(reversed(items)))
        elif name == "APPEND":
            self._extend([stack.pop()])
        elif name == "APPENDS":
            self._extend(self._pop_to_mark())
        elif name == "SETITEM":
            value, key = stack.pop(), stack.pop()
            self._set([key, value])
        elif name == "SETITEMS":
            self._set(self._pop_to_mark())
        elif name in ("BINPUT", "LONG_BINPUT"):
            self.memo[argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            if argument not in self.memo:
                raise PickleError("its pickle is damaged (it recalls what it never stored)")
            stack.append(self.memo[argument])
        elif name == "GLOBAL":
            if argument not in NAMES:
                raise PickleError(f"it asks for {shown(argument)}, which no plain tensor needs")
            stack.append(Name(argument))
        elif name == "BINPERSID":
            stack.append(_storage(stack.pop()))
        elif name == "REDUCE":
            arguments, function = stack.pop(), stack.pop()
            stack.append(_reduce(function, arguments))
        elif name == "BUILD":
            # The attributes of a state dict are the versions of its modules, which are not needed here.
            stack.pop()
            if not isinstance(stack[-1], dict):
                raise PickleError("its pickle sets attributes of something else than a mapping")
        else:
            raise PickleError(f"its pickle has the operation {name}, which torch.save does not write")

    def _pop_to_mark(self) -> list[Any]:
        items = []
        while (item := self.stack.pop()) is not MARK:
            items.append(item)
        return items[::-1]

    def _extend(self, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            raise PickleError("its pickle is damaged (it appends to no list)")
        self.stack[-1].extend(items)

    def _set(self, items: list[Any]) -> None:
        found = self.stack[-1]
        if not isinstance(found, dict) or len(items) % 2:
            raise PickleError("its pickle is damaged (it sets items of no mapping)")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, str):
                raise PickleError(f"it holds a mapping with a key of type {type(key).__name__}, expected names")
            found[key] = value


def _storage(identity: Any) -> Storage:
    """The storage of torch's persistent id: ("storage", class, key, device, number of elements)."""
    if not isinstance(identity, tuple) or len(identity) != 5 or identity[0] != "storage":
        raise PickleError("its pickle is damaged (a storage is not described as torch.save does)")
    _, kind, key, _, count = identity
    dtype = DTYPES.get(kind.text.removeprefix("torch ")) if isinstance(kind, Name) else None
    if dtype is None or not isinstance(key, str) or not _is_count(count):
        raise PickleError("its pickle is damaged (a storage is not described as torch.save does)")
    return Storage(key, dtype, count)


def _reduce(function: Any, arguments: Any) -> Any:
    called = function.text if isinstance(function, Name) else None
    if called == ORDERED_DICT and arguments == ():
        return {}
    if called == REBUILD_PARAMETER and isinstance(arguments, tuple) and arguments and isinstance(arguments[0], View):
        return arguments[0]
    if called == REBUILD_TENSOR and isinstance(arguments, tuple) and len(arguments) >= 4:
        storage, offset, shape, strides = arguments[:4]
        sound = isinstance(storage, Storage) and _is_count(offset) and _are_counts(shape) and _are_counts(strides)
        if sound and len(shape) == len(strides):
            return View(storage, offset, shape, strides)
    raise PickleError("its pickle is damaged (a tensor is not described as torch.save does)")


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 63


def _are_counts(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) <= MAX_AXES and all(_is_count(number) for number in value)
