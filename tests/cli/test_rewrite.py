"""`dgls rewrite`: what it shows, writes and refuses; and what all commands that change a file share.

Standard input has tests of its own.
"""

from __future__ import annotations

import json
import stat
import subprocess
from pathlib import Path

import pytest

from dgls import cli
from dgls_engine.types import Hole, InfillRequest, Revise
from tests.cli.conftest import Run, Scripted
from tests.cli.scripted import DIFF, NEW, SUMS, ScriptedEngine, drafted
from tests.engine.checkpoints import chat_checkpoint


@pytest.fixture
def sums(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "sums.py"
    path.write_bytes(SUMS.encode())
    return path


@pytest.fixture
def engine(scripted: Scripted) -> ScriptedEngine:
    return scripted(lambda _: ["return a + b"])


@pytest.mark.parametrize("options", [(), ("--diff",)])
def test_rewrite_diff_prints_patch_and_writes_nothing(
    run: Run, sums: Path, engine: ScriptedEngine, options: tuple[str, ...]
) -> None:
    outcome = run("rewrite", "sums.py:2-3", "--seed", 7, *options)
    assert (outcome.code, outcome.out) == (0, DIFF)
    assert sums.read_bytes() == SUMS.encode()
    assert outcome.err.splitlines() == [
        "1 hole in 1 canvas, 2 steps, 3 ms, scripted on nowhere, confidence 0.50, seed 7",
        "Nothing is written; --apply --seed 7 writes this change.",
    ]
    assert engine.closed


def test_rewrite_apply_writes_file(run: Run, sums: Path, engine: ScriptedEngine) -> None:
    sums.chmod(0o750)
    outcome = run("rewrite", "sums.py:2-3", "--apply")
    assert (outcome.code, outcome.out) == (0, "")
    assert outcome.err.endswith("Written to sums.py.\n")
    assert sums.read_text() == NEW
    assert stat.S_IMODE(sums.stat().st_mode) == 0o750


def test_rewrite_dtype_reaches_engine(run: Run, sums: Path, engine: ScriptedEngine) -> None:
    run("rewrite", f"{sums}:2")
    run("rewrite", f"{sums}:2", "--dtype", "int4")
    assert engine.dtypes == ["auto", "int4"]
    assert run("rewrite", f"{sums}:2", "--dtype", "int3").code == 2


def test_rewrite_check_of_change_exits_1(run: Run, sums: Path, engine: ScriptedEngine) -> None:
    outcome = run("rewrite", "sums.py:2-3", "--check")
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.endswith("sums.py would be changed.\n")
    assert sums.read_text() == SUMS


def test_rewrite_check_twice_has_same_seed(run: Run, sums: Path, engine: ScriptedEngine) -> None:
    for seed in ((), (), ("--seed", 7)):
        run("rewrite", "sums.py:2-3", "--check", *seed)
    assert [request.seed for request in engine.requests] == [0, 0, 7]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--check", "sums.py would stay unchanged; "),
        ("--diff", "Nothing changes in sums.py; "),
        ("--apply", "Nothing changes in sums.py; "),
    ],
)
def test_rewrite_without_change_exits_0(run: Run, sums: Path, scripted: Scripted, option: str, message: str) -> None:
    scripted(drafted)
    outcome = run("rewrite", "sums.py:2-3", "--strength", "lightly", option)
    assert (outcome.code, outcome.out) == (0, "")
    assert outcome.err.splitlines()[1].startswith(message)


def test_rewrite_strength_revises_lines(run: Run, sums: Path, scripted: Scripted) -> None:
    engine = scripted(drafted)
    for given, meant in [("lightly", 0.15), ("heavily", 0.7), ("0.4", 0.4)]:
        run("rewrite", "sums.py:2-3", "--strength", given)
        (hole,) = (segment for segment in engine.requests[-1].segments if isinstance(segment, Hole))
        assert hole.start == Revise("c = a + b\n    return c", meant)


def test_rewrite_keep_pins_lines_between_holes(run: Run, sums: Path, scripted: Scripted) -> None:
    scripted(lambda _: ["def add(b, a):", "return b - a"])
    outcome = run("rewrite", "sums.py:1-3", "--keep", "2", "--apply")
    assert outcome.code == 0
    assert sums.read_text().splitlines()[1] == "    c = a + b"
    assert "2 holes in 1 canvas" in outcome.err


