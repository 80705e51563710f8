"""The packages kept for evaluation: the embedded model never trains on them. Plain data.

The training code (`engine/dgls_training`) reads this list; nothing here imports the training code, which is not in the
wheel.
"""

from __future__ import annotations

HELD_OUT = frozenset(
    [
        *("anyio", "attrs", "cattrs", "click", "filelock", "h11", "httpcore", "httpcore2", "httpx", "httpx2", "idna"),
        *("iniconfig", "jinja2", "packaging", "pathspec", "platformdirs", "pluggy", "psutil", "pygls", "pytest-lsp"),
        *("rich", "shellingham", "tqdm", "typer"),
    ]
)
"""Normalised distribution names: the packages that resemble people's own code."""
