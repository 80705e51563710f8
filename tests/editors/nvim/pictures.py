"""Makes the README's pictures: `python -m tests.editors.nvim.pictures`. A real Neovim on the embedded model."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.editors.nvim.editor import PLUGIN, Editor
from tests.editors.nvim.neovim import find_or_fetch
from tests.editors.nvim.screenshot import grid, svg
from tests.editors.nvim.test_nvim_action import BAR, draft_levels
from tests.editors.nvim.test_nvim_embedded import TEXT

LOOK = r"""
vim.o.statusline = " %t %m%=%{v:lua.require'dgls'.statusline()} "
vim.o.ruler, vim.o.showcmd, vim.o.laststatus = false, false, 2
"""


def main() -> int:
    nvim = find_or_fetch()
    for name, show in (("suggestion", _suggestion), ("denoising", _denoising), ("preview", _preview)):
        with tempfile.TemporaryDirectory() as folder:
            settings = {"inlineCompletion": {"minConfidence": 0}}
            editor = Editor(nvim, Path(folder), settings=settings, after=LOOK, columns=76, lines=24)
            editor.open("store.py", TEXT)
            show(editor)
            target = PLUGIN / "media" / f"{name}.svg"
            target.parent.mkdir(exist_ok=True)
            target.write_text(svg(grid(editor), cursor=editor.mode() == "i"))
            editor.close()
            print(target)
    return 0


def _suggestion(editor: Editor) -> None:
    editor.at(18, 0)
    editor.keys("S")
    editor.type("return ", 0.05)
    editor.until(editor.ghost)


def _denoising(editor: Editor) -> None:
    """A draft in which the model is sure of some tokens only."""
    editor.at(18, 8)
    editor.keys(":Dgls fill<CR>")
    editor.until(lambda: len(draft_levels(editor)) >= 4)


def _preview(editor: Editor) -> None:
    editor.at(13, 0)
    editor.keys("Vj:Dgls rewrite<CR>")
    editor.until(lambda: editor.lua(BAR))


if __name__ == "__main__":
    sys.exit(main())
