"""How a line may begin, case by case: see fixtures/suggest/README.md."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from dgls.code.document import Document
from dgls.code.syntax import parse
from dgls.suggest.exchange import request_of
from dgls.suggest.plan import Budget, Region, plan
from dgls_engine.types import Beginning, Hole, Limits

FIXTURES = Path(__file__).parents[2] / "fixtures" / "suggest" / "beginnings"
CASES = [
    pytest.param(path.stem, case, id=f"{path.stem}: {case['name']}")
    for path in sorted(FIXTURES.glob("*.toml"))
    for case in tomllib.loads(path.read_text(encoding="utf-8"))["case"]
]


def planned(text: str, language: str, budget: Budget) -> Region:
    left, right = text.split("<CURSOR>")
    document = Document("untitled:1", 1, language, left + right)
    region = plan(document, len(left), budget, parse(document, len(left)), invoked=True, max_lines=1)
    assert isinstance(region, Region)
    return region


def kind(beginning: Beginning) -> str:
    if not beginning.others:
        names = [
            word.removesuffix(" =").removeprefix("for ") for word in beginning.words if re.search(" =$|^for ", word)
        ]
        return " ".join(["head" if "with" in beginning.words else "defines", *sorted(names)])
    return "followed" if "return" in beginning.words else "plain"


@pytest.mark.parametrize(("language", "case"), CASES)
def test_beginnings_of_a_marked_case(language: str, case: dict[str, Any]) -> None:
    region = planned(case["text"], language, Budget(continues=True))
    assert [[each.indent, kind(each)] for each in region.begins] == case["begins"]
    hole = request_of(region, "a.py", language, Limits(), 0).segments[1]
    assert isinstance(hole, Hole)
    assert (hole.begins, hole.avoid) == (region.begins, region.avoid)
    for each in region.begins:
        assert {"if", "for", "else"} <= each.words or any(" " in word for word in each.words)
        assert not (each.others and "match" in each.words), "a name may begin a plain line"
    assert not planned(case["text"], language, Budget()).begins, "only for models that fill from the left"


COMMENT, LEAVING = ("/", "//", "///", "/*", "/**"), ("break", "continue", "goto", "return", "throw")


@pytest.mark.parametrize(
    ("language", "text", "avoid"),
    [
        ("python", "x = 1\n<CURSOR>\n", ("#", "##")),
        ("lua", "x = 1\n<CURSOR>\n", ("-", "--", "---")),
        ("css", "a {\n  <CURSOR>\n}\n", ("/", "/*", "/**")),
        ("python", "x = <CURSOR>\n", ()),
        ("javascript", "function f() {\n  g();\n  <CURSOR>\n}\n", COMMENT),
        ("javascript", "function f() {\n  g();\n  <CURSOR>\n  h();\n}\n", COMMENT + LEAVING),
        ("javascript", "function f() {\n<CURSOR>\n  h();\n}\n", COMMENT + LEAVING),
        ("javascript", "function f() {\n  g();\n  <CURSOR>\n  function h() {}\n}\n", COMMENT),
        ("javascript", "function f() {\n  if (g())\n  <CURSOR>\n  h();\n}\n", COMMENT),
        ("javascript", "f({\n  a: 1,\n  <CURSOR>\n  b: 2,\n});\n", COMMENT),
        ("c", "int f(void) {\n    g();\n    <CURSOR>\n    h();\n}\n", COMMENT + LEAVING),
        ("ruby", "def f\n  g\n  <CURSOR>\n  h\nend\n", ("#", "##")),
    ],
)
def test_line_is_no_comment_and_leaves_no_body_that_runs_on(language: str, text: str, avoid: tuple[str, ...]) -> None:
    assert planned(text, language, Budget(continues=True)).avoid == avoid
    assert not planned(text, language, Budget()).avoid


def test_line_between_the_names_of_a_long_import_begins_in_any_way() -> None:
    names = "".join(f"    name_{number},\n" for number in range(70))
    text = f"from items import (\n    first,\n<CURSOR>\n{names})\n"
    assert not planned(text, "python", Budget(continues=True)).begins
