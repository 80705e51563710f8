"""`dgls demo` draws the engine's steps, and its examples are valid."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from dgls.cli import demo
from dgls.evaluation.cases.fixtures import MarkedSource
from dgls_engine import Engine
from tests.cli.conftest import Run


@pytest.fixture(scope="module")
def engine(model: Path) -> Iterator[Engine]:
    with Engine.open(model) as engine:
        yield engine


@pytest.mark.parametrize("example", demo.examples(), ids=lambda example: example.name)
def test_examples_filled_are_valid_python(example: MarkedSource) -> None:
    ast.parse(example.filled(example.authored))


def test_examples_one_has_several_holes() -> None:
    assert sorted(len(example.authored) for example in demo.examples()) == [1, 2, 3]


@pytest.mark.parametrize("example", demo.examples(), ids=lambda example: example.name)
def test_play_without_terminal_lists_steps(
    example: MarkedSource, engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    played = demo.play(engine, example, Console(width=200, highlight=False), animated=False)
    out = capsys.readouterr().out
    assert re.findall(r"step +(\d+) ", out) == [str(step.index) for step in played.steps]
    assert f"{played.infill.steps} steps, {played.ms:.0f} ms" in out
    assert "\x1b" not in out
    assert played.steps[-1].fills == played.infill.fills


def test_play_terminal_draws_every_step(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "PAUSE", 0)
    console = Console(width=200, height=50, force_terminal=True, file=StringIO())
    drawn: list[object] = []
    frame = demo._frame
    monkeypatch.setattr(demo, "_frame", lambda source, drafts: drawn.append(drafts) or frame(source, drafts))
    played = demo.play(engine, demo.examples()[0], console, animated=True)
    assert drawn[1:-1] == [step.fills for step in played.steps]


def test_play_twice_gives_same_fills(engine: Engine) -> None:
    console = Console(quiet=True)
    example = demo.examples()[0]
    first, second = (demo.play(engine, example, console, animated=False) for _ in range(2))
    assert first.infill.texts == second.infill.texts


def test_demo_plays_every_example(run: Run, tmp_path: Path) -> None:
    picture = tmp_path / "demo.svg"
    outcome = run("demo", "--svg", picture)
    assert outcome.code == 0
    assert re.findall(r"^(\w+\.py) ", outcome.out, re.MULTILINE) == list(demo.EXAMPLES)
    assert len(re.findall(r"\d+ steps, \d+ ms, embedded model \(.* M parameters\), \w+", outcome.out)) == 3
    assert picture.read_text(encoding="utf-8").startswith("<svg")


@pytest.mark.parametrize("place", ["gone/demo.svg", "."])
def test_demo_svg_without_folder_or_name_exits_2(run: Run, tmp_path: Path, place: str) -> None:
    outcome = run("demo", "--svg", tmp_path / place)
    assert outcome.code == 2
    assert outcome.err.count("\n") == 1
