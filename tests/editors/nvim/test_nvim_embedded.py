"""The plugin in a real Neovim with the real server on the embedded model. What it writes is its own affair."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.editors.nvim.conftest import Open
from tests.editors.nvim.test_nvim_action import BAR

if TYPE_CHECKING:
    from tests.editors.nvim.editor import Editor

TEXT = '''import math


def area(width, height):
    """The area of a rectangle."""
    return width * height


def perimeter(width, height):
    """Twice the sum of its sides."""
    pass


def diagonal(width, height):
    '''
SHOW_ALL = {"inlineCompletion": {"minConfidence": 0}}
LINES = TEXT.split("\n")


@pytest.fixture
def editor(start: Open) -> Editor:
    editor = start(settings=SHOW_ALL)
    editor.open("shapes.py", TEXT)
    return editor


def test_typing_brings_a_suggestion_and_tab_accepts_it(editor: Editor) -> None:
    editor.at(len(LINES), 0)
    editor.keys("A")
    editor.type("return ", 0.05)
    editor.until(editor.ghost)
    shown = editor.ghost()
    editor.keys("<Tab>")
    editor.until(lambda: "\n".join(editor.text()) == TEXT + "return " + shown)
    editor.keys("<Esc>u")
    assert "\n".join(editor.text()) == TEXT + "return "


def test_word_by_word(editor: Editor) -> None:
    editor.at(len(LINES), 0)
    editor.keys("A")
    editor.type("return ", 0.05)
    editor.until(editor.ghost)
    whole = TEXT + "return " + editor.ghost()
    for _ in range(20):
        editor.keys("<M-w>")
        if "\n".join(editor.text()) == whole:
            break
        assert "\n".join(editor.text()) + editor.ghost() == whole
    assert "\n".join(editor.text()) == whole


def test_fill_is_watched_and_undone_in_one_step(editor: Editor) -> None:
    editor.at(11, 4)
    editor.keys(":Dgls fill<CR>")
    editor.until(lambda: editor.marks("dgls.drafts"))
    editor.until(lambda: not editor.marks("dgls.drafts"))
    editor.until(lambda: editor.text() != LINES)
    filled = editor.text()
    assert (filled[:10], filled[-4:]) == (LINES[:10], LINES[-4:])
    editor.keys("u")
    assert editor.text() == LINES


def test_rewrite_is_previewed_and_accepted(editor: Editor) -> None:
    editor.at(6, 0)
    editor.keys("V:Dgls rewrite<CR>")
    editor.until(lambda: editor.lua(BAR))
    assert editor.text() == LINES
    editor.keys("a")
    assert editor.text() != LINES
    assert editor.text()[:5] == LINES[:5]
    editor.keys("u")
    assert editor.text() == LINES