def test_rewrite_json_prints_answer_alone(run: Run, sums: Path, engine: ScriptedEngine) -> None:
    figures = json.loads(run("rewrite", "sums.py:2-3", "--seed", 7, "--json").out)
    assert figures.pop("ms").keys() == {"load", "plan", "prefill", "denoise"}
    assert figures == {
        "replacements": [
            {"start": {"line": 2, "column": 5}, "end": {"line": 3, "column": 13}, "text": "return a + b"},
        ],
        "breaks": False,
        "confidence": 0.5,
        "model": "scripted",
        "device": "nowhere",
        "holes": 1,
        "canvases": 1,
        "steps": 2,
        "seed": 7,
    }


def test_rewrite_steps_and_seed_reach_engine(run: Run, sums: Path, engine: ScriptedEngine) -> None:
    run("rewrite", "sums.py:2-3", "--seed", 7, "--steps", 3)
    (request,) = engine.requests
    assert (request.seed, request.limits.max_steps, request.context.path) == (7, 3, "sums.py")


def test_rewrite_broken_result_warns(run: Run, sums: Path, scripted: Scripted) -> None:
    scripted(lambda _: ["return (a + b"])
    assert "Warning: sums.py parsed before, and does not with" in run("rewrite", "sums.py:2-3").err


def test_rewrite_that_breaks_the_file_is_written_only_by_force(run: Run, sums: Path, scripted: Scripted) -> None:
    scripted(lambda request: ["return (a + b"])
    refused = run("rewrite", "sums.py:2-3", "--apply")
    assert refused.code == 1
    assert "Nothing is written; --force writes it" in refused.err
    assert sums.read_text() == SUMS
    assert run("rewrite", "sums.py:2-3", "--apply", "--force").code == 0
    assert "return (a + b\n" in sums.read_text()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (SUMS.replace("\n", "\r\n").encode(), NEW.replace("\n", "\r\n").encode()),
        (SUMS[:41].encode(), NEW[:31].encode()),  # no final newline
        (b"# caf\xe9\n" + SUMS.encode(), b"# caf\xe9\n" + NEW.encode()),
        (SUMS.encode("utf-8-sig"), NEW.encode("utf-8-sig")),
    ],
    ids=["crlf", "no final newline", "latin-1", "byte order mark"],
)
def test_apply_keeps_other_bytes(run: Run, sums: Path, engine: ScriptedEngine, content: bytes, expected: bytes) -> None:
    sums.write_bytes(content)
    first = 3 if content.startswith(b"#") else 2
    run("rewrite", f"sums.py:{first}-{first + 1}", "--apply")
    assert sums.read_bytes() == expected


@pytest.mark.parametrize(
    "content",
    [SUMS.replace("\n", "\r\n").encode(), SUMS[:41].encode(), b"# caf\xe9 \x0c\n" + SUMS.encode()],
    ids=["crlf", "no final newline", "latin-1 and a form feed"],
)
def test_rewrite_diff_applies_with_patch(
    sums: Path, engine: ScriptedEngine, content: bytes, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    sums.write_bytes(content)
    target = "sums.py:3-4" if content.startswith(b"#") else "sums.py:2-3"
    cli.run(["rewrite", target])
    shown = capfdbinary.readouterr().out
    cli.run(["rewrite", target, "--apply"])
    wanted = sums.read_bytes()
    sums.write_bytes(content)
    subprocess.run(["git", "apply", "-p0", "-"], input=shown, check=True, cwd=sums.parent)
    assert sums.read_bytes() == wanted != content


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["sums.py"], "write FILE:START-END"),
        (["sums.py:a-b"], "write FILE:START-END"),
        (["sums.py:1-"], "write FILE:START-END"),
        ([":1-2"], "write FILE:START-END"),
        (["sums.py:0-2"], "lines count from 1"),
        (["sums.py:3-2"], "write 2-3"),
        (["sums.py:7-9"], "take lines from 1 to 8"),
        (["sums.py:4-5"], "only blank text"),
        (["missing.py:1"], "no such file"),
        ([".:1"], "is a folder"),
        ([], "FILE:START-END"),
        (["sums.py:2", "-:2"], "not allowed with"),
        (["sums.py:2-3", "--keep", "1"], "names line 1, outside of 2-3"),
        (["sums.py:2-3", "--keep", "3-4"], "names line 4, outside of 2-3"),
        (["sums.py:2-3", "--keep", "2,x"], "write 14 or 14,17-19"),
        (["sums.py:2-3", "--keep", "2-3"], "all selected lines are to be kept"),
        (["sums.py:2-3", "--strength", "1"], "between 0 and 1"),
        (["sums.py:2-3", "--strength", "0"], "between 0 and 1"),
        (["sums.py:2-3", "--strength", "nan"], "between 0 and 1"),
        (["sums.py:2-3", "--strength", "wild"], "between 0 and 1"),
        (["sums.py:2-3", "--strength", "more", "--instruction", "x"], "leave it or --instruction out"),
        (["sums.py:2-3", "--instruction", "x"], "'embedded' takes no instructions; google/diffusiongemma"),
        (["sums.py:2-3", "--model", "no-such-model"], "no model 'no-such-model'"),
        (["sums.py:2-3", "--diff", "--apply"], "not allowed with"),
    ],
)
def test_rewrite_invalid_arguments_exit_2_before_loading(
    run: Run, sums: Path, engine: ScriptedEngine, arguments: list[str], expected: str
) -> None:
    refused(run, arguments, expected, engine)
    assert sums.read_text() == SUMS


