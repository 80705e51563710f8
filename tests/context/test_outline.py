"""The outline of a Python file: its definitions and imports, as a model sees them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dgls.context.outline import LONGEST, Import, outline

TEXT = '''
import os, a.b
import a.c as c
from . import near
from .deep.er import One as Two, three
from ..up import *
try:
    import fast
except ImportError:
    fast = None
if True:
    def late(x): return x

PASSWORD = "hunter2"
limit: int = 3

@decorated("hunter2")
async def fetch(
    url: str,  # where from
    *,
    tries: int = 3,
) -> bytes:
    """Fetch it.

    At length.
    """
    secret = "hunter2"

class Client(Base, metaclass=Meta):
    \'\'\'A client.\'\'\'
    token: str = "hunter2"
    KIND = "hunter2"
    _hidden = 1

    def __init__(self, url):
        self.url = url

    def __repr__(self): ...
    def _private(self): ...
    @property
    def open(self) -> bool:
        """Is it?"""
        return True
'''


def test_outline_imports_keep_dots_and_aliases() -> None:
    assert outline(TEXT).imports == (
        Import("os", 0, None, "os"),
        Import("a.b", 0, None, "a.b"),
        Import("a.c", 0, None, "c"),
        Import("", 1, "near", "near"),
        Import("deep.er", 1, "One", "Two"),
        Import("deep.er", 1, "three", "three"),
        Import("up", 2, "*", "*"),
        Import("fast", 0, None, "fast"),
    )


def test_outline_definitions_are_signatures() -> None:
    assert outline(TEXT).definitions == {
        "fast": "fast = ...\n",
        "late": "def late(x):\n",
        "PASSWORD": "PASSWORD = ...\n",
        "limit": "limit: int\n",
        "fetch": 'async def fetch(url: str, *, tries: int = 3,) -> bytes:\n    """Fetch it."""\n',
        "Client": (
            'class Client(Base, metaclass=Meta):\n    """A client."""\n    token: str\n    KIND = ...\n'
            "    def __init__(self, url):\n    def open(self) -> bool:\n"
        ),
    }


def test_outline_hides_values() -> None:
    assert "hunter2" not in "".join(outline(TEXT).definitions.values())


def test_outline_long_class_is_cut_between_members() -> None:
    text = "class A:\n" + "".join(f"    def method_{number}(self): ...\n" for number in range(500))
    shown = outline(text).definitions["A"]
    assert len(shown) <= LONGEST + 1
    assert shown.endswith("(self):\n")


def test_outline_head_keeps_only_type_strings() -> None:
    head = 'def f(a="hunter2", *, b: Literal["x"] = "hunter" "2", c=f"{2}#", d=3, **e) -> "Out": ...\n'
    assert outline(head).definitions["f"] == 'def f(a=..., *, b: Literal["x"] = ..., c=..., d=3, **e) -> "Out":\n'
    assert outline("class é(B, key='hunter2'): ...\n").definitions["é"] == "class é(B, key=...):\n"


@pytest.mark.parametrize("text", ["", "def f(", "from . import (a, b", "import", "class A(B", "x = '''", "\udcff = 1"])
def test_outline_broken_text_returns_the_rest(text: str) -> None:
    outline(text)


@pytest.mark.parametrize(
    "text", ["from .. import,; a.f", "from . import (x/\nfrom a import b\n", "from . import a.\n\nb"]
)
def test_outline_half_typed_import_is_dropped(text: str) -> None:
    assert all(one.bound.isidentifier() for one in outline(text).imports)


@given(st.text(alphabet="import from.*as def class():\n\t'\"#=ab\x00é", max_size=80))
def test_outline_any_text_does_not_raise(text: str) -> None:
    outlined = outline(text)
    assert all(shown.endswith("\n") for shown in outlined.definitions.values())
