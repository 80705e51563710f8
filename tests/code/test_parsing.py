"""Parsing ends, whatever the text is."""

from __future__ import annotations

import time
from collections.abc import Callable

import psutil
import pytest

from dgls.code import parsing
from dgls.code.document import Document, Span
from dgls.code.languages import LANGUAGES, language_of
from dgls.code.parsing import parsed
from dgls.code.syntax import parse, parse_all

NO_CODE = "\n/-" * 8_000
"""tree-sitter's search for a repair in Python's grammar: time grows with the square."""


def document(text: str) -> Document:
    return Document("file:///a.py", 1, "python", text)


def test_parsed_no_code_is_given_up_soon() -> None:
    begun = time.thread_time()
    assert parsed(language_of("python"), NO_CODE.encode()) is None
    assert time.thread_time() - begun < 10.0, "it takes a minute"


@pytest.mark.parametrize(
    ("seconds", "given_up"),
    [
        (lambda pieces: 0.003 * pieces, False),
        (lambda pieces: 0.012 * pieces, False),
        (lambda pieces: 0.025 * pieces, True),
        (lambda pieces: 0.014 * pieces**2, True),
        (lambda pieces: 0.002 * pieces**2, True),
        (lambda pieces: 0.0001 * pieces**2, False),
        (lambda pieces: 0.1, True),
    ],
    ids=["code", "a wrong grammar", "slow pieces", "a slow square", "a square", "a quick square", "one slow piece"],
)
def test_parsed_is_given_up_by_what_its_parts_take(
    seconds: Callable[[float], float], given_up: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parsing, "_seconds", lambda parser, source: seconds(len(source) / parsing.PIECE))
    assert (parsed(language_of("python"), b"x = 1\n" * 20_000) is None) == given_up


def test_parsed_no_code_whose_pieces_are_quick_ends_soon() -> None:
    begun = time.thread_time()
    parsed(language_of("css"), (b"->].^" * 8_000))
    assert time.thread_time() - begun < 8.0, "it takes 13 seconds"


@pytest.mark.parametrize("language", [each.id for each in LANGUAGES if each.grammar])
def test_parsed_lone_surrogates_take_their_bytes_and_no_time(language: str) -> None:
    source = ("\ud800" * 8_000).encode("utf-8", "surrogatepass")
    begun = time.thread_time()
    tree = parsed(language_of(language), source)
    assert tree is None or tree.root_node.end_byte == len(source)
    assert time.thread_time() - begun < 2.0


@pytest.mark.parametrize(
    "text",
    [
        "x = (\n" + "y = 1\n" * 9_000,
        "x = '''\n" + "y = 1\n" * 9_000,
        "y = f(1)\n" * 9_000 + "def f(:\n",
        "def f(:\n" * 300,
        "(" * 9_000,
    ],
)
def test_parsed_broken_code_has_a_tree(text: str) -> None:
    tree = parsed(language_of("python"), text.encode())
    assert tree is not None
    assert tree.root_node.has_error


def test_syntax_of_no_code_is_none() -> None:
    assert parse(document(NO_CODE), 0) is None
    assert parse_all(document(NO_CODE)) is None


def test_syntax_after_code_became_no_code_is_none() -> None:
    code = parse(document("x = 1\n"), 0)
    assert code is not None
    assert parse(document("x = 1\n" + NO_CODE), 0, code) is None
    assert code.breaks(Span(0, 0), NO_CODE)
    assert not code.needs(Span(0, 0), NO_CODE, "y = 1\n")


def test_parsed_text_is_not_kept() -> None:
    """The binding may leak what it reads through a callback."""
    source = b"# a comment of some length, which is parsed in no time\n" * 2_000
    parsed(language_of("python"), source)
    before = psutil.Process().memory_info().rss
    for _ in range(100):
        parsed(language_of("python"), source + b"y")
    assert psutil.Process().memory_info().rss - before < 0.5 * 100 * len(source)
