"""A real Neovim, driven over its RPC as a person would: keys in, and the screen, the ghost text and the buffer out.

It runs our plugin from this checkout with the real server, on a scripted engine or on a model.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pynvim

REPO = Path(__file__).resolve().parents[3]
PLUGIN = REPO / "editors" / "nvim"
PATIENCE_SECONDS = 60.0

TAB = """
vim.keymap.set('i', '<Tab>', function()
  if not require('dgls').accept() then return '<Tab>' end
end, { expr = true })
vim.keymap.set('i', '<M-w>', function() require('dgls').accept_word() end)
vim.keymap.set('i', '<M-l>', function() require('dgls').accept_line() end)
"""

Mark = tuple[int, int, str]
"""Row, column and text of ghost text."""


class Editor:
    """`script`: the script of the engine (tests/e2e/fake_server.py); without one, the model of the settings runs, by
    default the embedded one. Neovim's folders are its own; models come from the cache of this process.

    `settings` are the server's, `before` and `after` are Lua that runs before and after the plugin is set up.
    """

    def __init__(
        self,
        nvim: Path,
        folder: Path,
        *,
        script: dict[str, Any] | None = None,
        command: list[str] | None = None,
        settings: dict[str, Any] | None = None,
        before: str = "",
        after: str = TAB,
        columns: int = 90,
        lines: int = 24,
    ) -> None:
        self.folder = folder
        self.journal = folder / "journal"
        self._closed = False
        for name in ("config/nvim", "state", "data", "cache"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        if command is None:
            command = [sys.executable, "-P", "-m", "dgls", "serve"]
        if script is not None:
            engine_script = json.dumps({"journal": str(self.journal), **script})
            command = [sys.executable, "-P", str(REPO / "tests" / "e2e" / "fake_server.py"), engine_script]
        models = os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))
        config = {
            "cmd": command,
            "cmd_env": {"PYTHONPATH": str(REPO), "OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": models},
            "settings": {"dgls": {"model": "embedded", **(settings or {})}},
        }
        init = folder / "config" / "nvim" / "init.lua"
        init.write_text(
            f"{before}\nvim.opt.rtp:prepend({json.dumps(str(PLUGIN))})\n"
            f"vim.lsp.config('dgls', vim.json.decode({json.dumps(json.dumps(config))}))\n"
            f"vim.lsp.enable('dgls')\n{after}\n"
        )
        variables = {f"XDG_{name.upper()}_HOME": str(folder / name) for name in ("config", "state", "data", "cache")}
        arguments = ["env", *(f"{name}={value}" for name, value in variables.items()), str(nvim), "--embed"]
        self.nvim = pynvim.attach("child", argv=arguments)
        self.nvim.ui_attach(columns, lines, rgb=True, ext_linegrid=True)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        with suppress(OSError, EOFError):
            self.nvim.command("qall!", async_=True)
        with suppress(OSError, EOFError):
            self.nvim.close()

    def lua(self, code: str, *arguments: object) -> Any:
        assert not self.nvim.api.get_mode()["blocking"], "a message is too long for the screen: Enter is wanted"
        return self.nvim.exec_lua(code, *arguments)

    def open(self, name: str, text: str | bytes, ready: bool = True) -> Path:
        """Write a file, open it, and wait for the server."""
        path = self.folder / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        self.nvim.command(f"edit {path}")
        if ready:
            self.until(lambda: self.statusline() == "dgls")
        return path

    def keys(self, keys: str) -> None:
        """All at once, in Neovim's notation."""
        self.nvim.input(keys)
        self.settle()

    def type(self, text: str, pause: float = 0.02) -> None:
        """Key by key."""
        for key in re.findall(r"<[A-Za-z0-9-]+>|.", text, re.DOTALL):
            self.nvim.input(key if key != "\n" else "<CR>")
            time.sleep(pause)
        self.settle()

    def settle(self) -> None:
        """Wait until Neovim has handled the keys and all scheduled functions."""
        self.lua("return 0")

    def at(self, row: int, column: int) -> None:
        """Put the cursor, in Normal mode; rows from 1, columns in bytes from 0."""
        self.keys("<Esc>")
        self.nvim.api.win_set_cursor(0, (row, column))

    def text(self) -> list[str]:
        return list(self.nvim.api.buf_get_lines(0, 0, -1, True))

    def cursor(self) -> tuple[int, int]:
        row, column = self.nvim.api.win_get_cursor(0)
        return row, column

    def mode(self) -> str:
        return str(self.nvim.api.get_mode()["mode"])

    def marks(self, namespace: str) -> list[Mark]:
        found = self.lua(
            """
            local namespace = vim.api.nvim_get_namespaces()[...]
            local marks = {}
            for _, mark in ipairs(
              namespace and vim.api.nvim_buf_get_extmarks(0, namespace, 0, -1, { details = true }) or {}
            ) do
              local lines = { mark[4].virt_text or {}, unpack(mark[4].virt_lines or {}) }
              marks[#marks + 1] = { mark[2], mark[3], table.concat(vim.tbl_map(function(line)
                return table.concat(vim.tbl_map(function(chunk) return chunk[1] end, line))
              end, lines), '\\n') }
            end
            return marks
            """,
            namespace,
        )
        return [(row, column, text) for row, column, text in found]

    def ghost(self) -> str:
        """The ghost text: Neovim's own, or the plugin's rest of it."""
        marks = self.marks("nvim.lsp.inline_completion") + self.marks("dgls.remainder")
        return "|".join(text for *_, text in marks)

    def statusline(self) -> str:
        return str(self.lua("return require('dgls').statusline()"))

    def until(self, holds: Callable[[], object], within: float = PATIENCE_SECONDS) -> None:
        deadline = time.monotonic() + within
        while not holds():
            assert time.monotonic() < deadline, f"it never came:\n{self.screen()}\n{self.messages()}"
            time.sleep(0.01)

    def never(self, holds: Callable[[], object], within: float = 0.6) -> None:
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            assert not holds(), self.screen()
            time.sleep(0.01)

    def screen(self) -> str:
        self.nvim.command("redraw")
        rows = self.lua(
            """
            return vim.tbl_map(function(row)
              return table.concat(vim.tbl_map(function(column)
                return vim.fn.screenstring(row, column)
              end, vim.fn.range(1, vim.o.columns)))
            end, vim.fn.range(1, vim.o.lines))
            """
        )
        return "\n".join(row.rstrip() for row in rows)

    def messages(self) -> str:
        return str(self.lua("return vim.fn.execute('messages')"))

    def entries(self, event: str) -> list[dict[str, Any]]:
        """The requests that reached the scripted engine."""
        if not self.journal.exists():
            return []
        entries = [json.loads(line) for line in self.journal.read_text().splitlines()]
        return [entry for entry in entries if entry["event"] == event]
