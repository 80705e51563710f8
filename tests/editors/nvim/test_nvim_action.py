"""Rewriting, refining and filling in Neovim: preview, drafts and edits."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.editors.nvim.conftest import Open

if TYPE_CHECKING:
    from tests.editors.nvim.editor import Editor

TEXT = 'FACE = "😀"\n\n\ndef f(values):\n    total = sum(values)\n    return total\n\n\ndef g():\n    pass\n'
REWRITTEN = "result = sum(values) + 1\n    log(result)\n    return result"
AGAIN = "return sum(values)"
SCRIPT = {"texts": [REWRITTEN, AGAIN], "instructed": True}
SLOW = {"steps": 400, "step_ms": 10}
LINES = TEXT.split("\n")[:-1]
CHANGED = [*LINES[:4], *("    " + REWRITTEN).split("\n"), *LINES[6:]]


def opened(start: Open, text: str = TEXT, script: dict[str, object] | None = None, **how: object) -> Editor:
    editor = start(script={**SCRIPT, **(script or {})}, **how)
    editor.open("a.py", text)
    editor.at(5, 0)
    return editor


def previewed(editor: Editor, keys: str = "Vj:Dgls rewrite simplify this<CR>") -> None:
    editor.keys(keys)
    editor.until(lambda: editor.lua(BAR))


BAR = """
for _, win in ipairs(vim.api.nvim_list_wins()) do
  local marks = vim.api.nvim_buf_get_extmarks(vim.api.nvim_win_get_buf(win),
    vim.api.nvim_create_namespace('dgls.preview'), 0, -1, { details = true })
  if vim.api.nvim_win_get_config(win).relative ~= '' and marks[1] then
    return vim.trim(table.concat(vim.tbl_map(function(chunk) return chunk[1] end, marks[1][4].virt_text)))
  end
