"""Which names a place of code may use: the cases of fixtures/scopes."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from dgls.code.document import Document, Span
from dgls.code.syntax import parse_all
from dgls.next_edit.symbols import is_out_of_scope

CASES = tomllib.loads((Path(__file__).parents[2] / "fixtures" / "scopes" / "calls.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", CASES["case"], ids=lambda case: case["language"])
def test_names_of_other_functions_are_out_of_scope(case: dict[str, Any]) -> None:
    at = case["text"].index("@")

    def unknown(name: str) -> bool:
        syntax = parse_all(Document("file:///a", 1, case["language"], case["text"].replace("@", name)))
        assert syntax is not None
        return is_out_of_scope(syntax, Span(at, at + len(name)))

    assert [name for name in case["known"] + case["unknown"] if unknown(name)] == case["unknown"]
