"""What is taken of a chat model's answer, case by case: see fixtures/chat/README.md."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dgls_engine.remote.answer import text_of

CASES = tomllib.loads((Path(__file__).parents[2] / "fixtures" / "chat" / "answers.toml").read_text(encoding="utf-8"))[
    "case"
]
PIECES = (
    *("```", "```python", "~~~", "\n", "\r\n", "    ", "\t", " ", "<think>", "</think>", "<region>", "</region>"),
    *(
        "def f(x):",
        "return x",
        "x = 1",
        "Here is the code:",
        "This is it.",
        "I'm sorry",
        "(",
        ")",
        "{",
        "}",
        "é",
        "\ud800",
    ),
)


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_text_of_answer_is_the_case_text(case: dict[str, Any]) -> None:
    before, after = case["code"].split("<HOLE>")
    language, one_line, end = case.get("language", "python"), case.get("one_line", False), case.get("end", True)
    assert text_of(case["answer"], before, after, language, one_line, end) == case["text"]


@settings(deadline=None)
@given(*[st.lists(st.sampled_from(PIECES), max_size=12).map("".join)] * 3, st.booleans(), st.booleans())
def test_text_of_any_answer_takes_no_more_than_was_said(
    answer: str, before: str, after: str, one_line: bool, end: bool
) -> None:
    """Only blanks may be added, before a body or to shift it."""
    text = text_of(answer, before, after, "python", one_line, end)
    assert "\r" not in text
    assert not (one_line and "\n" in text)
    assert "".join(text.split()) in "".join(answer.split())


@pytest.mark.parametrize(
    "piece", ["\n", " ", "```\n", "<region>", "</region", "Here is it. ", "a\n", "This is.\n\n", "\n\nI x", "\t\n"]
)
def test_text_of_long_answer_takes_bounded_time(piece: str) -> None:
    """Quadratic rules would take minutes for two million characters."""
    text_of(piece * (2_000_000 // len(piece)), piece * 50_000, piece * 50_000)
