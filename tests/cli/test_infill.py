"""`dgls infill`: what it prints, writes and refuses."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from dgls.cli.infill import UnusablePosition, offset_of
from dgls.cli.targets import Target
from dgls.cli.terminal import printable
from dgls.code.document import Document
from tests.cli.conftest import Completed, Run, Scripted
from tests.engine.published import KINDS, published_checkpoint

SUMS = "def add(a, b):\n    return \n\n\ndef sub(a, b):\n    return a - b\n"
FIELDS = {"text", "confidence", "model", "device", "steps", "finish", "ms"}
FIELDS |= {"prompt_tokens", "canvas_tokens", "hole_tokens"}


@pytest.fixture
def sums(tmp_path: Path) -> Path:
    path = tmp_path / "sums.py"
    path.write_bytes(SUMS.encode())
    return path


def answer(out: str) -> dict[str, object]:
    fields = json.loads(out)
    assert isinstance(fields, dict)
    return fields


def test_infill_json_prints_answer_alone(run: Run, sums: Path, model: Path) -> None:
    outcome = run("infill", f"{sums}:2:12", "--model", model, "--json", "--steps", 3, "--max-tokens", 8)
    fields = answer(outcome.out)
    assert outcome.code == 0
    assert set(fields) >= FIELDS - {"confidence"}
    assert "confidence" not in fields, "the model has no calibration"
    assert set(fields["ms"]) == {"load", "plan", "prefill", "denoise"}
    assert fields["model"] == str(model)
    assert 1 <= fields["steps"] <= 3
    assert fields["hole_tokens"] <= 9  # a token more where the last one before the hole is healed


@pytest.mark.parametrize("kind", KINDS)
def test_infill_fills_with_a_published_model_in_a_folder(run: Run, sums: Path, tmp_path: Path, kind: str) -> None:
    folder = published_checkpoint(tmp_path / kind, kind, sharpness=4.0)
    outcome = run("infill", f"{sums}:2:12", "--model", folder, "--json", "--steps", 4, "--max-tokens", 6)
    assert outcome.code == 0
    assert answer(outcome.out)["steps"] in range(1, 5)


def test_infill_prints_fill_in_its_place(run: Run, sums: Path, model: Path) -> None:
    words = ("infill", f"{sums}:2:12", "--model", model, "--force", "--seed", 1)
    shown, text = run(*words).out, answer(run(*words, "--json").out)["text"]
    assert f"    return {printable(str(text))}\n" in shown
    assert shown.startswith("def add(a, b):\n")
    assert "\x1b" not in shown  # no terminal, no colours


def test_infill_that_breaks_the_file_is_dropped_unless_forced(run: Run, sums: Path, scripted: Scripted) -> None:
    scripted(lambda request: ["(a + b"])
    refused = run("infill", f"{sums}:2:12", "--apply")
    assert refused.code == 1
    assert "(breaks code that parsed). Try another --seed, or --force." in refused.err
    assert sums.read_bytes() == SUMS.encode()
    assert run("infill", f"{sums}:2:12", "--apply", "--force").code == 0
    assert sums.read_bytes() == SUMS.replace("return \n", "return (a + b\n").encode()


def test_infill_same_seed_gives_same_text(run: Run, sums: Path, model: Path) -> None:
    texts = [
        answer(run("infill", f"{sums}:2:12", "--model", model, "--json", "--force", "--seed", seed).out)["text"]
        for seed in (7, 7, 8)
    ]
    assert texts[0] == texts[1] != texts[2]


def test_infill_without_apply_writes_nothing(run: Run, sums: Path, model: Path) -> None:
    run("infill", f"{sums}:2:12", "--model", model)
    assert sums.read_bytes() == SUMS.encode()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_infill_apply_changes_only_hole(run: Run, tmp_path: Path, model: Path, encoding: str) -> None:
    above, below = '# caf\xe9\r\ndef add(a, b):\r\n\ttotal = "', '"\r\n\treturn total\r\n'
    path = tmp_path / "sums.py"
    path.write_bytes((above + below).encode(encoding))
    path.chmod(0o750)
    for seed in range(9):  # not each seed of a random model gives text that fits the encoding and the string
        outcome = run(
            "infill", f"{path}:3:11", "--model", model, "--json", "--apply", "--max-tokens", 3, "--seed", seed
        )
        if outcome.code == 0:
            break
    assert outcome.code == 0, outcome.err
    assert path.read_bytes() == (above + str(answer(outcome.out)["text"]) + below).encode(encoding)
    assert stat.S_IMODE(path.stat().st_mode) == 0o750
    assert [entry.name for entry in tmp_path.iterdir()] == ["sums.py"]


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("sums.py:99:1", "take a line from 1 to 7"),
        ("sums.py:2:99", "take a column from 1 to 12"),
        ("nowhere.py:1:1", "no such file"),
        (".:1:1", "is a folder"),
        ("binary:1:1", "binary"),
        ("japanese.txt:1:1", "convert it to UTF-8"),
        ("sums.py", "FILE:LINE:COL"),
        ("sums.py:1", "FILE:LINE:COL"),
        ("sums.py:0:1", "count from 1"),
        ("sums.py:-1:1", "FILE:LINE:COL"),
        (":1:1", "FILE:LINE:COL"),
    ],
)
def test_infill_missing_place_exits_2(
    run: Run, sums: Path, monkeypatch: pytest.MonkeyPatch, target: str, expected: str
) -> None:
    monkeypatch.chdir(sums.parent)
    (sums.parent / "binary").write_bytes(b"\x7fELF\0\0")
    (sums.parent / "japanese.txt").write_bytes("\u65e5\u672c".encode("shift_jis"))
    refused(run("infill", target), expected)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--model", "no-such-model"], "no model 'no-such-model'"),
        (["--model", "some/model"], "dgls models pull some/model"),
        (["--steps", "0"], "whole number from 1"),
        (["--steps", "many"], "whole number from 1"),
        (["--seed", "-1"], "--seed"),
        (["--max-tokens", "1.5"], "whole number from 1"),
        (["--lines", "9" * 40], "whole number from 1"),
    ],
)
def test_infill_invalid_options_exit_2(run: Run, sums: Path, options: list[str], expected: str) -> None:
    refused(run("infill", f"{sums}:2:12", *options), expected)


def test_infill_unsupported_model_exits_2_with_its_name(run: Run, sums: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2"}')
    refused(run("infill", f"{sums}:2:12", "--model", tmp_path), "is a GPT2LMHeadModel")


def test_infill_max_tokens_over_canvas_exits_2(run: Run, sums: Path, model: Path) -> None:
    refused(run("infill", f"{sums}:2:12", "--model", model, "--max-tokens", 500), "--max-tokens")


def refused(outcome: Completed, expected: str) -> None:
    assert outcome.code == 2
    assert outcome.out == ""
    assert expected in outcome.err
    assert outcome.err.count("\n") == 1, outcome.err


@pytest.mark.parametrize("text", ["", "a", "\U0001f600x\r\ny", "a\x0cb\u2028c\n", "x\ry"])
def test_offset_of_every_place_finds_it(text: str) -> None:
    document = Document("f", 0, "plaintext", text)
    reached = {
        offset_of(document, Target("f", line + 1, column + 1))
        for line in range(document.line_count)
        for column in range(len(document.line_text(line)) + 1)
    }
    assert reached == set(range(len(text) + 1)) - {text.find("\r\n") + 1 if "\r\n" in text else -1}
    with pytest.raises(UnusablePosition):
        offset_of(document, Target("f", document.line_count + 1, 1))


def test_infill_path_with_colons_is_found(run: Run, tmp_path: Path) -> None:
    odd = tmp_path / "C:1:2"
    odd.write_text("x\n")
    refused(run("infill", f"{odd}:9:1"), "take a line from 1 to 2")
