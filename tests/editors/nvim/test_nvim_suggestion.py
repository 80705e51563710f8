"""Ghost text in a real Neovim: shown, accepted in whole or in part, typed through, replaced, cancelled."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.editors.nvim.conftest import Open

if TYPE_CHECKING:
    from tests.editors.nvim.editor import Editor

TEXT = "def f(total):\n    \n\n\nx = 1\n"
FILL = "return total + 1\n    # done"
FILLED = ["def f(total):", "    return total + 1", "    # done", "", "", "x = 1"]
SLOW = {"steps": 400, "step_ms": 10}


def in_body(start: Open, text: str = TEXT, **how: object) -> Editor:
    """An editor in Insert mode at the end of the second line."""
    editor = start(**{"script": {"texts": [FILL]}, **how})
    editor.open("a.py", text)
    editor.at(2, 0)
    editor.keys("A")
    return editor


def test_suggestion_is_shown_and_accepted(start: Open) -> None:
    editor = in_body(start)
    editor.until(lambda: editor.ghost() == FILL)
    assert "\n    return total + 1\n    # done\n" in editor.screen()
    assert editor.text() == TEXT.split("\n")[:-1]
    editor.keys("<Tab>")
    editor.until(lambda: editor.text() == FILLED)
    assert editor.cursor() == (3, 10)
    assert editor.ghost() == ""
    editor.keys("<Esc>u")
    assert editor.text() == TEXT.split("\n")[:-1]


def test_accept_word_keeps_showing_the_rest(start: Open) -> None:
    editor = in_body(start)
    editor.until(lambda: editor.ghost() == FILL)
    for rest, line in ((" total + 1\n    # done", "    return"), (" + 1\n    # done", "    return total")):
        editor.keys("<M-w>")
        editor.until(lambda rest=rest: editor.ghost() == rest)
        assert editor.text()[1] == line
    editor.until(lambda: editor.marks("nvim.lsp.inline_completion"))
    assert editor.marks("dgls.remainder") == []
    assert editor.ghost() == " + 1\n    # done"
    editor.keys("<Tab>")
    editor.until(lambda: editor.text() == FILLED)


def test_accept_line_keeps_showing_the_rest(start: Open) -> None:
    editor = in_body(start)
    editor.until(lambda: editor.ghost() == FILL)
    editor.keys("<M-l>")
    editor.until(lambda: editor.ghost() == "\n    # done")
    assert editor.text()[1] == "    return total + 1"
    editor.keys("<M-l>")
    editor.until(lambda: editor.text() == FILLED)
    assert editor.ghost() == ""


def test_rest_shrinks_with_typing_and_disappears_when_contradicted(start: Open) -> None:
    editor = in_body(start)
    editor.until(lambda: editor.ghost() == FILL)
    editor.keys("<M-w>")
    editor.until(lambda: editor.marks("dgls.remainder"))
    editor.keys(" to")
    assert editor.marks("dgls.remainder") == [(1, 13, "tal + 1\n    # done")]
    editor.keys("X")
    assert editor.marks("dgls.remainder") == []


def test_accept_right_after_typing_inserts_no_text_twice(start: Open) -> None:
    editor = in_body(start)
    editor.until(lambda: editor.ghost() == FILL)
    editor.keys("ret")
    editor.keys("<Tab>")
    editor.until(lambda: editor.text() == FILLED)


def test_accept_after_contradicting_text_changes_nothing(start: Open) -> None:
    editor = in_body(start)
    editor.until(lambda: editor.ghost() == FILL)
    editor.keys("if")
    editor.keys("<Tab>")
    editor.settle()
    assert editor.text()[1] == "    if"


def test_typing_the_suggestion_sends_the_engine_one_request(start: Open) -> None:
    editor = in_body(start)
    editor.until(lambda: editor.ghost() == FILL)
    editor.type("return")
    editor.until(lambda: editor.ghost() == " total + 1\n    # done")
    time.sleep(0.6)
    assert editor.ghost() == " total + 1\n    # done"
    assert len(editor.entries("infill")) == 1


def test_accept_on_a_blank_line_replaces_its_blanks(start: Open) -> None:
    editor = start(script={"texts": ["return total"]})
    editor.open("a.py", "def f(total):\n        \n\n\nx = 1\n")
    editor.at(2, 4)
    editor.keys("i")
    editor.until(lambda: editor.ghost() == "return total")
    editor.keys("ret<Tab>")
    editor.until(lambda: editor.text()[1] == "    return total")


def test_tab_without_a_suggestion_inserts_a_tab(start: Open) -> None:
    editor = start(script={"texts": [FILL], "confidence": 0.0})
    editor.open("a.py", TEXT)
    editor.nvim.command("set noexpandtab shiftwidth=8")
    editor.at(5, 0)
    editor.keys("A<Tab>")
    assert editor.text()[4] == "x = 1\t"


def test_fast_typing_leaves_one_request_running(start: Open) -> None:
    editor = in_body(start, script={"texts": [FILL], "steps": 60, "step_ms": 20})
    for word in ("a = ", "b + ", "c(d", ", e"):
        editor.type(word, 0.03)
        time.sleep(0.25)  # Neovim sends a request 200 ms after the last key, and cancels none
    editor.until(lambda: len(editor.entries("done")) == 1)
    begun, cancelled = len(editor.entries("infill")), len(editor.entries("cancelled"))
    assert begun > 1
    assert cancelled == begun - 1


def test_escape_cancels_the_request(start: Open) -> None:
    editor = in_body(start, script={"texts": [FILL], **SLOW})
    editor.until(lambda: editor.entries("infill"))
    editor.keys("<Esc>")
    editor.until(lambda: editor.entries("cancelled"))
    editor.until(lambda: editor.statusline() == "dgls")
    assert editor.ghost() == ""
    assert editor.entries("done") == []


def test_accept_in_a_line_with_emoji_inserts_at_the_cursor(start: Open) -> None:
    editor = start(script={"texts": ['"😀é", total)']})
    editor.open("a.py", 'def f(total):\n    s = "😀ü"; print(\n')
    editor.at(2, 0)
    editor.keys("A")
    editor.until(editor.ghost)
    assert editor.ghost() == '"😀é", total)'
    for accepted, rest in (('"', '😀é", total)'), ('"😀é', '", total)')):
        editor.keys("<M-w>")
        editor.until(lambda accepted=accepted: editor.text()[1] == '    s = "😀ü"; print(' + accepted)
        assert editor.ghost() == rest
    editor.keys("<Tab>")
    editor.until(lambda: editor.text()[1] == '    s = "😀ü"; print("😀é", total)')
    assert editor.cursor()[1] == len(editor.text()[1].encode())


def test_accept_in_a_crlf_file_keeps_crlf(start: Open) -> None:
    editor = start(script={"texts": [FILL]})
    path = editor.open("a.py", TEXT.replace("\n", "\r\n"))
    assert editor.lua("return vim.bo.fileformat") == "dos"
    editor.at(2, 0)
    editor.keys("A")
    editor.until(lambda: editor.ghost() == FILL)
    editor.keys("<Tab>")
    editor.until(lambda: editor.text() == FILLED)
    editor.keys("<Esc>:write<CR>")
    assert path.read_bytes() == "\r\n".join([*FILLED, ""]).encode()


def test_suggestion_with_tabs_shows_blanks(start: Open) -> None:
    editor = start(script={"texts": ["a()\n\tb()\n\tc()"]})
    editor.open("a.go", "package a\n\nfunc f() {\n\t\n}\n")
    editor.nvim.command("set tabstop=4")
    editor.at(4, 0)
    editor.keys("A")
    editor.until(editor.ghost)
    editor.keys("<M-l>")
    editor.until(lambda: editor.marks("dgls.remainder"))
    assert editor.ghost() == "\n    b()\n    c()"


def test_pause_of_some_minutes_ends_by_itself(start: Open) -> None:
    editor = in_body(start)
    editor.keys("<Esc>:Dgls pause 0.05<CR>")
    editor.until(lambda: editor.statusline() == "dgls: paused")
    editor.until(lambda: editor.statusline() == "dgls")
    editor.keys("A")
    editor.until(editor.ghost)


@pytest.mark.parametrize("paused", [True, False])
def test_pause_stops_suggestions_and_a_second_one_resumes(start: Open, paused: bool) -> None:
    editor = in_body(start)
    editor.until(editor.ghost)
    editor.keys("<Esc>:Dgls pause<CR>")
    editor.until(lambda: editor.statusline() == "dgls: paused")
    if not paused:
        editor.keys(":Dgls pause<CR>")
        editor.until(lambda: editor.statusline() == "dgls")
    editor.keys("A")
    if paused:
        editor.never(editor.ghost)
    else:
        editor.until(editor.ghost)
