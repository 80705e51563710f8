"""These tests run by `make e2e-nvim` alone, which says what Neovim to use: they take minutes, and need one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

if "DGLS_E2E_NVIM" in os.environ:
    from tests.editors.nvim.editor import Editor
else:
    collect_ignore_glob = ["test_*.py"]

Open = Callable[..., "Editor"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Open]:
    """Start an editor; it ends with the test."""
    started: list[Editor] = []

    def run(**how: object) -> Editor:
        editor = Editor(Path(os.environ["DGLS_E2E_NVIM"]), tmp_path, **how)  # type: ignore[arg-type]
        started.append(editor)
        return editor

    yield run
    for editor in started:
        editor.close()