def refused(run: Run, arguments: list[str], expected: str, engine: ScriptedEngine) -> None:
    outcome = run("rewrite", *arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert expected in outcome.err
    assert outcome.err.count("\n") == 1, outcome.err
    assert not engine.opened


def test_rewrite_instruction_reaches_engine(
    run: Run, sums: Path, engine: ScriptedEngine, tmp_path_factory: pytest.TempPathFactory
) -> None:
    chat = chat_checkpoint(tmp_path_factory.mktemp("chat"))
    outcome = run("rewrite", "sums.py:2-3", "--instruction", "Simplify.", "--model", chat)
    assert (outcome.code, outcome.out) == (0, DIFF)
    (request,) = engine.requests
    assert request.context.instruction == "Simplify."


def test_rewrite_blank_instruction_is_none(run: Run, sums: Path, engine: ScriptedEngine) -> None:
    assert run("rewrite", "sums.py:2-3", "--instruction", " ").code == 0
    (request,) = engine.requests
    assert request.context.instruction == ""


def test_rewrite_character_outside_encoding_exits_2(run: Run, sums: Path, scripted: Scripted) -> None:
    scripted(lambda _: ["return '\u20ac'"])
    sums.write_bytes(b"# caf\xe9\n" + SUMS.encode())
    outcome = run("rewrite", "sums.py:3-4")
    assert (outcome.code, outcome.out) == (2, "")
    assert "convert it to UTF-8" in outcome.err


def test_rewrite_file_saved_meanwhile_stays(run: Run, sums: Path, scripted: Scripted) -> None:
    def write(_: InfillRequest) -> list[str]:
        sums.write_text("theirs\n")
        return ["return a + b"]

    scripted(write)
    outcome = run("rewrite", "sums.py:2-3", "--apply")
    assert outcome.code == 2
    assert "has changed since" in outcome.err
    assert sums.read_text() == "theirs\n"


def test_rewrite_read_only_file_exits_2(
    run: Run, sums: Path, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dgls.cli.source.os.access", lambda *_: False)  # root may write everything
    outcome = run("rewrite", "sums.py:2-3", "--apply")
    assert outcome.code == 2
    assert "cannot be written" in outcome.err
    assert sums.read_text() == SUMS


def test_rewrite_ctrl_c_writes_nothing(run: Run, sums: Path, scripted: Scripted) -> None:
    def interrupted(_: InfillRequest) -> list[str]:
        raise KeyboardInterrupt

    engine = scripted(interrupted)
    outcome = run("rewrite", "sums.py:2-3", "--apply")
    assert (outcome.code, outcome.out, outcome.err) == (130, "", "")
    assert sums.read_text() == SUMS
    assert engine.closed


def test_terminal_diff_has_colours(run: Run, sums: Path, scripted: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    scripted(lambda _: ["return '\x07' + [a]"])
    outcome = run("rewrite", "sums.py:2-3")
    assert "\x1b[31m-    c = a + b\x1b[0m\n" in outcome.out
    assert "\x1b[32m+    return '\ufffd' + [a]\x1b[0m\n" in outcome.out
    assert "canvas 1, step" in outcome.err


def test_rewrite_help_lists_exit_codes(run: Run) -> None:
    for command in ("fill", "rewrite"):
        help_text = " ".join(run(command, "--help").out.split())
        assert "1 if --check found that something would change" in help_text
