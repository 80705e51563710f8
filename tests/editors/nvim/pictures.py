"""Makes the README's pictures: `python -m tests.editors.nvim.pictures`. A real Neovim on the small model.

The scenes are ordinary files of a beginner's size. They show what the model typically does well, not its best: it gets
about half of such lines right, and nothing is drawn twice for a better text. Where a scene went wrong, another ordinary
one took its place.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from dgls_engine.weights.small import small_folder
from tests.editors.nvim.editor import PLUGIN, Editor
from tests.editors.nvim.neovim import find_or_fetch
from tests.editors.nvim.screenshot import grid, svg
from tests.editors.nvim.test_nvim_action import BAR, draft_levels
from tests.small.fetched import MISSING

STACK = '''class Stack:
    """The last that comes in is the first that goes out."""

    def __init__(self):
        self.items = []

    def push(self, item):
        self.items.append(item)

    def pop(self):
        return self.items.pop()

    def is_empty(self):
        pass

    def __len__(self):
        return len(self.items)
'''
POP, EMPTY = 11, 14
LOOK = r"""
vim.o.statusline = " %t %m%=%{v:lua.require'dgls'.statusline()} "
vim.o.ruler, vim.o.showcmd, vim.o.laststatus = false, false, 2
"""
UNHURRIED = {"model": "small", "inlineCompletion": {"deadlineMs": 15_000}}
"""The deadline of a slow machine; all else is the default, so the suggestion comes unasked."""


def main() -> int:
    if small_folder() is None:
        print(MISSING, file=sys.stderr)
        return 1
    nvim = find_or_fetch()
    for name, show in (("suggestion", _suggestion), ("denoising", _denoising), ("preview", _preview)):
        with tempfile.TemporaryDirectory() as folder:
            editor = Editor(nvim, Path(folder), settings=UNHURRIED, after=LOOK, columns=76, lines=24)
            editor.open("stack.py", STACK)
            show(editor)
            target = PLUGIN / "media" / f"{name}.svg"
            target.parent.mkdir(exist_ok=True)
            target.write_text(svg(grid(editor), cursor=editor.mode() == "i"))
            print(f"{target}\n{editor.screen()}")
            editor.close()
    return 0


def _suggestion(editor: Editor) -> None:
    editor.at(EMPTY, 0)
    editor.keys("S")
    editor.type("return ", 0.05)
    editor.until(editor.ghost)


def _denoising(editor: Editor) -> None:
    """A draft half-way, whose tokens differ in how sure the model is of them."""
    editor.at(EMPTY, 8)
    editor.keys(":Dgls fill<CR>")
    editor.until(lambda: len(draft_levels(editor)) >= 2)


def _preview(editor: Editor) -> None:
    """A wrong name, refined."""
    editor.nvim.api.buf_set_lines(0, POP - 1, POP, True, ["        return self.item.pop()"])
    editor.at(POP, 0)
    editor.keys("V:Dgls refine<CR>")
    editor.until(lambda: editor.lua(BAR))


if __name__ == "__main__":
    sys.exit(main())
