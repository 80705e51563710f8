"""`python -m tests.editors.nvim [pytest's arguments]`: the tests in a real Neovim; says why where there is none, and
fails there if DGLS_TESTS_NEED_EDITORS is set."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.editors.nvim.neovim import NoNeovim, find_or_fetch

UNCLOSED = ("-W", "ignore::ResourceWarning", "-W", "ignore::pytest.PytestUnraisableExceptionWarning")
"""pynvim closes neither the pipes of the Neovim that it starts, nor its own event loop."""


def main() -> int:
    try:
        os.environ["DGLS_E2E_NVIM"] = str(find_or_fetch())
    except NoNeovim as reason:
        print(f"SKIPPED: {reason}")
        return int("DGLS_TESTS_NEED_EDITORS" in os.environ)
    return int(pytest.main([str(Path(__file__).parent), *UNCLOSED, *sys.argv[1:]]))


if __name__ == "__main__":
    sys.exit(main())
