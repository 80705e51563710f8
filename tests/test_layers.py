"""What an import must not load. The order of the layers themselves is import-linter's affair (`make check`)."""

from __future__ import annotations

import subprocess
import sys

import pytest

TENSORS = ("torch", "transformers")
TERMINAL = (*TENSORS, "rich", "typer", "tree_sitter", "pygls")


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("dgls.server.lsp_server", (*TENSORS, "rich", "typer")),
        ("dgls.cli", TERMINAL),
        ("dgls.cli.infill", TENSORS),
        ("dgls.cli.evaluate", TENSORS),
        ("dgls_engine", TENSORS),
        ("dgls_engine.worker", TENSORS),
        ("dgls_engine.errors", TENSORS),
        ("dgls_engine.weights.hub", TENSORS),
        ("dgls_engine.profile", TENSORS),
    ],
)
def test_importing_stays_cheap(module: str, unwanted: tuple[str, ...]) -> None:
    program = f"import sys, {module}; print(*(set(sys.modules) & {set(unwanted)!r}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize("module", ["dgls.cli.evaluate", "dgls.cli.calibrate"])
def test_command_without_the_training_code_imports(module: str) -> None:
    """The wheel holds no `dgls_training`."""
    program = f"import sys; sys.modules['dgls_training'] = None; import {module}"
    subprocess.run([sys.executable, "-c", program], check=True)
