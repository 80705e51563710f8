"""A cell among the cells around it: see fixtures/notebook/README.md."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path
from typing import Any

import pytest

from bench.silence import held_out_texts
from dgls.code.document import Document, Span
from dgls.code.notebook import Neighbour, mask, notebook_of, view_of
from dgls.code.syntax import parse
from dgls.suggest.plan import Budget, Quiet, plan
from dgls.suggest.suggestion import Suggestion, suggest

FIXTURES = Path(__file__).parents[2] / "fixtures" / "notebook"
CURSOR = "<CURSOR>"


def cases(name: str) -> list[Any]:
    table = tomllib.loads((FIXTURES / f"{name}.toml").read_text(encoding="utf-8"))["case"]
    return [pytest.param(case, id=case["name"]) for case in table]


def cell(text: str, language: str = "python") -> Document:
    return Document("vscode-notebook-cell:/a.ipynb#1", 3, language, text)


@pytest.mark.parametrize("case", cases("masks"))
def test_mask_of_a_marked_cell_parses_and_has_its_length(case: dict[str, Any]) -> None:
    masked = mask(cell(case["text"]))
    assert masked == case.get("masked", case["text"])
    assert len(masked) == len(case["text"])
    ast.parse(masked)


def test_mask_of_files_without_magics_covers_nothing_but_a_word_with_a_question_mark_in_prose() -> None:
    texts = held_out_texts()[::5]
    assert len(texts) > 80
    changed = [text for text in texts if mask(cell(text)) != text]
    assert len(changed) <= 1
    for text in changed:
        ast.parse(mask(cell(text)))


@pytest.mark.parametrize("case", cases("cells"))
def test_cell_of_a_marked_case_is_filled_among_the_others_or_quiet(case: dict[str, Any]) -> None:
    language = case.get("language", "python")
    at = next(index for index, text in enumerate(case["cells"]) if CURSOR in text)
    documents = [cell(text.replace(CURSOR, ""), language) for text in case["cells"]]
    neighbours = [Neighbour(document) for document in documents]
    view = view_of(documents[at], neighbours[:at], neighbours[at + 1 :])
    offset = case["cells"][at].index(CURSOR)
    there = view.start + offset
    syntax = parse(view.document, there)
    region = Quiet.MAGIC if view.is_magic(there) else plan(view.document, there, Budget(), syntax)
    if case.get("quiet"):
        assert region is Quiet.MAGIC
        return
    assert not isinstance(region, Quiet)
    shown = region.in_text(view.written)
    left, right = case["cells"][at].split(CURSOR)
    above = case.get("above", "".join(f"{text}\n\n\n" for text in case["cells"][:at]))
    below = case.get("below", "".join(f"\n\n\n{text}" for text in case["cells"][at + 1 :]))
    assert shown.above + shown.before == above + left
    assert shown.after + shown.below == right + below
    suggestion = suggest(view.document, region, case["answer"], syntax=syntax)
    assert isinstance(suggestion, Suggestion)
    assert (suggestion.new_text, view.own(suggestion.span)) == (case["answer"], Span(offset, offset))


def test_view_of_a_cell_breaks_lines_as_the_cell_does() -> None:
    view = view_of(cell("a = 1\r\nb = 2"), [Neighbour(cell("x = 1"))])
    assert view.written == "x = 1\r\n\r\n\r\na = 1\r\nb = 2"
    assert view.written[view.start :] == "a = 1\r\nb = 2"


@pytest.mark.parametrize(
    ("uri", "notebook"),
    [
        ("vscode-notebook-cell:/home/a%20b/n.ipynb#W0sZmlsZQ%3D%3D", "file:///home/a%20b/n.ipynb"),
        ("vscode-notebook-cell:/c%3A/n.ipynb#W0s", "file:///c%3A/n.ipynb"),
        ("vscode-notebook-cell:Untitled-1.ipynb?jupyter-notebook#W0sdW50aXRsZWQ", "Untitled-1.ipynb"),
        ("vscode-notebook-cell://ssh-remote%2Bhost/home/n.ipynb#W0s", "//ssh-remote%2Bhost/home/n.ipynb"),
        ("file:///home/n.ipynb", None),
        ("untitled:Untitled-1", None),
    ],
)
def test_uri_of_a_cell_names_its_notebook(uri: str, notebook: str | None) -> None:
    assert notebook_of(uri) == notebook


def test_view_of_a_cell_masks_what_the_parser_may_see_and_no_more() -> None:
    far = [Neighbour(cell("%time x\n" + "x = 1\n" * 5000)) for _ in range(3)]
    view = view_of(cell("a = "), far, far)
    assert len(view.document.text) == len(view.written)
    assert view.document.text.count("0#ime") == 2
    there = view.start + 4
    syntax = parse(view.document, there)
    assert syntax is not None
    assert not syntax.has_error(Span(there - 4, there - 4))
    assert "%" not in syntax.text
