"""Strings and comments are told from code by their marks alone, in each language."""

import pytest
from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name
from pygments.token import Comment
from pygments.util import ClassNotFound

from dgls.code.brackets import balance
from dgls.code.languages import LANGUAGES, Language, language_of
from dgls.code.literals import literal_at


@pytest.mark.parametrize(
    ("language", "text", "kind"),
    [
        ("python", "x = 'a", "string"),
        ("python", "x = 'a\ny", None),
        ("python", '"""a\n\nb', "string"),
        ("python", "x = 'a'  # b", "comment"),
        ("python", "#!/usr/bin/env python\nx", None),
        ("javascript", "#!/usr/bin/env node", "comment"),
        ("javascript", "/* a\n b", "comment"),
        ("javascript", "/* a\n b */ c", None),
        ("javascript", "x = `a\nb", "string"),
        ("javascript", 'split(/["`]/); x', None),
        ("javascript", "a / b / `c", "string"),
        ("javascript", "x = 'http://y'; z", None),
        ("go", "x = `a\\`; y", None),
        ("rust", "fn f<'a>(x: &'a str) { '\"'; y", None),
        ("csharp", '@"a\\"; x', None),
        ("csharp", '@"a\nb', "string"),
        ("lua", "--[[ a\nb", "comment"),
        ("lua", "x = [[a\nb", "string"),
        ("ruby", "=begin\na", "comment"),
        ("ruby", "=begin\na\n=end\nb", None),
        ("php", "# a", "comment"),
        ("php", "#[A(1)]\nb", None),
        ("shellscript", "echo $# ${#a} b", None),
        ("shellscript", "echo 'a\\' b", None),
        ("html", "<p>don't</p>", None),
        ("html", '<a href="b', "string"),
        ("json", "// a", "comment"),
        ("scss", "url(http://a/b)", None),
        ("sql", "x = 'a\\' b", None),
        ("haskell", "foldl' f", None),
        ("vim", '" a', "comment"),
        ("vim", 'echo "a', "string"),
        ("bat", "  rem a", "comment"),
        ("powershell", '@"\na "b" c', "string"),
        ("makefile", "a: b # c", "comment"),
        ("dockerfile", "RUN a # b", None),
        ("perl", "=head1 A\na", "comment"),
        ("perl", "q{'} a", None),
        ("cobol", "don't a", None),
        ("cobol", "// a", "comment"),
        ("cobol", "a // b", None),
        ("shellscript", "cat <<EOF | grep ", None),
        ("shellscript", "cat <<EOF | grep 'a\nb", "string"),
        ("shellscript", "cat <<'EOF'\nb\nEOF\nc", None),
        ("shellscript", "(( a = 1<<bits ))\nb", None),
        ("perl", 'print <<"A1", $b\n;', "string"),
        ("php", "$a = <<<'EOT'\nb\n  EOT;\nc", None),
        ("lua", "x = [==[ a ]] b", "string"),
        ("lua", "x = [==[ a ]==] b", None),
        ("cmake", "#[=[ a\nb", "comment"),
        ("cmake", 'x(\\"a\n', None),
        ("sql", "x = 'a\nb", "string"),
    ],
)
def test_literal_at_the_end_of_a_text_goes_by_the_marks(language: str, text: str, kind: str | None) -> None:
    literal = literal_at(text, 0, len(text), language_of(language))
    assert (literal.kind if literal else None) == kind


@pytest.mark.parametrize(
    ("language", "above", "kind"),
    [
        ("python", '"""a\n', "string"),
        ("python", '"""a"""\n', None),
        ("c", "/* a\n", "comment"),
        ("c", "/* a */\n", None),
        ("javascript", 'x = "src/**.js"\n', None),
        ("haskell", "{- a\n", "comment"),
    ],
)
def test_literal_below_a_window_that_starts_in_one_is_known(language: str, above: str, kind: str | None) -> None:
    text = above + "the total"
    literal = literal_at(text, len(above), len(text), language_of(language))
    assert (literal.kind if literal else None) == kind


@pytest.mark.parametrize(
    ("language", "text", "openers", "closers"),
    [
        ("python", "f(')', [  # (", (1, 7), ()),
        ("rust", "g(')')", (), ()),
        ("kotlin", '":) hi")', (), (7,)),
        ("pascal", "{ ( } (", (6,), ()),
        ("clojure", "(f \\) (", (0, 6), ()),
        ("cobol", "('a) b'", (0,), ()),
        ("javascript", "s.match(/\\)/g", (7,), ()),
    ],
)
def test_balance_skips_brackets_in_literals(
    language: str, text: str, openers: tuple[int, ...], closers: tuple[int, ...]
) -> None:
    unpaired = balance(text, language_of(language))
    assert (unpaired.openers, unpaired.closers) == (openers, closers)


def test_balance_of_a_text_that_starts_in_a_string_begins_at_its_end() -> None:
    inside = balance('f("', language_of("kotlin")).literal
    assert balance(') a") b)', language_of("kotlin"), inside).closers == (4, 7)


OTHER_MARKS = {
    ("asm", "^#"),
    ("handlebars", "{{!--"),  # Pygments reads the templates' marks in other lexers
    ("handlebars", "{{!"),
    ("handlebars", "<!--"),
    ("twig", "<!--"),
    ("razor", "<!--"),
    ("razor", "@*"),
    ("razor", "<%--"),
    ("sass", "/*"),
    ("matlab", "#"),  # Octave's
    ("vim", "#"),  # Vim9's
    ("properties", "^;"),
}


def lexer_of(language: Language) -> Lexer | None:
    for name in (language.id, *language.ids, *(extension[1:] for extension in language.extensions)):
        try:
            return get_lexer_by_name(name, stripnl=False, **({"startinline": True} if name == "php" else {}))
        except ClassNotFound:
            continue
    return None


WITH_LEXER = [(language, lexer) for language in LANGUAGES if (lexer := lexer_of(language)) is not None]


@pytest.mark.parametrize(("language", "lexer"), WITH_LEXER, ids=lambda each: getattr(each, "id", ""))
def test_comment_marks_are_those_of_pygments(language: Language, lexer: Lexer) -> None:
    for start, end in (*((mark, "") for mark in language.line_comments), *language.block_comments):
        if (language.id, start) not in OTHER_MARKS:
            text = (
                f"{start.removeprefix('^')}\nword\n{end.removeprefix('^')}\n" if end else f"{start.strip('^')} word\n"
            )
            kinds = [kind for kind, value in lexer.get_tokens(text) for _ in value]
            assert kinds[text.index("word")] in Comment, start


def test_table_is_held_against_pygments_nearly_whole() -> None:
    assert len(LANGUAGES) >= 80
    assert len(WITH_LEXER) >= 0.9 * len(LANGUAGES)
