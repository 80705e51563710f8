"""Standard input instead of a file: the command prints the new text, like a formatter."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Pipe, Run, Scripted
from tests.cli.scripted import DIFF, NEW, SUMS, ScriptedEngine, drafted

REPO = Path(__file__).resolve().parents[2]


@pytest.fixture
def engine(scripted: Scripted) -> ScriptedEngine:
    return scripted(lambda _: ["return a + b"])


def test_rewrite_standard_input_prints_new_text(run: Run, engine: ScriptedEngine, pipe: Pipe) -> None:
    pipe(SUMS.encode())
    outcome = run("rewrite", "-:2-3", "--language", "python")
    assert (outcome.code, outcome.out) == (0, NEW)
    assert "1 hole" in outcome.err
    (request,) = engine.requests
    assert request.context.language == "python"


def test_rewrite_unchanged_standard_input_prints_it(run: Run, scripted: Scripted, pipe: Pipe) -> None:
    scripted(drafted)
    pipe(SUMS.encode())
    assert run("rewrite", "-:2-3", "--strength", 0.1, "--language", "python").out == SUMS


def test_rewrite_standard_input_with_diff_prints_diff(run: Run, engine: ScriptedEngine, pipe: Pipe) -> None:
    pipe(SUMS.encode())
    assert run("rewrite", "-:2-3", "--stdin-filename", "sums.py", "--diff").out == DIFF
    (request,) = engine.requests
    assert (request.context.path, request.context.language) == ("sums.py", "python")


@pytest.mark.parametrize(("option", "code"), [("--check", 1), ("--json", 0)])
def test_rewrite_standard_input_with_check_or_json_prints_no_text(
    run: Run, engine: ScriptedEngine, pipe: Pipe, option: str, code: int
) -> None:
    pipe(SUMS.encode())
    outcome = run("rewrite", "-:2-3", "--language", "python", option)
    assert outcome.code == code
    assert outcome.out.count("\n") == (option == "--json")


@pytest.mark.parametrize(
    ("content", "arguments", "expected"),
    [
        (b"", ["-:1", "--language", "python"], "standard input is empty"),
        (b"\x7fELF\0\0", ["-:1", "--language", "python"], "is a binary file"),
        (b"x\n", ["-:1"], "--stdin-filename"),
        (b"x\n", ["-:1", "--language", "klingon"], "'klingon' is no known language"),
        (b"x\n", ["-:1", "--language", "python", "--apply"], "--apply cannot write to standard input"),
        (b"x\n", ["-:9", "--language", "python"], "take lines from 1 to 2"),
    ],
)
def test_rewrite_unusable_standard_input_exits_2(
    run: Run, engine: ScriptedEngine, pipe: Pipe, content: bytes, arguments: list[str], expected: str
) -> None:
    pipe(content)
    outcome = run("rewrite", *arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert expected in outcome.err
    assert not engine.opened


def test_rewrite_in_pipe_with_embedded_model_changes_only_lines() -> None:
    """Checks only that the other lines stay: the model's text may change."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "dgls",
            "rewrite",
            "-:2-3",
            "--language",
            "python",
            "--seed",
            "1",
            "--steps",
            "4",
            "--model",
            "embedded",
        ],
        input=SUMS.encode(),
        capture_output=True,
        check=True,
        cwd=REPO,
    )
    kept = SUMS.splitlines(keepends=True)
    assert done.stdout.decode().startswith(kept[0])
    assert done.stdout.decode().endswith("".join(kept[3:]))
    assert done.stderr.decode().startswith("1 hole in 1 canvas, ")
