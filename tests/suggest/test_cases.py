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
def test_plan_of_a_marked_case_gives_its_region_or_reason(language: str, case: dict[str, Any]) -> None:
    left, right = case["text"].split("<CURSOR>")
    document = Document("untitled:1", 1, language, left + right)
    before, after = case.get("budget", (96, 64))
    region = plan(
        document,
        len(left),
        Budget(before_tokens=before, after_tokens=after),
        parse(document, len(left)),
        invoked=case.get("invoked", False),
    )
    if "quiet" in case:
        assert region is Quiet[case["quiet"]]
        return
    assert not isinstance(region, Quiet)
    assert region.kind == case["kind"]
    assert region.stop == ("\n" if region.kind == "line" else None)
    assert list(region.indents) == case.get("indents", list(region.indents))
    assert document.text[region.span.start : region.span.end] == case.get("span", "")
    assert region.before.startswith(case.get("before_starts", ""))
    assert region.before.endswith(case.get("before_ends", ""))
    assert region.after.startswith(case.get("after_starts", ""))
    assert region.below.startswith(case.get("below_starts", ""))
