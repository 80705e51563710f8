"""Next edits in a real Neovim: shown after an edit, jumped to, applied, dismissed, dropped; quiet by default."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tests.editors.nvim.conftest import Open
from tests.editors.nvim.editor import Mark
from tests.editors.nvim.screenshot import grid

if TYPE_CHECKING:
    from tests.editors.nvim.editor import Editor

TEXT = "def area(w, height):\n    double = 2 * w\n    print(double)\n    return w * height\n"
RENAMED = TEXT.replace("w,", "width,")
FAR = TEXT.replace("2 * w", "2").replace("    return", "    print(double)\n" * 60 + "    return")
SCRIPT = {"confidence": 0.0}
ON = {"nextEdit": True}
SECOND, FOURTH = [(1, 17, ""), (1, 18, " width")], [(3, 11, ""), (3, 12, " width")]
"""What is shown of the places in the second and in the fourth line."""
SIGN = """
vim.keymap.set('n', '<Tab>', function()
  if not require('dgls').accept_next_edit() then return '<Tab>' end
end, { expr = true })
vim.keymap.set('n', '<Esc>', function()
  if not require('dgls').dismiss_next_edit() then return '<Esc>' end
end, { expr = true })
"""


def renaming(start: Open, text: str = TEXT, settings: Mapping[str, object] = ON, before: str = "") -> Editor:
    """An editor in which the parameter `w` of the first line was just made `width`."""
    editor = start(script=SCRIPT, settings=settings, after=SIGN, before=before)
    editor.open("a.py", text)
    editor.at(1, 9)
    editor.type("ciwwidth<Esc>")
    return editor


def marks(editor: Editor) -> list[Mark]:
    return editor.marks("dgls.next_edit")


def struck(editor: Editor) -> str:
    screen = grid(editor)
    cells = [cell for row in screen.rows for cell in row]
    return "".join(text for text, look in cells if screen.looks.get(look, {}).get("strikethrough"))


def test_next_edit_after_a_rename_is_jumped_to_and_applied_to_the_last(start: Open) -> None:
    editor = renaming(start)
    editor.until(lambda: marks(editor) == SECOND)
    assert "double = 2 * w width\n" in editor.screen()
    assert struck(editor) == "w"
    assert editor.text() == RENAMED.splitlines()
    editor.keys("<Tab>")
    editor.until(lambda: editor.cursor() == (2, 17))
    editor.keys("<Tab>")
    editor.until(lambda: marks(editor) == FOURTH)
    assert editor.text()[1] == "    double = 2 * width"
    editor.keys("<Tab>")
    editor.until(lambda: editor.cursor() == (4, 11))
    editor.keys("<Tab>")
    editor.until(lambda: editor.text()[3] == "    return width * height")
    editor.never(lambda: marks(editor))
    editor.keys("u")
    assert editor.text()[3] == "    return w * height"
    assert editor.text()[1] == "    double = 2 * width"
    editor.never(lambda: marks(editor), within=1)


def test_next_edit_by_default_is_proposed_only_when_asked(start: Open) -> None:
    editor = renaming(start, settings={})
    editor.never(lambda: marks(editor), within=1)
    editor.keys(":Dgls next<CR>")
    editor.until(lambda: marks(editor) == SECOND)
    editor.keys(":Dgls next<CR>")
    editor.until(lambda: editor.cursor() == (2, 17))
    editor.lua("require('dgls').next_edit()")
    editor.until(lambda: editor.text()[1] == "    double = 2 * width")


def test_next_edit_switched_off_in_the_plugin_leaves_it_to_others(start: Open) -> None:
    editor = renaming(start, before="vim.g.dgls = { next_edit = false }")
    editor.never(lambda: marks(editor), within=1)


def test_next_edit_dismissed_is_not_proposed_again(start: Open) -> None:
    editor = renaming(start)
    editor.until(lambda: marks(editor) == SECOND)
    editor.keys("<Esc>")
    editor.until(lambda: not marks(editor))
    editor.keys(":Dgls next<CR>")
    editor.until(lambda: marks(editor) == FOURTH)
    editor.keys(":Dgls next dismiss<CR>")
    editor.until(lambda: not marks(editor))
    editor.keys(":Dgls next dismiss<CR>")
    editor.until(lambda: "there is no next edit to dismiss" in editor.messages())


def test_next_edit_is_dropped_by_typing_and_asked_for_when_the_cursor_leaves_the_line(start: Open) -> None:
    editor = renaming(start)
    editor.until(lambda: marks(editor) == SECOND)
    editor.keys("a2")
    editor.until(lambda: not marks(editor))
    editor.keys("<Down>")
    editor.until(lambda: marks(editor) == [(1, 17, ""), (1, 18, " width2")])


def test_next_edit_out_of_sight_has_a_hint(start: Open) -> None:
    editor = renaming(start, FAR)
    editor.until(lambda: (0, 0, "  next edit: line 64") in marks(editor))
    editor.keys("<Tab>")
    editor.until(lambda: editor.cursor() == (64, 11))
    editor.until(lambda: marks(editor) == [(63, 11, ""), (63, 12, " width")])
    editor.keys("<Tab>")
    editor.until(lambda: editor.text()[63] == "    return width * height")
    editor.keys("<C-o>")
    assert editor.cursor()[0] == 1


def test_next_edit_in_another_file_is_named_and_jumped_to(start: Open) -> None:
    editor = start(script=SCRIPT, settings=ON, after=SIGN)
    other = editor.open("b.py", "from a import area\n\nprint(area(1))\n")
    editor.open("a.py", "def area(w):\n    return w\n")
    editor.nvim.command(f"cd {editor.folder}")
    editor.at(1, 4)
    editor.type("ciwsurface<Esc>")
    editor.until(lambda: (0, 0, "  next edit: b.py, line 1") in marks(editor))
    editor.keys("<Tab>")
    editor.until(lambda: editor.nvim.api.buf_get_name(0) == str(other))
    editor.keys("<Tab>")
    editor.until(lambda: editor.text()[0] == "from a import surface")


def test_next_edit_without_one_says_why_and_the_key_is_itself(start: Open) -> None:
    editor = start(script=SCRIPT, settings=ON, after=SIGN)
    editor.open("a.py", "total = 1\n")
    editor.at(1, 8)
    editor.type("a2<Esc>")
    editor.keys(":Dgls next<CR>")
    editor.until(lambda: "dgls has no next edit: the last edit concerns no other place" in editor.messages())
    assert not editor.lua("return require('dgls').accept_next_edit()")
    assert not editor.lua("return require('dgls').dismiss_next_edit()")


def test_next_list_puts_all_places_into_the_quickfix_list(start: Open) -> None:
    editor = start(script=SCRIPT, settings={})
    editor.open("b.py", "from a import area\n\nprint('😀', area(1))\n")
    editor.open("a.py", "def area(w):\n    return w\n")
    editor.at(1, 4)
    editor.type("ciwsurface<Esc>")
    editor.keys(":Dgls next list<CR>")
    editor.until(lambda: editor.nvim.funcs.getqflist())
    listed = editor.lua("return vim.fn.getqflist({ title = 1, items = 1, winid = 1 })")
    names = [editor.nvim.funcs.bufname(each["bufnr"]).rpartition("/")[2] for each in listed["items"]]
    places = [(each["lnum"], each["col"], each["text"]) for each in listed["items"]]
    assert list(zip(names, places, strict=True)) == [
        ("b.py", (1, 15, "from a import area  → surface")),
        ("b.py", (3, 15, "print('😀', area(1))  → surface")),
    ]
    assert listed["title"] == "dgls: places that the last edit concerns"
    assert listed["winid"] == editor.nvim.current.window.handle
    editor.keys("<CR>")
    editor.until(lambda: editor.cursor() == (1, 14))


def test_next_list_without_places_says_so(start: Open) -> None:
    editor = start(script=SCRIPT, settings={})
    editor.open("a.py", "total = 1\n")
    editor.keys(":Dgls next list<CR>")
    editor.until(lambda: "the last edit concerns no other place" in editor.messages())
    assert editor.nvim.funcs.getqflist() == []
