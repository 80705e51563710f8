"""`dgls demo` draws the engine's steps, and its examples are valid and picked by their rule."""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from dgls.cli import demo
from dgls.code.document import Document
from dgls.code.languages import language_of
from dgls.code.syntax import parse
from dgls.evaluation.cases.fixtures import MarkedSource, marked_cases
from dgls_engine import Engine
from tests.cli.conftest import Run

FUNCTION = re.compile(r"^ *def |^export function |^[a-z].*\) \{$", re.MULTILINE)


@pytest.fixture(scope="module")
def engine(model: Path) -> Iterator[Engine]:
    with Engine.open(model) as engine:
        yield engine


@pytest.mark.parametrize("example", demo.examples(), ids=lambda example: example.name)
def test_examples_filled_parse(example: MarkedSource) -> None:
    document = Document(example.name, 0, language_of("", example.name).id, example.filled(example.authored))
    syntax = parse(document, 0)
    assert syntax is not None
    assert not syntax.tree.root_node.has_error


@pytest.mark.parametrize("example", demo.examples(), ids=lambda example: example.name)
def test_examples_leave_out_the_last_line_of_each_function(example: MarkedSource) -> None:
    assert len(example.authored) == len(FUNCTION.findall(example.filled(example.authored)))
    for case in marked_cases(example):
        line, _, rest = case.suffix.partition("\n")
        indent = case.prefix.rpartition("\n")[2]
        following = next((after for after in rest.splitlines() if after), "")
        assert line == indent.strip() == "", "the hole is a whole line without its indentation"
        assert len(following) - len(following.lstrip()) < len(indent), "nothing of the function follows"


def test_examples_are_in_several_languages() -> None:
    languages = [case.language for example in demo.examples() for case in marked_cases(example)]
    assert set(languages) == {"python", "javascript", "c"}


@pytest.mark.parametrize("example", demo.examples(), ids=lambda example: example.name)
def test_play_without_terminal_lists_steps(
    example: MarkedSource, engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    played = demo.play(engine, example, Console(width=300, highlight=False), animated=False)
    out = capsys.readouterr().out
    listed = [(int(hole), int(step)) for hole, step in re.findall(r"hole (\d+)  step +(\d+) ", out)]
    for number, hole in enumerate(played, 1):
        steps = [step for of, step in listed if of == number]
        assert steps[:1] + steps[-1:] == [hole.steps[0].index, hole.steps[-1].index]
        assert len(steps) <= demo.LISTED
        assert f"hole {number}: {hole.infill.steps} steps, {hole.ms:.0f} ms" in out
        assert hole.steps[-1].fills == hole.infill.fills
    assert "\x1b" not in out


def test_play_terminal_draws_every_step(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "PAUSE", 0)
    console = Console(width=200, height=50, force_terminal=True, file=StringIO())
    drawn: list[object] = []
    frame = demo._frame
    monkeypatch.setattr(demo, "_frame", lambda source, fills: drawn.append(tuple(fills)) or frame(source, fills))
    (only,) = demo.play(
        engine, next(each for each in demo.examples() if each.name == "slug.py"), console, animated=True
    )
    assert drawn[1:-1] == [step.fills for step in only.steps]


def test_play_twice_gives_same_fills(engine: Engine) -> None:
    console = Console(quiet=True)
    example = demo.examples()[0]
    first, second = (demo.play(engine, example, console, animated=False) for _ in range(2))
    assert [hole.fill.text for hole in first] == [hole.fill.text for hole in second]


def test_demo_without_small_plays_every_example_on_the_embedded_model(run: Run, tmp_path: Path) -> None:
    picture = tmp_path / "demo.svg"
    outcome = run("demo", "--svg", picture)
    assert outcome.code == 0
    assert re.findall(r"^(\w+\.(?:py|js|c)) ", outcome.out, re.MULTILINE) == list(demo.EXAMPLES)
    assert re.search(r"\d of 10 lines as their authors wrote them, \d+ ms a line: embedded model \(", outcome.out)
    assert picture.read_text(encoding="utf-8").startswith("<svg")
    assert outcome.err.count("`dgls models pull small` fetches it") == 1


@pytest.mark.parametrize("place", ["gone/demo.svg", "."])
def test_demo_svg_without_folder_or_name_exits_2(run: Run, tmp_path: Path, place: str) -> None:
    outcome = run("demo", "--svg", tmp_path / place)
    assert outcome.code == 2
    assert outcome.err.count("\n") == 1
