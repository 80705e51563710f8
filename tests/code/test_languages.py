"""The table of languages: its grammars load, its names are unique, and what repeats it is up to date."""

import re
import tomllib

import pytest

from dgls.code.document import Document
from dgls.code.languages import LANGUAGES, Language, language_of
from dgls.code.parsing import grammar_of
from dgls.code.syntax import parse
from tests.lists import GRAMMARS, NEOVIM, REPO, grammars_page, neovim_configuration, versions, wheel_of

PARSED = [language for language in LANGUAGES if language.grammar]


@pytest.mark.parametrize("language", PARSED, ids=lambda language: language.id)
def test_grammar_of_each_language_knows_the_node_types_of_its_entry(language: Language) -> None:
    grammar = grammar_of(language)
    assert grammar is not None
    named = language.bodies | language.strings | language.comments | language.interpolations
    named |= language.functions | language.closures
    missing = {name for name in named if grammar.id_for_node_kind(name, True) is None}
    assert missing <= ({"comment"} if language.id == "json" else set())


@pytest.mark.parametrize("language", PARSED, ids=lambda language: language.id)
def test_entry_names_functions_only_for_code(language: Language) -> None:
    assert bool(language.functions) == (language.kind == "code")


def test_table_has_no_id_or_file_twice() -> None:
    ids = [name for language in LANGUAGES for name in (language.id, *language.ids)]
    files = [name for language in LANGUAGES for name in (*language.extensions, *language.names)]
    assert len(ids) == len(set(ids))
    assert len(files) == len(set(files))


@pytest.mark.parametrize(
    ("language_id", "path", "expected"),
    [
        ("python", "", "python"),
        ("javascriptreact", "a.jsx", "javascript"),
        ("", "file:///a/b.RS", "rust"),
        ("", "file:///a/Makefile", "makefile"),
        ("plaintext", "file:///a/.gitignore", "ignore"),
        ("plaintext", "file:///a/B.KT", "kotlin"),
        ("cobol", "a.cbl", "unknown"),
    ],
)
def test_language_of_looks_up_the_id_then_the_extension(language_id: str, path: str, expected: str) -> None:
    assert language_of(language_id, path).id == expected


def test_grammar_of_a_missing_wheel_is_none() -> None:
    assert grammar_of(Language("absent", ("tree_sitter_of_no_such_language", "language"))) is None
    assert parse(Document("untitled:1", 1, "cobol", "x"), 0) is None


@pytest.mark.parametrize("language", PARSED, ids=lambda language: language.id)
def test_wheel_of_each_grammar_is_a_dependency(language: Language) -> None:
    project = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert wheel_of(language) in {re.split(r"[><=~;\[]", name)[0] for name in project["dependencies"]}
    assert wheel_of(language) in versions()


def test_page_on_grammars_lists_the_table() -> None:
    page = GRAMMARS.read_text(encoding="utf-8")
    assert page == grammars_page(page), "run `python -m tests.lists`"
    assert f"\n| {PARSED[-1].id} | {wheel_of(PARSED[-1])} |" in page


def test_neovim_starts_the_server_for_the_languages_of_the_table() -> None:
    script = NEOVIM.read_text(encoding="utf-8")
    assert script == neovim_configuration(script), "run `python -m tests.lists`"
    assert f"'{PARSED[-1].id}'" in script


@pytest.mark.parametrize("language", PARSED, ids=lambda language: language.id)
def test_neovim_sends_an_id_of_the_table_for_each_filetype(language: Language) -> None:
    sent = dict(re.findall(r"(\w+) = '(\w+)'", NEOVIM.read_text(encoding="utf-8").split("get_language_id", 1)[1]))
    for filetype in language.filetypes or (language.id, *language.ids):
        assert language_of(sent.get(filetype, filetype)) is language
