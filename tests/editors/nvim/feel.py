"""Measures latency in Neovim: `python -m tests.editors.nvim.feel`. The last line is JSON.

The model is the small one, or the embedded one where that is missing, as for a person without settings.

First, from keystroke to ghost text at places in one of our source files, with every suggestion shown. This includes the
200 ms that Neovim waits before it sends a request. Then 60 letters at 10 a second: the delay of Neovim's loop with and
without the plugin, and the number of fills at a time. All times are taken inside Neovim or inside the server.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from dgls_engine.weights.auto import AUTO, resolved
from tests.editors.nvim.editor import REPO, Editor
from tests.editors.nvim.neovim import NoNeovim, find_or_fetch

SOURCE = REPO / "dgls" / "code" / "document.py"
PLACES, LETTERS, PAUSE_SECONDS = 40, 60, 0.1
SILENT_SECONDS = 4.0
SHOW_ALL = {"inlineCompletion": {"minConfidence": 0}}
"""Doubtful suggestions take the same time."""

TYPED = "result = collect(first, second) if first else combine(second)"

WATCH = """
local milliseconds = function() return vim.uv.hrtime() / 1e6 end
_G.seen = {}
vim.on_key(function() seen.key, seen.asked, seen.answered, seen.shown = milliseconds(), nil, nil, nil end)
vim.api.nvim_create_autocmd('LspRequest', { callback = function(event)
  local request = event.data.request
  if request.method ~= 'textDocument/inlineCompletion' then return end
  if request.type == 'pending' then seen.asked = milliseconds() end
  if request.type == 'complete' then seen.answered = milliseconds() end
end })
local function shown()
  local namespace = vim.api.nvim_get_namespaces()['nvim.lsp.inline_completion']
  for _, mark in ipairs(namespace and vim.api.nvim_buf_get_extmarks(0, namespace, 0, -1, { details = true }) or {}) do
    local text = (mark[4].virt_text or {})[1]
    if text and text[1] ~= '' then return true end
  end
  return false
end
_G.late, _G.last = {}, nil
vim.uv.new_timer():start(0, 2, function()
  local now = milliseconds()
  if last then late[#late + 1] = math.max(0, now - last - 2) end
  last = now
  vim.schedule(function()
    if seen.key and not seen.shown and shown() then seen.shown = milliseconds() end
  end)
end)
"""


def main() -> int:
    try:
        nvim = find_or_fetch()
    except NoNeovim as reason:
        print(f"SKIPPED: {reason}")
        return 0
    model = resolved(AUTO)
    results = {"model": model, **_ghost(nvim, model), **_typing(nvim, model)}
    for name, value in results.items():
        print(f"{name}: {value}")
    print(json.dumps(results))
    return 0


def _open(nvim: Path, folder: Path, model: str, **how: Any) -> tuple[Editor, Path]:
    journal = folder / "engine"
    journal.touch()
    server = [sys.executable, "-P", str(Path(__file__).with_name("counted_server.py")), str(journal)]
    return Editor(nvim, folder, command=server, settings={"model": model, **SHOW_ALL}, **how), journal


def _ghost(nvim: Path, model: str) -> dict[str, object]:
    rows = [line for line in enumerate(SOURCE.read_text().split("\n")) if _is_place(line[1])][:PLACES]
    times: dict[str, list[float]] = {"asked": [], "answered": [], "shown": []}
    with tempfile.TemporaryDirectory() as folder:
        editor, _ = _open(nvim, Path(folder), model)
        editor.open("document.py", SOURCE.read_text())
        editor.lua(WATCH)
        for row, line in rows:
            seen = _type_at(editor, row, line)
            if seen is not None:
                for name, since in (("asked", "key"), ("answered", "asked"), ("shown", "key")):
                    times[name].append(seen[name] - seen[since])
        editor.close()
    return {
        "places": len(rows),
        "silent": len(rows) - len(times["shown"]),
        **_shares("keystroke_to_ghost_ms", times["shown"]),
        **_shares("keystroke_to_request_ms", times["asked"]),
        **_shares("request_to_answer_ms", times["answered"]),
    }


def _is_place(line: str) -> bool:
    return line.lstrip().startswith(("return ", "if ", "for ")) or " = " in line


def _type_at(editor: Editor, row: int, line: str) -> dict[str, float] | None:
    """Delete the last two thirds of the line, type the next letter, wait, and undo."""
    kept = max(len(line) - len(line.lstrip()) + 2, len(line) // 3)
    editor.keys("<Esc>")
    editor.nvim.api.buf_set_lines(0, row, row + 1, True, [line[:kept]])
    editor.nvim.api.win_set_cursor(0, (row + 1, kept))
    editor.keys("A")
    time.sleep(1.0)  # do not measure the request that Insert mode triggers
    editor.nvim.input(line[kept] if line[kept] != "<" else "<lt>")
    deadline = time.monotonic() + SILENT_SECONDS
    seen: dict[str, float] = {}
    while time.monotonic() < deadline and not {"asked", "answered", "shown"} <= seen.keys():
        time.sleep(0.02)
        seen = dict(editor.lua("return seen"))
    editor.keys("<Esc>")
    editor.nvim.api.buf_set_lines(0, row, row + 1, True, [line])
    # The rest of a suggestion is shown before any request.
    return seen if {"asked", "answered", "shown"} <= seen.keys() and seen["shown"] >= seen["answered"] else None


def _typing(nvim: Path, model: str) -> dict[str, object]:
    results: dict[str, object] = {}
    for name, after in (("without", "vim.lsp.enable('dgls', false)"), ("with", "")):
        with tempfile.TemporaryDirectory() as folder:
            editor, journal = _open(nvim, Path(folder), model, after=after)
            editor.open("a.py", "def f(first, second):\n    \n", ready=name == "with")
            editor.lua(WATCH)
            editor.at(2, 4)
            editor.keys("A")
            editor.lua("late = {}")
            for letter in TYPED[:LETTERS]:
                editor.nvim.input(letter)
                time.sleep(PAUSE_SECONDS)
            late = [float(each) for each in editor.lua("return late")]
            time.sleep(1.0)
            editor.close()
            results |= {
                f"event_delay_{name}_plugin_p99_ms": _at(late, 99),
                f"event_delay_{name}_plugin_max_ms": _at(late, 100),
            }
            if name == "with":
                results |= _at_work(journal)
    return results


def _at_work(journal: Path) -> dict[str, object]:
    running = most = begun = 0
    for line in journal.read_text().splitlines():
        begins = json.loads(line)["event"] == "begin"
        running += 1 if begins else -1
        begun, most = begun + begins, max(most, running)
    return {"letters": LETTERS, "engine_requests": begun, "engine_requests_at_once": most, "left_running": running}


def _shares(name: str, times: list[float]) -> dict[str, object]:
    return {f"{name}_p50": _at(times, 50), f"{name}_p90": _at(times, 90)}


def _at(times: list[float], percent: int) -> float | None:
    if len(times) < 2:
        return None
    if percent == 100:
        return round(max(times), 1)
    return round(statistics.quantiles(times, n=100, method="inclusive")[percent - 1], 1)


if __name__ == "__main__":
    sys.exit(main())
