"""Tests run in one process, the code under test in another: two ends of a channel that carries plain data.

The judge runs the tests. Where they use a name that they do not define, it asks the worker, which has run the code
under test: a function stands for the worker's, and calling it sends the arguments and returns the result. So the code
under test can return any value and can end early, but it can't touch the tests, their asserts or their verdict; it
never sees them.

The judge takes plain data only, because decoding anything else can run code. An object that isn't plain equals nothing
in the judge. Arguments are copies: the tests see no changes to them. Knows nothing of processes and confinement.
"""

from __future__ import annotations

import builtins
import io
import os
import pickle
import sys
from collections.abc import Callable
from types import ModuleType

TYPE_CHECKING = False  # importing typing takes a tenth of the sandbox's start
if TYPE_CHECKING:
    from typing import Any

_PLAIN: tuple[type, ...] = (
    bool, int, float, complex, str, bytes, bytearray, list, tuple, dict, set, frozenset, range,
)  # fmt: skip
"""Immutable types. A class that Python code defines must not be here: unpickling can set its attributes."""

_LENGTH = 8  # bytes of a message's length
_LONGEST = 64 << 20
_CONTROL = (StopIteration, StopAsyncIteration)
"""Exceptions that would end a loop of the tests instead of the tests."""


class ChannelClosed(BaseException):
    """The other end is gone. No `Exception`, so that tests which expect one do not catch it."""


class CodeRaised(Exception):
    """The code under test raised an exception that the judge does not have."""


class Opaque:
    """Stands for a result that is no plain data."""

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def __repr__(self) -> str:
        return f"<{self._kind}>"


class Channel:
    def __init__(self, source: int, target: int) -> None:
        self._source, self._target = source, target

    def send(self, message: bytes) -> None:
        message = len(message).to_bytes(_LENGTH, "big") + message
        while message:
            try:
                message = message[os.write(self._target, message) :]
            except BrokenPipeError:
                raise ChannelClosed from None

    def receive(self) -> bytes:
        length = int.from_bytes(self._read(_LENGTH), "big")
        if length > _LONGEST:
            raise MemoryError(f"a message of {length} bytes")
        return self._read(length)

    def _read(self, length: int) -> bytes:
        message = bytearray()
        while len(message) < length:
            chunk = os.read(self._source, min(length - len(message), 1 << 20))
            if not chunk:
                raise ChannelClosed
            message += chunk
        return bytes(message)


def judge(channel: Channel, tests: str) -> None:
    """Run the tests to their end, once the worker says that it is ready. Raises what they raise, or `ChannelClosed`.

    The tests import from `program` what they need of the code under test; other names that they do not define and
    Python does not have come from there, too.
    """
    channel.receive()
    main = sys.modules["__main__"] = ModuleType("__main__")
    names = _Names(vars(main), channel)
    program = sys.modules["program"] = ModuleType("program")
    vars(program)["__getattr__"] = names.foreign
    exec(compile(tests, "tests.py", "exec"), names)
    names.ask("name", "")  # the worker is still there, whatever the tests caught


def work(channel: Channel, source: str) -> None:
    """Run the code under test, then answer the judge until it ends."""
    main = sys.modules["__main__"] = ModuleType("__main__")  # where pickle and type hints look names up
    this = os.getpid()
    exec(compile(source, "program.py", "exec"), vars(main))
    if os.getpid() != this:
        return  # a fork of the code under test got here, too
    channel.send(b"")
    try:
        while True:
            channel.send(_answer(vars(main), pickle.loads(channel.receive())))
    except ChannelClosed:
        return


class _Names(dict[str, object]):
    """The global names of the tests, which the worker completes."""

    def __init__(self, names: dict[str, object], channel: Channel) -> None:
        super().__init__(names)
        self._channel = channel

    def ask(self, *question: object) -> object:
        self._channel.send(pickle.dumps(question))
        answer = self._channel.receive()
        try:
            return _Decoder(io.BytesIO(answer)).load()
        except Exception:
            return "opaque", "object"

    def foreign(self, name: str) -> object:
        match self.ask("name", name):
            case "module", None if name in sys.stdlib_module_names:
                return __import__(name)
            case "function", None:
                return self._function(name)
            case "value", value:
                return value
            case _:
                raise AttributeError(name)

    def __missing__(self, name: str) -> object:
        if hasattr(builtins, name):
            raise KeyError(name)  # the interpreter looks there next
        try:
            return self.setdefault(name, self.foreign(name))
        except AttributeError:
            raise KeyError(name) from None

    def _function(self, name: str) -> Callable[..., Any]:
        def function(*arguments: Any, **named: Any) -> Any:
            match self.ask("call", name, arguments, named):
                case "value", value:
                    return value
                case "opaque", str(kind):
                    return Opaque(kind)
                case "raised", (str(kind), str(text)):
                    raise _exception(kind, text)
                case _:
                    raise CodeRaised("an answer that is none")

        function.__name__ = name
        return function


class _Decoder(pickle.Unpickler):
    """Decodes plain data. Foreign code may have written the message, so no other class is looked up."""

    def find_class(self, module: str, name: str) -> Any:
        for plain in _PLAIN:
            if (module, name) == ("builtins", plain.__name__):
                return plain
        raise pickle.UnpicklingError(f"{module}.{name} is no plain data")


class _Encoder(pickle.Pickler):
    """Encodes values of plain types and their subclasses, as plain data."""

    def reducer_override(self, value: object) -> Any:
        for plain in _PLAIN:
            if isinstance(value, plain) and type(value) is not plain:
                return plain, (plain(value),)
        return NotImplemented


def _answer(namespace: dict[str, Any], question: tuple[Any, ...]) -> bytes:
    verb, name, *call = question
    if verb == "name":
        return _encoded(_described(namespace, name))
    arguments, named = call
    try:
        result = namespace[name](*arguments, **named)
    except Exception as error:
        return _encoded(("raised", (type(error).__name__, str(error))))
    return _encoded(("value", result))


def _described(namespace: dict[str, object], name: str) -> tuple[str, Any]:
    if name not in namespace:
        return "absent", None
    value = namespace[name]
    if isinstance(value, ModuleType):
        return "module", None
    return ("function", None) if callable(value) else ("value", value)


def _encoded(answer: tuple[str, Any]) -> bytes:
    buffer = io.BytesIO()
    try:
        _Encoder(buffer).dump(answer)
    except Exception:
        return pickle.dumps(("opaque", type(answer[1]).__name__))
    return buffer.getvalue()


def _exception(kind: str, text: str) -> Exception:
    """The same exception where it is a built-in one."""
    known = getattr(builtins, kind, None)
    if isinstance(known, type) and issubclass(known, Exception) and not issubclass(known, _CONTROL):
        try:
            return known(text)
        except TypeError:  # it needs more arguments
            pass
    return CodeRaised(f"{kind}: {text}")
