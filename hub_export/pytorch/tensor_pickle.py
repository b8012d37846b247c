"""Reads the pickle inside a PyTorch checkpoint as data: tensors and plain values.

`pickle` itself is never run on the file. Its C code allocates what a file claims
(a memo of 2**31 entries), and calls what a file names. Here `pickletools` splits the
bytes into opcodes, and the few that `torch.save` writes work on a stack of our own.
"""

import collections
import pickletools
import types
from collections.abc import Callable
from typing import Any

MAX_OPCODES = 2_000_000
MAX_DEPTH = 64
MAX_VALUES = 1_000_000
_MAX_INTEGER_BYTES = 8

_MARK = object()
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}
_VALUES = {
    "BININT",
    "BININT1",
    "BININT2",
    "BINFLOAT",
    "BINUNICODE",
    "SHORT_BINUNICODE",
    "BINUNICODE8",
    "SHORT_BINSTRING",
    "BINSTRING",
    "BINBYTES",
    "SHORT_BINBYTES",
}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_IGNORED = {"PROTO", "FRAME"}


class ForeignPickle(ValueError):
    """A pickle that holds more than tensors and plain values; says what."""


def load(
    content: bytes,
    functions: dict[tuple[str, str], Callable],
    persistent_load: Callable[[Any], Any],
) -> Any:
    """Builds what a pickle describes.

    Args:
        content: the bytes of the pickle.
        functions: what the pickle may name, by (module, name): a callable or,
            for a name that is only an argument, any object.
        persistent_load: makes the object of a persistent identifier.

    Returns:
        dictionaries, lists, tuples, texts, numbers, and what `functions` return.

    Raises:
        ForeignPickle: another opcode or name, nesting deeper than `MAX_DEPTH`,
            more than `MAX_OPCODES` opcodes, or a damaged file.
    """
    machine = _Machine(functions, persistent_load)
    try:
        for number, (opcode, argument, _) in enumerate(pickletools.genops(content)):
            if number >= MAX_OPCODES:
                raise ForeignPickle(f"it has more than {MAX_OPCODES} opcodes")
            if opcode.name == "STOP":
                return _bounded(machine.pop())
            machine.step(opcode.name, argument)
    except (IndexError, KeyError, TypeError) as error:
        raise ForeignPickle("its pickle is damaged") from error
    except ValueError as error:  # of genops: bytes that are no opcode, a cut file
        if isinstance(error, ForeignPickle):
            raise
        raise ForeignPickle("its pickle is damaged") from error
    raise ForeignPickle("its pickle has no end")


def _bounded(value):
    """Returns a value that can be walked through: no circle, no explosion.

    A few opcodes can put one list into itself, or ten times into another, ten
    levels deep; each walk through that would be without an end.
    """
    pending, visited = [(value, 0)], 0
    while pending:
        item, depth = pending.pop()
        visited += 1
        if depth > MAX_DEPTH:
            raise ForeignPickle(f"it is nested more than {MAX_DEPTH} deep")
        if visited > MAX_VALUES:
            raise ForeignPickle(f"it holds more than {MAX_VALUES} values")
        if isinstance(item, dict):
            pending += [(inner, depth + 1) for inner in item.values()]
        elif isinstance(item, (list, tuple)):
            pending += [(inner, depth + 1) for inner in item]
    return value


class _Machine:
    """The stack and the memo that the opcodes work on."""

    def __init__(self, functions, persistent_load):
        self._functions = functions
        self._persistent_load = persistent_load
        self._stack: list = []
        self._memo: dict[int, Any] = {}

    def step(self, name: str, argument) -> None:
        if name in _VALUES:
            self._stack.append(argument)
        elif name in ("LONG1", "LONG4", "LONG"):
            if argument.bit_length() > 8 * _MAX_INTEGER_BYTES:
                raise ForeignPickle("it holds an integer of more than 64 bits")
            self._stack.append(argument)
        elif name in _CONSTANTS:
            self._stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            self._stack.append(_EMPTY[name]())
        elif name == "MARK":
            self._stack.append(_MARK)
        elif name in ("BINPUT", "LONG_BINPUT", "PUT"):
            self._memo[argument] = self._stack[-1]
        elif name == "MEMOIZE":
            self._memo[len(self._memo)] = self._stack[-1]
        elif name in ("BINGET", "LONG_BINGET", "GET"):
            self._stack.append(self._memo[argument])
        elif name == "POP":
            self._stack.pop()
        elif name in _TUPLES:
            items = [self.pop() for _ in range(_TUPLES[name])]
            self._stack.append(tuple(items[::-1]))
        elif name == "TUPLE":
            self._stack.append(tuple(self._pop_to_mark()))
        elif name in ("APPEND", "APPENDS"):
            items = [self.pop()] if name == "APPEND" else self._pop_to_mark()
            self._extend(items)
        elif name in ("SETITEM", "SETITEMS"):
            items = self._pop_to_mark() if name == "SETITEMS" else self._pop_pair()
            self._set_items(items)
        elif name == "GLOBAL":
            self._push_global(*argument.split(" ", 1))
        elif name == "STACK_GLOBAL":
            function, module = self.pop(), self.pop()
            self._push_global(module, function)
        elif name == "REDUCE":
            self._reduce()
        elif name == "BUILD":
            # the attributes of an OrderedDict (`_metadata`): nothing that we read
            self.pop()
        elif name == "BINPERSID":
            self._stack.append(self._persistent_load(self.pop()))
        elif name not in _IGNORED:
            raise ForeignPickle(f"it has the opcode {name}, which no tensor needs")

    def pop(self):
        value = self._stack.pop()
        if value is _MARK:
            raise ForeignPickle("its pickle is damaged")
        return value

    def _pop_pair(self) -> list:
        value, key = self.pop(), self.pop()
        return [key, value]

    def _pop_to_mark(self) -> list:
        items: list = []
        while (value := self._stack.pop()) is not _MARK:
            items.append(value)
        return items[::-1]

    def _extend(self, items: list) -> None:
        target = self._stack[-1]
        if type(target) is not list:
            raise ForeignPickle("it appends to what is no list")
        target.extend(items)

    def _set_items(self, items: list) -> None:
        target = self._stack[-1]
        if not isinstance(target, dict) or len(items) % 2:
            raise ForeignPickle("it sets entries of what is no dictionary")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, (str, bytes, int, float, type(None))):
                raise ForeignPickle("a key of a dictionary is no text or number")
            target[key] = value

    def _push_global(self, module: str, name: str) -> None:
        if (module, name) not in self._functions:
            raise ForeignPickle(f"it names {module}.{name}, which is no tensor")
        self._stack.append(self._functions[module, name])

    def _reduce(self) -> None:
        arguments, function = self.pop(), self.pop()
        if function is collections.OrderedDict:
            self._stack.append(collections.OrderedDict())
        elif isinstance(function, types.FunctionType) and isinstance(arguments, tuple):
            self._stack.append(function(*arguments))
        else:
            raise ForeignPickle("its pickle is damaged")
