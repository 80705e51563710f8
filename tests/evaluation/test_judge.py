"""What tests see of the code under test, which runs in another process. The tests here are programs of the sandbox."""

from __future__ import annotations

import sys

import pytest

from dgls.evaluation.running.sandbox import ProgramLimits, run_program

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="programs are not run on Windows")

SOURCE = """
import collections, enum, math
from collections import OrderedDict

LIMIT = {"a": (1, 2.5)}
calls = 0

class Color(enum.IntEnum):
    RED = 1

class Own(Exception):
    pass

def same(value, *more, **named): return (value, *more, *named.items()) if more or named else value
def counted():
    global calls
    calls += 1
    return calls
def raises(kind, *arguments): raise getattr(__builtins__, "get")(kind, Own)(*arguments)
Pair = collections.namedtuple("Pair", "x y")
def special(): return [Color.RED, collections.Counter("aab"), OrderedDict(a=1), Pair(1, 2)]
def sum(numbers): return "mine"
def generator(): yield 1
def handed(): return lambda: 1
def negative(values): values.append(1); return len(values)
"""
TESTS = """
import copy
from program import counted, same, sum as own_sum
values = [None, True, -1, 10**30, 2.5, 1e400, 1j, "\\ud83d\\ude00", b"x", bytearray(b"x"), (1,), {1, 2}, frozenset("a"),
          range(3), {"a": [(1, {2: "b"})]}, [[]], ""]
assert same(values) == values and [type(value) for value in same(values)] == [type(value) for value in values]
assert same(float("nan")) != same(float("nan"))
assert same(None) is None and same(True) is True and same(1, 2, a=3) == (1, 2, ("a", 3))
assert [counted(), counted()] == [1, 2]
assert special() == [1, {"a": 2, "b": 1}, {"a": 1}, (1, 2)]
assert own_sum([1]) == "mine" and sum([1]) == 1
assert LIMIT == {"a": (1, 2.5)} and math.floor(1.5) == 1
assert generator() != [1] and repr(generator()) == "<generator>" and handed() != 1
values = []
assert negative(values) == 1 and values == []
for kind in ("ValueError", "KeyError", "StopIteration", "UnicodeDecodeError", "none"):
    try:
        raises(kind, *((b"utf-8".decode(), b"", 0, 1, "x") if kind.startswith("Uni") else ("text",)))
    except Exception as error:
        expected = kind if kind in ("ValueError", "KeyError") else "CodeRaised"
        assert type(error).__name__ == expected and "text" in str(error) or kind.startswith("Uni"), (kind, error)
    else:
        assert False, kind
try:
    absent
except NameError:
    pass
else:
    assert False
"""


def test_run_program_tests_see_plain_data() -> None:
    verdict = run_program(SOURCE, TESTS, ProgramLimits())
    assert verdict.passed, verdict.detail


@pytest.mark.parametrize(
    ("tests", "says"),
    [
        ("from program import absent", "ImportError: cannot import name 'absent' from 'program' (unknown location)"),
        ("same(lambda: 1)", "Can't pickle"),
        ("raises('ValueError', 'text')", "ValueError: text"),
        ("raises('MemoryError')", "MemoryError"),
        ("def f(:", "SyntaxError: invalid syntax"),
        ("try: raises('SystemExit')\nexcept: pass", ""),
        ("try: raises('KeyboardInterrupt')\nexcept Exception: pass", "KeyboardInterrupt"),
    ],
)
def test_run_program_failing_tests_say_why(tests: str, says: str) -> None:
    verdict = run_program(SOURCE, tests, ProgramLimits())
    assert not verdict.passed
    assert says in verdict.detail
