"""Read the batches of CIFAR's python archive, which are pickles, without unpickling.

A pickle is a program for a stack machine that may call anything. This reader knows the few
instructions that the official batches consist of, and stands for nothing else: a dictionary whose
keys are texts and whose values are texts, whole numbers, lists of them, or arrays of bytes
(``numpy`` dtype ``u1``). Any other instruction, name or type is refused; nothing is imported or
called.

Source: the instruction set as listed by the standard library's ``pickletools``.
"""

from __future__ import annotations

import pickletools
from typing import Any

import numpy as np

# the three names that an array of bytes is made with
_RECONSTRUCT = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
}
_ARRAY, _DTYPE = ("numpy", "ndarray"), ("numpy", "dtype")
_BYTES = {"u1", "uint8"}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_VALUES = frozenset(
    "BININT BININT1 BININT2 INT LONG1 BINSTRING SHORT_BINSTRING BINUNICODE SHORT_BINUNICODE"
    " BINBYTES SHORT_BINBYTES BINFLOAT".split()
)
_EMPTY = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_ACTIONS = {
    name: f"_{name.lower()}"
    for name in "TUPLE GLOBAL REDUCE BUILD APPEND APPENDS SETITEM SETITEMS".split()
}
_MARK = object()


class Refused(ValueError):  # noqa: N818 (what happened, not what is wrong with the program)
    """The data holds something that a batch never holds."""


class _Name(tuple):
    """One of the three names; never looked up."""


class _Array:
    """An array of bytes in the making: an empty one, then its shape and content."""

    values: np.ndarray | None = None


class _Dtype:
    """numpy's dtype of one byte."""


def read(data: bytes) -> dict[str, Any]:
    """What a batch holds.

    Args:
        data: The bytes of one file of the archive.

    Returns:
        Key -> text (str), number, list, or array [n, 3072] uint8.

    Raises:
        Refused: If an instruction, a name or a type is not among those of a batch, or the data is
            cut or damaged.
    """
    machine = _Machine()
    try:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name == "STOP":
                break
            machine.step(opcode.name, argument)
        (result,) = machine.stack
        finished = _finished(result)
    except Refused:
        raise
    # a damaged stack, a bad length, an odd shape, a list in itself: all the same to the reader
    except Exception as error:
        raise Refused(f"it is cut or damaged: {error}") from error
    if not isinstance(finished, dict) or not all(isinstance(key, str) for key in finished):
        raise Refused("it is no dictionary with texts as keys")
    return finished


class _Machine:
    """The stack, and what was put aside for later."""

    def __init__(self) -> None:
        """Nothing on the stack yet."""
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:
        """Obey one instruction, or refuse it."""
        push = self.stack.append
        if name in ("PROTO", "FRAME"):
            return
        if name in _VALUES:
            push(argument)
        elif name in _CONSTANTS:
            push(_CONSTANTS[name])
        elif name in _EMPTY:
            push(_EMPTY[name]())
        elif name == "MARK":
            push(_MARK)
        elif name in _TUPLES:
            self._tuple(_TUPLES[name])
        elif name in ("BINPUT", "LONG_BINPUT", "MEMOIZE"):
            self.memo[len(self.memo) if argument is None else argument] = self.stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            push(self.memo[argument])
        elif name in _ACTIONS:
            getattr(self, _ACTIONS[name])(argument)
        else:
            raise Refused(f"it holds the instruction {name}")

    def _tuple(self, count: int | None) -> None:
        items = self._to_mark() if count is None else [self.stack.pop() for _ in range(count)][::-1]
        self.stack.append(tuple(items))

    def _to_mark(self) -> list[Any]:
        items: list[Any] = []
        while (item := self.stack.pop()) is not _MARK:
            items.append(item)
        return items[::-1]

    def _global(self, argument: str) -> None:
        """A name: module and attribute with a space between."""
        name = tuple(argument.split(" ", 1))
        if name not in _RECONSTRUCT and name not in (_ARRAY, _DTYPE):
            raise Refused(f"it names {argument!r}")
        self.stack.append(_Name(name))

    def _reduce(self, _: None) -> None:
        """A call; only those that make an empty array and the dtype of a byte."""
        arguments, name = self.stack.pop(), self.stack.pop()
        if not isinstance(name, _Name) or not isinstance(arguments, tuple):
            raise Refused("it calls something that is no name")
        if name in _RECONSTRUCT and arguments and arguments[0] == _ARRAY:
            self.stack.append(_Array())
        elif name == _DTYPE and arguments and arguments[0] in _BYTES:
            self.stack.append(_Dtype())
        else:
            raise Refused(f"it calls {'.'.join(name)} in a way that makes no array of bytes")

    def _build(self, _: None) -> None:
        """The state of an array, (version, shape, dtype, Fortran order, content), or of a dtype."""
        state, made = self.stack.pop(), self.stack[-1]
        if isinstance(made, _Dtype):
            return
        if not isinstance(made, _Array):
            raise Refused("it sets the state of something that is no array")
        _, shape, kind, fortran, content = state
        if not isinstance(kind, _Dtype) or fortran or not isinstance(content, bytes | str):
            raise Refused("it holds an array of another kind than bytes")
        raw = content if isinstance(content, bytes) else content.encode("latin-1")
        made.values = np.frombuffer(raw, np.uint8).reshape([int(n) for n in shape])

    def _append(self, _: None) -> None:
        item = self.stack.pop()
        _expect(self.stack[-1], list).append(item)

    def _appends(self, _: None) -> None:
        items = self._to_mark()
        _expect(self.stack[-1], list).extend(items)

    def _setitem(self, _: None) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        _expect(self.stack[-1], dict)[key] = value

    def _setitems(self, _: None) -> None:
        items = self._to_mark()
        _expect(self.stack[-1], dict).update(zip(items[::2], items[1::2], strict=True))


def _expect(item: Any, kind: type) -> Any:
    if type(item) is not kind:
        raise Refused(f"it treats a {type(item).__name__} as a {kind.__name__}")
    return item


def _finished(item: Any) -> Any:
    """Texts as they are, arrays complete, names and halves of arrays refused."""
    if isinstance(item, _Array):
        if item.values is None:
            raise Refused("it holds an array without content")
        return item.values
    if isinstance(item, _Name | _Dtype) or item is _MARK:
        raise Refused("it holds a name")
    if isinstance(item, dict):
        return {_finished(k): _finished(v) for k, v in item.items()}
    if isinstance(item, list | tuple):
        return [_finished(v) for v in item]
    return item.decode("latin-1") if isinstance(item, bytes) else item
