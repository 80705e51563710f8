"""The plugin in a real Neovim with the real server on the small model, as people get it: text that a person may accept.

The scene leaves one sensible rest of the line, so the tests say what kind of code comes, not which tokens.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.editors.nvim.editor import Editor
from tests.small.fetched import developers_cache

pytestmark = pytest.mark.small

TEXT = '''class Basket:
    """What a customer is about to buy."""

    def __init__(self):
        self.items = []

    def add(self, item):
        pass

    def __len__(self):
        return len(self.items)
'''
BODY = 8
UNHURRIED = {"model": "small", "threads": 1, "inlineCompletion": {"deadlineMs": 15_000}}
"""The deadline of a slow machine; all else is the default."""


@pytest.fixture(scope="module")
def neovim(own_cache: str | None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Editor]:
    """One editor for all tests: the model loads once."""
    with developers_cache(own_cache):
        editor = Editor(Path(os.environ["DGLS_E2E_NVIM"]), tmp_path_factory.mktemp("small"), settings=UNHURRIED)
        yield editor
        editor.close()


@pytest.fixture
def editor(neovim: Editor, request: pytest.FixtureRequest) -> Editor:
    """An editor that shows a suggestion after `self.items.` in the body of `add`."""
    neovim.keys("<Esc>:silent! write<CR>")
    neovim.open(f"{request.node.name}.py", TEXT)
    neovim.at(BODY, 0)
    neovim.keys("S")
    neovim.type("self.items.")
    neovim.until(neovim.ghost)
    return neovim


def line(editor: Editor) -> str:
    return editor.text()[BODY - 1]


def test_typing_shows_a_call_that_tab_accepts_and_the_file_parses(editor: Editor) -> None:
    shown = editor.ghost()
    assert re.fullmatch(r"\w+\(item\)", shown)
    editor.keys("<Tab>")
    editor.until(lambda: line(editor) == "        self.items." + shown)
    ast.parse("\n".join(editor.text()))
    expected = TEXT.split("\n")[:-1]
    expected[BODY - 1] = line(editor)
    assert editor.text() == expected


def test_typing_the_suggestion_shows_its_rest(editor: Editor) -> None:
    shown = editor.ghost()
    editor.type(shown[:3])
    editor.until(lambda: editor.ghost() == shown[3:])
    assert line(editor) == "        self.items." + shown[:3]


def test_accept_word_leaves_the_arguments(editor: Editor) -> None:
    name, _, _ = editor.ghost().partition("(")
    editor.keys("<M-w>")
    editor.until(lambda: line(editor) == "        self.items." + name)
    assert editor.ghost() == "(item)"
