"""`dgls fill`: which stubs it fills, what it writes and refuses. `test_rewrite` covers what the commands share."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dgls_engine.types import Hole, InfillRequest, Pinned
from tests.cli.conftest import Pipe, Run, Scripted
from tests.cli.scripted import ScriptedEngine

REPO = Path(__file__).resolve().parents[2]

ADD = 'def add(a, b):\n    """The sum."""\n    pass\n'
SUB = "\n\ndef sub(a, b):\n    ...\n"
LAST = "\n\nprint(add(1, sub(2, 3)))\n"
FILLED_ADD, FILLED_SUB = ADD.replace("pass", "return a + b"), SUB.replace("...", "return a - b")


@pytest.fixture
def sums(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "sums.py"
    path.write_text(ADD + SUB + LAST)
    return path


@pytest.fixture
def engine(scripted: Scripted) -> ScriptedEngine:
    """An engine that knows the functions by their names."""

    def write(request: InfillRequest) -> list[str]:
        texts: list[str] = []
        before = request.context.above
        for segment in request.segments:
            if isinstance(segment, Pinned):
                before += segment.text
            else:
                texts.append("return a - b" if "def sub" in before else "return a + b")
        return texts

    return scripted(write)


@pytest.mark.parametrize("place", ["1", "2", "3", "3:5", "1:7"])
def test_fill_place_fills_stub_there(run: Run, sums: Path, engine: ScriptedEngine, place: str) -> None:
    outcome = run("fill", f"sums.py:{place}", "--apply")
    assert (outcome.code, outcome.out) == (0, "")
    assert sums.read_text() == FILLED_ADD + SUB + LAST
    assert outcome.err.startswith("1 hole in 1 canvas, 2 steps, ")


def test_fill_all_shares_one_canvas(run: Run, sums: Path, engine: ScriptedEngine) -> None:
    outcome = run("fill", "sums.py", "--all", "--apply", "--json")
    assert sums.read_text() == FILLED_ADD + FILLED_SUB + LAST
    assert len(engine.requests) == 1
    assert sum(isinstance(segment, Hole) for segment in engine.requests[0].segments) == 2
    figures = json.loads(outcome.out)
    assert (figures["holes"], figures["canvases"]) == (2, 1)
    assert [each["text"] for each in figures["replacements"]] == ["return a + b", "return a - b"]


def test_fill_single_stub_needs_no_place(run: Run, sums: Path, engine: ScriptedEngine) -> None:
    sums.write_text(ADD + LAST)
    outcome = run("fill", "sums.py")
    assert outcome.code == 0
    assert "-    pass\n+    return a + b\n" in outcome.out


def test_fill_several_stubs_without_all_exits_2_with_lines(run: Run, sums: Path, engine: ScriptedEngine) -> None:
    outcome = run("fill", "sums.py")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err == ("dgls: sums.py has 2 stubs, on lines 1 and 6; name one (sums.py:6), or take --all\n")
    assert not engine.opened


@pytest.mark.parametrize("option", ["--all", "--check", "--apply", "--diff"])
def test_fill_without_stub_exits_0(run: Run, sums: Path, engine: ScriptedEngine, option: str) -> None:
    sums.write_text(LAST)
    outcome = run("fill", "sums.py", option)
    result = "sums.py would stay unchanged" if option == "--check" else "Nothing changes in sums.py"
    assert (outcome.code, outcome.out, outcome.err) == (0, "", f"{result}: no function is a stub.\n")
    assert not engine.opened


def test_fill_standard_input_prints_filled_text(run: Run, engine: ScriptedEngine, pipe: Pipe) -> None:
    pipe((ADD + SUB).encode())
    assert run("fill", "-", "--all", "--language", "python").out == FILLED_ADD + FILLED_SUB
    pipe((ADD + SUB).encode())
    assert run("fill", "-:6", "--stdin-filename", "sums.py").out == ADD + FILLED_SUB
    pipe(LAST.encode())
    assert run("fill", "-", "--all", "--language", "python").out == LAST


def test_fill_unusable_infill_reports_unchanged_holes(run: Run, sums: Path, scripted: Scripted) -> None:
    scripted(lambda request: ["return a + b", ""])
    outcome = run("fill", "sums.py", "--all", "--apply")
    assert "1 of 2 holes stay unchanged; try another --seed.\n" in outcome.err
    assert sums.read_text() == FILLED_ADD + SUB + LAST


def test_fill_all_infills_unusable_writes_nothing(run: Run, sums: Path, scripted: Scripted) -> None:
    scripted(lambda request: ["", ""])
    outcome = run("fill", "sums.py", "--all", "--apply")
    assert outcome.code == 0
    assert outcome.err.splitlines()[1:] == ["Nothing changes in sums.py; another --seed may give something else."]
    assert sums.read_text() == ADD + SUB + LAST


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["sums.py:9:1"], "no stub here"),
        (["sums.py:99"], "take lines from 1 to 11"),
        (["sums.py:99:1"], "take a line from 1 to 11"),
        (["sums.py:1:99"], "take a column from 1 to 15"),
        (["sums.py:0"], "count from 1"),
        (["sums.py:1", "--all"], "leave the line or --all out"),
        (["missing.py"], "no such file"),
        (["sums.py:1-3"], "no such file"),
        ([":3"], "no place in a file"),
        ([], "FILE[:LINE[:COL]]"),
    ],
)
def test_fill_invalid_arguments_exit_2_before_loading(
    run: Run, sums: Path, engine: ScriptedEngine, arguments: list[str], expected: str
) -> None:
    outcome = run("fill", *arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert expected in outcome.err
    assert outcome.err.count("\n") == 1, outcome.err
    assert not engine.opened


def test_fill_path_with_colons_is_found(run: Run, sums: Path, engine: ScriptedEngine) -> None:
    (sums.parent / "C:sums.py").write_text(ADD)
    assert run("fill", "C:sums.py:3").code == 0


def test_fill_all_with_embedded_model_changes_only_stubs(sums: Path) -> None:
    """Checks only that the other lines stay: the model's text may change."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "dgls",
            "fill",
            str(sums),
            "--all",
            "--seed",
            "1",
            "--steps",
            "4",
            "--apply",
            "--model",
            "embedded",
        ],
        capture_output=True,
        text=True,
        check=True,
        cwd=REPO,
    )
    assert done.stdout == ""
    assert done.stderr.startswith("2 holes in 1 canvas, ")
    text = sums.read_text()
    assert text.startswith(ADD.removesuffix("pass\n"))
    assert "\n\n\ndef sub(a, b):\n    " in text
    assert text.endswith(LAST)
