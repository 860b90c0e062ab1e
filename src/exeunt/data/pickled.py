"""Reading CIFAR's pickles without unpickling: no code that a file names is ever looked up or run.

The opcodes are walked on a stack of plain data. Names of Python objects stay names, and the few
that the official files and numpy's arrays need are given their meaning here; any other name, and
any opcode beyond plain data, is refused.
"""

from __future__ import annotations

import pickletools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from exeunt.data.store import Store
from exeunt.errors import ExeuntError


@dataclass(frozen=True)
class Raw:
    """A byte string, or a string of Python 2, which may be either.

    Attributes:
        argument: What it holds; text stands for bytes in Latin-1.
        offset: Where the bytes stand in the file; None if they are written in another way.
    """

    argument: str | bytes | bytearray
    offset: int | None

    def __len__(self) -> int:
        return len(self.argument)

    @property
    def text(self) -> str:
        if isinstance(self.argument, str):
            return self.argument
        return self.argument.decode("latin-1")

    @property
    def content(self) -> bytes:
        if isinstance(self.argument, str):
            return self.argument.encode("latin-1")
        return bytes(self.argument)


@dataclass
class Array:
    """A numpy array of bytes in C order."""

    shape: tuple[int, ...] = ()
    raw: Raw = Raw(b"", None)


@dataclass(frozen=True)
class _Name:
    """A Python object that a file refers to."""

    full: str


class _DType:
    """That of bytes, the only one there is."""


_NAMES = {
    f"{module}.{name}": name
    for module, name in (
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
        ("numpy.core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("numpy.core.numeric", "_frombuffer"),
        ("numpy._core.numeric", "_frombuffer"),
        ("_codecs", "encode"),  # how protocol 2 of Python 3 writes bytes
    )
}
_AS_IT_IS = ("BININT", "BININT1", "BININT2", "LONG1", "BINUNICODE", "SHORT_BINUNICODE")
_RAW = ("BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8")
_CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def read_pickle(store: Store) -> dict[str, Any]:
    """The dict that a pickle of protocol 2 to 5 holds, of plain data and arrays of bytes.

    Strings of Python 2 and byte strings come as `Raw`, except that keys are always text.

    Raises:
        ExeuntError: If the file is no such pickle, is cut off, or refers to anything else.
        OSError: If it cannot be read.
    """
    try:
        found = _walk(store)
    except (ExeuntError, OSError):
        raise
    except Exception as error:  # on bad bytes the stack may hold anything, or nothing
        raise ExeuntError(
            f"{store}: not a whole pickle of plain data "
            f"({type(error).__name__}: {str(error)[:200]})"
        ) from error
    if not isinstance(found, dict):
        raise ExeuntError(f"{store}: holds a {type(found).__name__} where a dict was expected")
    return found


def _walk(store: Store) -> Any:
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[int, Any] = {}

    def since_mark() -> list[Any]:
        mark = marks.pop()
        items = stack[mark:]
        del stack[mark:]
        return items

    def last(n: int) -> list[Any]:
        if n > len(stack):
            raise ValueError("the stack is too short")
        items = stack[len(stack) - n :]
        del stack[len(stack) - n :]
        return items

    with store.open() as file:
        argument: Any
        position: Any
        for opcode, argument, position in pickletools.genops(file):
            match opcode.name:
                case "PROTO" | "FRAME":
                    pass
                case "STOP":
                    (found,) = stack
                    return found
                case "MARK":
                    marks.append(len(stack))
                case name if name in _AS_IT_IS:
                    stack.append(argument)
                case name if name in _RAW:
                    stack.append(Raw(argument, file.tell() - len(argument)))
                case name if name in _CONSTANTS:
                    stack.append(_CONSTANTS[name])
                case name if name in _TUPLES:
                    stack.append(tuple(last(_TUPLES[name])))
                case "TUPLE":
                    stack.append(tuple(since_mark()))
                case "EMPTY_LIST":
                    stack.append([])
                case "APPEND" | "APPENDS":
                    items = last(1) if opcode.name == "APPEND" else since_mark()
                    _list(stack[-1]).extend(items)
                case "EMPTY_DICT":
                    stack.append({})
                case "SETITEM" | "SETITEMS":
                    items = last(2) if opcode.name == "SETITEM" else since_mark()
                    _dict(stack[-1]).update(
                        (text(key), value)
                        for key, value in zip(items[::2], items[1::2], strict=True)
                    )
                case "BINPUT" | "LONG_BINPUT":
                    memo[argument] = stack[-1]
                case "MEMOIZE":
                    memo[len(memo)] = stack[-1]
                case "BINGET" | "LONG_BINGET":
                    stack.append(memo[argument])
                case "GLOBAL":
                    stack.append(_name(store, position, argument.replace(" ", ".")))
                case "STACK_GLOBAL":
                    stack.append(_name(store, position, ".".join(map(text, last(2)))))
                case "REDUCE":
                    called, arguments = last(2)
                    stack.append(_result(called, arguments))
                case "BUILD":
                    (state,) = last(1)
                    _build(stack[-1], state)
                case other:
                    raise ExeuntError(
                        f"{store}: {other} at byte {position} is nothing that such a file needs, "
                        "and is not executed"
                    )
    raise ValueError("it does not end")


def text(value: Any) -> str:
    """A string, of Python 2 or 3, or a byte string, as text.

    Raises:
        TypeError: If it is none.
    """
    if isinstance(value, Raw):
        return value.text
    if not isinstance(value, str):
        raise TypeError(f"a {type(value).__name__} where a string was expected")
    return value


def _name(store: Store, position: int, full: str) -> _Name:
    if full not in _NAMES:
        raise ExeuntError(
            f"{store}: refers to {full} at byte {position}, which such a file has no need of; "
            "it may be malicious, and was not executed"
        )
    return _Name(_NAMES[full])


def _result(called: Any, arguments: Sequence[Any]) -> Any:
    """What a call of one of the known names gives."""
    match called, arguments:
        case _Name("_reconstruct"), (_Name("ndarray"), (0,), _):
            return Array()
        case _Name("_frombuffer"), (Raw() as raw, _DType(), tuple() as shape, order):
            if text(order) == "C":
                return _filled(Array(), shape, raw)
        case _Name("dtype"), (kind, *_):
            if text(kind) == "u1":
                return _DType()
            raise ValueError(f"an array of {text(kind)} where one of u1 (bytes) was expected")
        case _Name("encode"), (str() as written, "latin1"):
            return Raw(written.encode("latin-1"), None)
    raise ValueError(f"a call of a {type(called).__name__} that is not known")


def _build(built: Any, state: Any) -> None:
    """Gives an array or a dtype its state."""
    match built, state:
        case _DType(), tuple():
            return
        case Array(), (1, tuple() as shape, _DType(), False | 0, Raw() as raw):
            _filled(built, shape, raw)
            return
    raise ValueError(f"a state of {type(built).__name__} that is not known")


def _filled(array: Array, shape: tuple[Any, ...], raw: Raw) -> Array:
    size = 1
    for side in shape:
        if not isinstance(side, int) or side < 0:
            raise ValueError(f"an array of shape {shape}")
        size *= side
    if size != len(raw):
        raise ValueError(f"an array of shape {shape} that has {len(raw)} bytes")
    array.shape, array.raw = shape, raw
    return array


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"a {type(value).__name__} where a list was expected")
    return value


def _dict(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"a {type(value).__name__} where a dict was expected")
    return value
