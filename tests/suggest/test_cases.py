"""The planner's decisions, case by case: see fixtures/suggest/README.md."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from dgls.code.document import Document
from dgls.code.syntax import parse
from dgls.suggest.plan import Budget, Quiet, plan

FIXTURES = Path(__file__).parents[2] / "fixtures" / "suggest"
CASES = [
    pytest.param(path.stem, case, id=f"{path.stem}: {case['name']}")
    for path in sorted(FIXTURES.glob("*.toml"))
    for case in tomllib.loads(path.read_text(encoding="utf-8"))["case"]
]


@pytest.mark.parametrize(("language", "case"), CASES)
def test_a_case(language: str, case: dict[str, Any]) -> None:
    left, right = case["text"].split("<CURSOR>")
    document = Document("untitled:1", 1, language, left + right)
    before, after = case.get("budget", (96, 64))
    found = plan(
        document,
        len(left),
        Budget(before_tokens=before, after_tokens=after),
        parse(document, len(left)),
        invoked=case.get("invoked", False),
    )
    if "quiet" in case:
        assert found is Quiet[case["quiet"]]
        return
    assert not isinstance(found, Quiet)
    assert found.kind == case["kind"]
    assert found.stop == ("\n" if found.kind == "line" else None)
    assert list(found.indents) == case.get("indents", list(found.indents))
    assert document.text[found.span.start : found.span.end] == case.get("span", "")
    assert found.before.startswith(case.get("before_starts", ""))
    assert found.before.endswith(case.get("before_ends", ""))
    assert found.after.startswith(case.get("after_starts", ""))
    assert found.below.startswith(case.get("below_starts", ""))
