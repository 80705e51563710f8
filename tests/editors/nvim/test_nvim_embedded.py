"""The plugin in a real Neovim with the real server on the embedded model. No test depends on what the model writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.editors.nvim.conftest import Open
from tests.editors.nvim.test_nvim_action import BAR

if TYPE_CHECKING:
    from tests.editors.nvim.editor import Editor

TEXT = '''from pathlib import Path


class Store:
    """Notes in a folder, one file a note."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.notes = {}

    def load(self):
        """Read all notes."""
        for path in self.folder.glob("*.txt"):
            self.notes[path.stem] = path.read_text()

    def names(self):
        """The names of all notes, in order."""
        pass
'''
SHOW_ALL = {"inlineCompletion": {"minConfidence": 0}}
LINES = TEXT.split("\n")[:-1]
STUB = 18
WRITTEN = "\n".join(LINES[: STUB - 1]) + "\n        return "


@pytest.fixture
def editor(start: Open) -> Editor:
    editor = start(settings=SHOW_ALL)
    editor.open("store.py", TEXT)
    return editor


def test_typing_shows_a_suggestion_that_tab_accepts(editor: Editor) -> None:
    editor.at(STUB, 0)
    editor.keys("S")
    editor.type("return ", 0.05)
    editor.until(editor.ghost)
    shown = editor.ghost()
    editor.keys("<Tab>")
    editor.until(lambda: "\n".join(editor.text()) == WRITTEN + shown)
    editor.keys("<Esc>u")
    assert "\n".join(editor.text()) == WRITTEN


def test_accept_word_keeps_the_rest(editor: Editor) -> None:
    editor.at(STUB, 0)
    editor.keys("S")
    editor.type("return ", 0.05)
    editor.until(editor.ghost)
    whole = WRITTEN + editor.ghost()
    for _ in range(20):
        editor.keys("<M-w>")
        if "\n".join(editor.text()) == whole:
            break
        assert "\n".join(editor.text()) + editor.ghost() == whole
    assert "\n".join(editor.text()) == whole


def test_fill_shows_drafts_and_is_one_undo_step(editor: Editor) -> None:
    editor.at(STUB, 8)
    editor.keys(":Dgls fill<CR>")
    editor.until(lambda: editor.marks("dgls.drafts"))
    editor.until(lambda: not editor.marks("dgls.drafts"))
    editor.until(lambda: editor.text() != LINES)
    assert editor.text()[: STUB - 1] == LINES[: STUB - 1]
    editor.keys("u")
    assert editor.text() == LINES


def test_rewrite_shows_a_preview_that_can_be_accepted(editor: Editor) -> None:
    editor.at(13, 0)
    editor.keys("Vj:Dgls rewrite<CR>")
    editor.until(lambda: editor.lua(BAR))
    editor.keys("a")
    assert editor.text() != LINES
    assert (editor.text()[:12], editor.text()[-4:]) == (LINES[:12], LINES[-4:])
    editor.keys("u")
    assert editor.text() == LINES