end
return ''
"""


def draft_levels(editor: Editor) -> set[str]:
    """The highlight groups of the draft on the screen."""
    groups = editor.lua(
        """
        local drafts = vim.api.nvim_create_namespace('dgls.drafts')
        local groups = {}
        for _, mark in ipairs(vim.api.nvim_buf_get_extmarks(0, drafts, 0, -1, { details = true })) do
          for _, line in ipairs(mark[4].virt_lines or {}) do
            for _, chunk in ipairs(line) do groups[#groups + 1] = chunk[2] end
          end
        end
        return groups
        """
    )
    return {group for group in groups if group.startswith("DglsDraft")}


def test_rewrite_accepted_in_the_preview_is_one_undo_step(start: Open) -> None:
    editor = opened(start)
    previewed(editor)
    assert editor.lua(BAR) == "dgls 1/1  -2 +3  a accept  d discard  r again"
    screen = [line.rstrip() for line in editor.screen().split("\n")]
    for line in ("    total = sum(values)", "    return total", *CHANGED[4:7]):
        assert line in screen
    (asked,) = editor.entries("infill")
    assert asked["instruction"] == "simplify this"
    assert asked["current"].strip() == "total = sum(values)\n    return total"
    editor.keys("a")
    assert editor.text() == CHANGED
    assert editor.lua(BAR) == ""
    assert editor.marks("dgls.preview") == []
    editor.keys("u")
    assert editor.text() == LINES


def test_discard_leaves_the_document_unchanged(start: Open) -> None:
    editor = opened(start)
    tick = editor.lua("return vim.b.changedtick")
    for key in ("d", "q", "<Esc>", ":quit<CR>"):
        previewed(editor)
        editor.keys(key)
        editor.until(lambda: editor.lua(BAR) == "")
        assert editor.marks("dgls.preview") == []
        assert editor.lua("return #vim.api.nvim_list_wins()") == 1
    assert editor.text() == LINES
    assert editor.lua("return vim.b.changedtick") == tick


def test_again_adds_a_candidate_and_keeps_the_first(start: Open) -> None:
    editor = opened(start)
    previewed(editor)
    editor.keys("r")
    editor.until(lambda: editor.lua(BAR).startswith("dgls 2/2  -2 +1"))
    editor.keys("n")
    assert editor.lua(BAR).startswith("dgls 1/2  -2 +3")
    editor.keys("n<CR>")
    assert editor.text() == [*LINES[:4], "    " + AGAIN, *LINES[6:]]


def test_rewrite_of_a_selection_within_a_line_changes_only_that(start: Open) -> None:
    editor = opened(start, TEXT.replace("sum(values)", 'sum("é😀é")'), {"texts": ["max(values)"]})
    editor.at(5, 12)
    previewed(editor, "v$h:Dgls rewrite<CR>")
    (asked,) = editor.entries("infill")
    assert asked["current"] == 'sum("é😀é")'
    assert asked["instruction"] == ""
    editor.keys("a")
    assert editor.text()[4] == "    total = max(values)"


def test_rewrite_of_the_last_line_keeps_crlf(start: Open) -> None:
    editor = start(script=SCRIPT)
    path = editor.open("a.py", TEXT.replace("\n", "\r\n").encode())
    editor.at(5, 0)
    previewed(editor, "Vj:Dgls rewrite<CR>")
    editor.keys("a:write<CR>")
    assert path.read_bytes() == "\r\n".join([*CHANGED, ""]).encode()


def test_refine_takes_the_strengths_that_the_server_names(start: Open) -> None:
    editor = opened(start, script={"corrected": {"sum": "max"}})
    editor.keys(":Dgls refine much<CR>")
    assert "refine takes one of lightly, more, heavily; not much" in editor.messages()
    assert editor.lua("return vim.fn.getcompletion('Dgls refine ', 'cmdline')") == ["lightly", "more", "heavily"]
    previewed(editor, ":Dgls refine heavily<CR>")
    editor.keys("a")
    assert editor.text()[4] == "    total = max(values)"


def test_preview_after_the_cursor_moved_takes_no_keys(start: Open) -> None:
    editor = opened(start, script={"steps": 30, "step_ms": 20})
    editor.keys("Vj:Dgls rewrite<CR>")
    editor.keys("gg")
    editor.until(lambda: editor.lua(BAR))
    editor.keys("jd0")
    assert editor.cursor()[0] == 2
    assert "a rewrite waits for :Dgls accept, discard or again" in editor.messages()
    editor.keys(":Dgls accept<CR>")
    assert editor.text() == CHANGED


def test_change_during_a_preview_ends_it(start: Open) -> None:
    editor = opened(start)
    previewed(editor)
    editor.keys("<C-w>p")
    editor.keys("ggx")
    editor.until(lambda: editor.lua(BAR) == "")
    editor.keys(":Dgls accept<CR>")
    assert "there is nothing to accept" in editor.messages()
    assert editor.text()[1:] == LINES[1:]


def test_change_during_a_rewrite_ends_it(start: Open) -> None:
    editor = opened(start, script=SLOW)
    editor.keys("Vj:Dgls rewrite<CR>")
    editor.until(lambda: editor.marks("dgls.drafts"))
    editor.keys("ggx")
    editor.until(lambda: editor.entries("cancelled"))
    editor.until(lambda: editor.statusline() == "dgls")
    assert editor.lua(BAR) == ""
    assert editor.marks("dgls.drafts") == []


def test_discard_cancels_a_running_rewrite(start: Open) -> None:
    editor = opened(start, script=SLOW)
    editor.keys("Vj:Dgls rewrite<CR>")
    editor.until(lambda: editor.marks("dgls.drafts"))
    editor.keys(":Dgls discard<CR>")
    editor.until(lambda: editor.entries("cancelled"))
    editor.until(lambda: not editor.marks("dgls.drafts"))
    editor.until(lambda: editor.statusline() == "dgls")
    assert editor.text() == LINES
    assert "ERROR" not in editor.messages()


def test_drafts_are_coloured_by_certainty_and_disappear(start: Open) -> None:
    editor = opened(start, script={"steps": 40, "step_ms": 20})
    editor.at(10, 4)
    editor.keys(":Dgls fill<CR>")
    editor.until(lambda: editor.marks("dgls.drafts"))
    assert any(REWRITTEN in text for *_, text in editor.marks("dgls.drafts"))
    assert editor.statusline() == "dgls: working"
    assert draft_levels(editor) == {"DglsDraft5"}  # exp(-0.1): sure
    editor.until(lambda: editor.text()[9] == "    result = sum(values) + 1")
    assert editor.marks("dgls.drafts") == []
    editor.keys("u")
    assert editor.text() == LINES


def test_drafts_turned_off_are_not_shown(start: Open) -> None:
    editor = opened(start, script={"steps": 20, "step_ms": 20}, before="vim.g.dgls = { drafts = false }")
    editor.at(10, 4)
    editor.keys(":Dgls fill<CR>")
    editor.until(lambda: editor.statusline() == "dgls: working")
    while editor.text() == LINES:
        assert editor.marks("dgls.drafts") == []
        time.sleep(0.01)


def test_fill_all_fills_every_stub(start: Open) -> None:
    editor = opened(start, LINES[8] + "\n    pass\n\n\ndef h():\n    ...\n", {"texts": ["return 1"]})
    editor.keys("gg:Dgls fill all<CR>")
    editor.until(lambda: editor.text() == ["def g():", "    return 1", "", "", "def h():", "    return 1"])
    editor.keys("u")
    assert editor.text()[1] == "    pass"


def test_code_action_is_resolved_and_applied(start: Open) -> None:
    editor = opened(start, script={"texts": ["return 1"]})
    editor.at(10, 4)
    kinds = editor.lua(
        """
        local params = vim.lsp.util.make_range_params(0, 'utf-8')
        params.context = { diagnostics = {}, triggerKind = 1 }
        local found = vim.lsp.buf_request_sync(0, 'textDocument/codeAction', params, 5000)
        return vim.tbl_map(function(action)
          return { action.title, action.kind, action.edit ~= nil }
        end, found[1].result)
        """
    )
    assert ["Fill here", "refactor.rewrite", False] in kinds
    editor.lua("vim.lsp.buf.code_action({ apply = true, filter = function(a) return a.title == 'Fill here' end })")
    editor.until(lambda: editor.text()[9] == "    return 1")
    editor.keys("u")
    assert editor.text() == LINES
    assert editor.mode() == "n"


def test_rewrite_with_an_instruction_on_a_model_without_them_says_so(start: Open) -> None:
    editor = opened(start, script={"instructed": False})
    editor.keys("Vj:Dgls rewrite simplify<CR>")
    editor.until(lambda: "takes no instructions" in editor.messages())
    assert editor.lua(BAR) == ""
