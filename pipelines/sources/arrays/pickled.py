"""Lists, dictionaries, text and NumPy arrays out of a pickle, without unpickling it.

A pickle is a program. Here its instructions are only listed (`pickletools`), and those few are
followed that build plain values; a name of a function or class is never looked up. Arrays are told
by the names that NumPy writes for them.
"""

from __future__ import annotations

import io
import math
import pickletools  # nosec B403  # lists what a pickle says, and runs none of it
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

ARRAY = ("_reconstruct", "ndarray", "dtype", "_frombuffer")
MODULES = ("numpy", "numpy.core.multiarray", "numpy._core.multiarray", "numpy._core.numeric")
PUSHED = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
CONSTANTS = re.compile(
    r"(BIN)?INT[12]?|LONG[14]?|(BIN)?FLOAT|((SHORT_)?BIN)?(STRING|UNICODE)8?"
    r"|(SHORT_)?BINBYTES8?|BYTEARRAY8"
)
IGNORED = ("PROTO", "FRAME")


def _pairs(items: list[Any]) -> dict[Any, Any]:
    return dict(zip(items[::2], items[1::2], strict=True))


MADE: dict[str, Callable[[list[Any]], Any]] = {"DICT": _pairs, "LIST": list, "TUPLE": tuple}


class Refused(ValueError):
    """The pickle asks for something that is no plain value; nothing of it was run."""


class Name(NamedTuple):
    """A function or class that a pickle names."""

    module: str
    name: str


class Built:
    """What a pickle makes of a name and arguments: an array, or the type of its values."""

    def __init__(self, name: str, arguments: tuple[Any, ...]) -> None:
        self.name, self.arguments = name, arguments
        self.state: tuple[Any, ...] = ()


def plain(pickle: bytes) -> Any:
    """The value that a pickle holds: dict, list, tuple, str, bytes, numbers and NumPy arrays.

    Texts of Python 2 are str, a character a byte (latin-1). Raises Refused for all else by its
    name, ValueError and others for what is no pickle.
    """
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[int, Any] = {}

    def popped() -> list[Any]:
        at = marks.pop()
        items = stack[at:]
        del stack[at:]
        return items

    value: Any  # of an instruction, as its name says
    for code, value, _ in pickletools.genops(io.BytesIO(pickle)):
        name = code.name
        if name in IGNORED:
            continue
        if name == "STOP":
            return _value(stack.pop())
        if name == "MARK":
            marks.append(len(stack))
        elif name in PUSHED:
            stack.append(PUSHED[name])
        elif CONSTANTS.fullmatch(name):
            stack.append(value)
        elif name in ("EMPTY_DICT", "EMPTY_LIST", "EMPTY_TUPLE"):
            stack.append(MADE[name[6:]]([]))
        elif name in MADE:
            stack.append(MADE[name](popped()))
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            size = int(name[-1])
            stack[-size:] = [tuple(stack[-size:])]
        elif name in ("APPENDS", "APPEND"):
            items = popped() if name == "APPENDS" else [stack.pop()]
            stack[-1] += items
        elif name in ("SETITEMS", "SETITEM"):
            items = popped() if name == "SETITEMS" else [stack.pop(-2), stack.pop()]
            stack[-1].update(_pairs(items))
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            memo[value] = stack[-1]
        elif name == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memo[value])
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            words = value.split(" ") if name == "GLOBAL" else [stack.pop(-2), stack.pop()]
            stack.append(Name(*map(str, words)))
        elif name == "REDUCE":
            arguments = stack.pop()
            stack.append(_built(stack.pop(), arguments))
        elif name == "BUILD":
            state = stack.pop()
            if not isinstance(stack[-1], Built):
                raise Refused(f"it sets the state of a {type(stack[-1]).__name__}")
            stack[-1].state = state
        else:
            raise Refused(f"it has the instruction {name}")
    raise ValueError("it has no end")


def _built(maker: Any, arguments: Any) -> Any:
    if not isinstance(maker, Name):
        raise Refused(f"it calls a {type(maker).__name__}")
    if maker == ("_codecs", "encode") and arguments[1:] == ("latin1",):
        return arguments[0].encode("latin-1")  # bytes, as Python 3 writes them for Python 2
    if maker.module not in MODULES or maker.name not in ARRAY:
        raise Refused(f"it calls {maker.module}.{maker.name}")
    return Built(maker.name, arguments)


def _value(item: Any) -> Any:
    """A value of the stack with its arrays made."""
    if isinstance(item, dict):
        return {_value(key): _value(value) for key, value in item.items()}
    if isinstance(item, list) and item and isinstance(item[0], Built):
        return [_value(value) for value in item]
    if isinstance(item, Name):
        raise Refused(f"it holds {item.module}.{item.name}")
    return _array(item) if isinstance(item, Built) else item


def _array(built: Built) -> np.ndarray:
    if built.name == "_frombuffer":
        data, kind, shape, order = built.arguments
        fortran = order == "F"
    else:
        _, shape, kind, fortran, data = built.state
    code = kind.arguments[0] if isinstance(kind, Built) and kind.name == "dtype" else None
    if code not in ("u1", "i4", "i8") or (kind.state and kind.state[1] == ">"):
        raise Refused(f"it holds an array of {code}")
    if isinstance(data, str):
        data = data.encode("latin-1")
    if math.prod(shape) * int(code[1]) != len(data):
        raise ValueError(f"an array of {shape} with {len(data)} bytes")
    return np.frombuffer(data, code).reshape(shape, order="F" if fortran else "C")
