"""The project's fixtures as cases."""

from __future__ import annotations

from pathlib import Path

import pytest

from dgls.cli.demo import examples
from dgls.errors import UnusableSource
from dgls.evaluation.cases.fixtures import FOLDER, MarkedSource, fixture_cases


def test_fixture_cases_contains_each_case_once() -> None:
    cases = fixture_cases(examples())
    marked = [case for case in cases if case.package == "examples"]
    assert len(marked) == sum(len(example.authored) for example in examples())
    assert len(cases) - len(marked) == sum(file.read_text().count("\nanswer =") for file in FOLDER.glob("*.toml")) > 40
    assert len({case.id for case in cases}) == len(cases)
    assert {case.kind for case in cases} == {"fixture"}
    assert all(case.answer and "<CURSOR>" not in case.prefix + case.suffix for case in cases)


def test_fixture_cases_fills_other_holes_of_example() -> None:
    source = MarkedSource.parse("a.py", "a = <HOLE: 1>\nb = <HOLE: 2>\n")
    cases = fixture_cases([source], Path("absent"))
    assert [(case.prefix, case.answer, case.suffix) for case in cases] == [
        ("a = ", "1", "\nb = 2\n"),
        ("a = 1\nb = ", "2", "\n"),
    ]


@pytest.mark.parametrize("content", ["[[case]", "x = 1", "[[case]]\nanswer = 'a'"])
def test_fixture_cases_broken_file_raises_with_its_name(content: str, tmp_path: Path) -> None:
    (tmp_path / "go.toml").write_text(content)
    with pytest.raises(UnusableSource, match=r"go\.toml is no file of cases"):
        fixture_cases([], tmp_path)
