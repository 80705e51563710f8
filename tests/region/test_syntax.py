"""Every grammar loads; an incremental parse is a full one; a long one is given up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tree_sitter import Node

from dgls.region.languages import FALLBACK, LANGUAGES, Language, language_of
from dgls.region.syntax import Syntax, grammar_of, parse

PYTHON = language_of("python")


def parsed(text: str, previous: Syntax | None = None, language: Language = PYTHON) -> Syntax:
    syntax = parse(text, language, 5000, previous)
    assert syntax is not None
    return syntax


def shape(node: Node) -> list[object]:
    return [node.type, node.byte_range, *map(shape, node.children)]


@pytest.mark.parametrize("language", LANGUAGES, ids=lambda language: language.id)
def test_a_grammar_loads_and_knows_the_tables_node_types(language: Language) -> None:
    grammar = grammar_of(language)
    assert grammar is not None
    named = language.bodies | language.strings | language.comments | language.interpolations
    missing = {name for name in named if grammar.id_for_node_kind(name, True) is None}
    assert missing <= ({"comment"} if language.id == "json" else set())


def test_no_extension_or_id_belongs_to_two_languages() -> None:
    names = [name for language in LANGUAGES for name in (language.id, *language.ids, *language.extensions)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("language_id", "path", "found"),
    [
        ("python", "", "python"),
        ("javascriptreact", "a.jsx", "javascript"),
        ("", "file:///a/b.RS", "rust"),
        ("cobol", "a.cbl", "plaintext"),
    ],
)
def test_a_language_is_found_by_id_then_extension(language_id: str, path: str, found: str) -> None:
    assert language_of(language_id, path).id == found


def test_a_missing_grammar_is_none() -> None:
    absent = Language("absent", ("tree_sitter_of_no_such_language", "language"))
    assert grammar_of(absent) is None
    assert parse("x", absent, 5000) is None
    assert parse("x", FALLBACK, 5000) is None


CODE = st.text(alphabet="ab(){}:\"'\n \u00e9\U0001f600", max_size=40)


@given(CODE, CODE)
def test_an_incremental_parse_is_a_full_one(old: str, new: str) -> None:
    assert shape(parsed(new, parsed(old)).tree.root_node) == shape(parsed(new).tree.root_node)


def test_a_parse_past_its_budget_is_given_up_and_leaves_the_old_tree_whole() -> None:
    old = parsed("x = 1\n")
    before = shape(old.tree.root_node)
    assert parse("x = [1, 2, 3]\n" * 20_000, PYTHON, 1, old) is None
    assert shape(old.tree.root_node) == before


def test_offsets_count_code_points() -> None:
    syntax = parsed("'\U0001f600\u00e9' + name\n")
    assert syntax.byte(8) == len("'\U0001f600\u00e9' + n".encode())
    assert next(syntax.around(9)).type == "identifier"


@given(st.text(alphabet="a\ud83d\ude00\U0001f600\n", max_size=10))
def test_lone_surrogates_are_parsed_too(text: str) -> None:
    syntax = parsed(text)
    assert syntax.byte(len(text)) == len(syntax.source)
