"""The server of the plugin in Neovim: state, restarts, `:checkhealth`, and a missing server."""

from __future__ import annotations

from pathlib import Path

import psutil

from tests.editors.nvim.conftest import Open
from tests.editors.nvim.editor import PLUGIN, Editor

TEXT = "def f(total):\n    \n"
WIDE = 250
"""Columns, enough for Neovim's own message about a server that ended."""


def servers(editor: Editor) -> list[psutil.Process]:
    children = psutil.Process(editor.lua("return vim.fn.getpid()")).children(recursive=True)
    running = [child for child in children if child.status() != psutil.STATUS_ZOMBIE]
    return [child for child in running if any("fake_server.py" in part for part in child.cmdline())]


def test_statusline_shows_the_state_of_the_server(start: Open, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    editor = start(script={"gate": str(gate), "steps": 300, "step_ms": 10})
    editor.nvim.command("set statusline=%{v:lua.require'dgls'.statusline()}")
    assert editor.statusline() == ""
    editor.open("a.py", TEXT, ready=False)
    editor.until(lambda: "dgls: loading" in editor.screen())
    gate.touch()
    editor.until(lambda: editor.screen().split("\n")[-2].strip() == "dgls")
    editor.at(2, 0)
    editor.keys("A")
    editor.until(lambda: "dgls: working" in editor.screen())
    editor.keys("<Esc>")
    editor.until(lambda: editor.statusline() == "dgls")
    editor.keys(":Dgls status<CR>")
    editor.until(lambda: "dgls: ready, fake embedded on cpu" in editor.screen())


def test_failed_model_shows_advice(start: Open) -> None:
    editor = start(script={"fails": "No model of that name: try another"})
    editor.open("a.py", TEXT, ready=False)
    editor.until(lambda: editor.statusline() == "dgls: failed")
    editor.keys("<CR>:Dgls status<CR>")
    editor.until(lambda: "try another" in editor.screen())


def test_model_is_taken_by_name_or_from_a_list(start: Open) -> None:
    editor = start(script={}, columns=WIDE)
    editor.open("a.py", TEXT)

    def status() -> str:
        return str(editor.lua("return require('dgls.status').long(0)"))

    assert editor.lua("return vim.fn.getcompletion('Dgls model e', 'cmdline')") == ["embedded"]
    editor.keys(":Dgls model other<CR>")
    editor.until(lambda: "ready, fake other" in status())
    editor.lua(
        "vim.ui.select = function(items, options, take) _G.offered = options.format_item(items[1]); take(items[1]) end"
    )
    editor.keys(":Dgls model<CR>")
    editor.until(lambda: "ready, fake embedded" in status())
    assert str(editor.lua("return _G.offered")).startswith("embedded (")


def test_killed_server_is_restarted(start: Open) -> None:
    editor = start(script={"texts": ["return total"]}, columns=WIDE)
    editor.open("a.py", TEXT)
    (process,) = servers(editor)
    process.kill()
    process.wait(timeout=20)
    editor.until(lambda: servers(editor) and editor.statusline() == "dgls")
    editor.at(2, 0)
    editor.keys("A")
    editor.until(lambda: editor.ghost() == "return total")


def test_server_killed_during_an_action_leaves_no_draft(start: Open) -> None:
    editor = start(script={"steps": 500, "step_ms": 10}, columns=WIDE)
    editor.open("a.py", "def f():\n    pass\n")
    editor.at(2, 4)
    editor.keys(":Dgls fill<CR>")
    editor.until(lambda: editor.marks("dgls.drafts"))
    servers(editor)[0].kill()
    editor.until(lambda: not editor.marks("dgls.drafts"))
    editor.until(lambda: editor.statusline() == "dgls")
    assert editor.text() == ["def f():", "    pass"]


def test_server_that_keeps_crashing_is_not_restarted(start: Open) -> None:
    editor = start(command=["false"], before="vim.o.messagesopt = 'wait:0,history:500'")  # else Neovim waits for Enter
    editor.open("a.py", TEXT, ready=False)
    editor.until(lambda: "the server keeps ending" in editor.messages())


def test_stopped_server_stays_stopped(start: Open) -> None:
    editor = start(script={})
    editor.open("a.py", TEXT)
    editor.nvim.command("lsp disable dgls")
    editor.until(lambda: not servers(editor))
    editor.never(lambda: servers(editor))
    assert editor.statusline() == ""
    editor.keys(":Dgls fill<CR>")
    editor.until(lambda: "no server is attached" in editor.messages())


def test_checkhealth_with_the_embedded_model_is_ok(start: Open) -> None:
    editor = start(after="")
    editor.open("a.py", TEXT)
    editor.nvim.command("checkhealth dgls")
    report = "\n".join(editor.text())
    assert "❌" not in report
    for part in ("OK Neovim 0.", "doctor` says", "OK Enabled for", "embedded on cpu, ready", "<Tab> is not mapped"):
        assert part in report


def test_checkhealth_without_a_server_shows_advice(start: Open) -> None:
    editor = start(command=["no-such-dgls", "serve"])
    editor.nvim.command("checkhealth dgls")
    report = "\n".join(editor.text())
    assert "`no-such-dgls` is not executable" in report
    assert "make setup" in report


def test_log_opens_at_the_last_line_of_the_server(start: Open) -> None:
    editor = start(script={})
    editor.open("a.py", TEXT)
    editor.keys(":Dgls log<CR>")
    assert editor.nvim.api.buf_get_name(0).endswith("lsp.log")


def test_help_opens(start: Open) -> None:
    editor = start(script={})
    editor.nvim.command(f"helptags {PLUGIN / 'doc'}")
    (PLUGIN / "doc" / "tags").unlink()
    editor.nvim.command(f"view {PLUGIN / 'doc' / 'dgls.txt'}")
    tags = {word.strip("*") for line in editor.text() for word in line.split() if word.startswith("*")}
    assert {"dgls.txt", ":Dgls", "dgls-mappings"} <= tags
    commands = set(editor.lua("return vim.fn.getcompletion('Dgls ', 'cmdline')"))
    assert {f":Dgls-{command}" for command in commands} <= tags


def test_plugin_in_an_older_neovim_shows_a_warning(start: Open) -> None:
    """`has` stands in for a Neovim before 0.12."""
    editor = start(before="vim.fn.has = function() return 0 end", after="", script={})
    assert "dgls needs Neovim 0.12" in editor.messages()
    assert editor.lua("return vim.fn.exists(':Dgls')") == 0


def test_plugin_maps_no_keys(start: Open) -> None:
    """The mappings with and without the plugin are the same."""
    mapped = """
        local found = {}
        for _, mode in ipairs({ 'n', 'i', 'x', 'o', 's', 'c', 't' }) do
          for _, map in ipairs(vim.api.nvim_get_keymap(mode)) do found[#found + 1] = mode .. map.lhs end
        end
        return found
    """
    with_plugin = start(script={}, after="")
    without = start(script={}, before="vim.g.loaded_dgls = true", after="vim.lsp.enable('dgls', false)")
    assert with_plugin.lua(mapped) == without.lua(mapped)


def test_quitting_the_editor_ends_the_server(start: Open) -> None:
    editor = start(script={})
    editor.open("a.py", TEXT)
    (process,) = servers(editor)
    editor.close()
    process.wait(timeout=20)
