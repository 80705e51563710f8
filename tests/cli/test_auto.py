"""Commands on the model `auto`: which one answers, and what the user is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from dgls_engine.weights import small
from tests.cli.conftest import Run, Scripted

ADVICE = "The small model is not on this machine, so the tiny built-in model answers. "


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(small, "user_cache_path", lambda *_, **__: tmp_path / "cache")
    return tmp_path / "cache"


@pytest.fixture
def stub(tmp_path: Path) -> Path:
    file = tmp_path / "stub.py"
    file.write_text("def total(values):\n    pass\n")
    return file


@pytest.mark.parametrize("command", [("fill", "{}"), ("rewrite", "{}:2")], ids=["fill", "rewrite"])
def test_command_on_auto_without_small_says_once_how_to_get_it(
    run: Run, scripted: Scripted, cache: Path, stub: Path, command: tuple[str, str]
) -> None:
    scripted(lambda _: ["return sum(values)"])
    name, target = command
    outcome = run(name, target.format(stub), "--model", "auto")
    assert outcome.code == 0
    assert outcome.err.count(ADVICE) == 1
    assert ADVICE not in outcome.out


def test_command_on_the_embedded_model_by_name_does_not_mention_small(
    run: Run, scripted: Scripted, cache: Path, stub: Path
) -> None:
    scripted(lambda _: ["return sum(values)"])
    assert ADVICE not in run("fill", stub, "--model", "embedded").err


def test_infill_on_auto_without_small_answers_with_the_embedded_model(run: Run, cache: Path, stub: Path) -> None:
    outcome = run("infill", f"{stub}:2:5", "--model", "auto", "--json", "--seed", 1, "--steps", 2)
    assert outcome.err.count(ADVICE) == 1
    assert '"model": "embedded"' in outcome.out


def test_doctor_without_small_says_how_to_get_it(run: Run, cache: Path) -> None:
    assert ADVICE in run("doctor").out


def test_models_without_small_lists_it_first_and_how_to_fetch_it(run: Run, cache: Path) -> None:
    first, *rest = run("models").out.splitlines()
    assert first == "small"
    assert "`dgls models pull small` fetches it" in rest[1]
    assert "embedded" in rest


def test_doctor_with_a_damaged_small_model_says_how_to_repair_it(run: Run, cache: Path) -> None:
    folder = small._target()
    folder.mkdir(parents=True)
    for name in small._MODEL_FILES:
        (folder / name).touch()
    outcome = run("doctor")
    assert outcome.code == 1
    assert "!! model: small cannot be used" in outcome.out
    assert "config.json cannot be read" in outcome.out
    assert ": `dgls models pull small` repairs it" in outcome.out
    assert ": `dgls models pull small` repairs it" in run("models").out
    assert ": `dgls models pull small` repairs it" in run("eval", "--source", ".", "--model", "small").err
