"""`dgls completion`: what the shells make of the scripts."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from dgls.cli.arguments import SHELLS
from tests.cli.conftest import Run

ASK = """
COMP_WORDS=({words}); COMP_CWORD={last}
_shtab_dgls
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        (["dgls", "inf"], ["infill"]),
        (["dgls", "models", "p"], ["pull"]),
        (["dgls", "eval", "--pol"], ["--policy"]),
        (["dgls", "infill", "--dtype", "bf"], ["bfloat16"]),
    ],
)
def test_bash_completes_commands_options_and_values(run: Run, typed: list[str], offered: list[str]) -> None:
    script = run("completion", "bash").out
    said = script + ASK.format(words=" ".join(typed), last=len(typed) - 1)
    outcome = subprocess.run(["bash", "--norc"], input=said, capture_output=True, text=True, check=True)
    assert outcome.stdout.split() == offered, outcome.stderr


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_gets_a_script(run: Run, shell: str) -> None:
    outcome = run("completion", shell)
    assert outcome.code == 0
    assert "infill" in outcome.out
