"""The fields of an entry in the table of `languages`. Data only."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

Kind = Literal["code", "markup", "data", "prose"]

SAYS_UNWRITTEN = (
    r"(?:not[ _-]?(?:yet[ _-]?)?implemented|unimplemented|not (?:yet )?supported yet|implement (?:me|this)"
    r"|to be implemented|[\"'`]\s*(?:todo|fixme)\s*[:!\"'`(])"
)
THROWS_UNWRITTEN = rf"throw\b.*{SAYS_UNWRITTEN}.*"
_EMPTY_VALUE = (
    r"(?:return\b|exit\b|[\s,;()]|None|null|nil|NULL|nullptr|undefined|[tT]rue|[fF]alse|default|-?[01](?:\.0)?\b"
    r"|\[\]|\{\}|\"\"|''|Default::default)+"
)
_ENDERS = frozenset({"break", "continue", "goto", "return", "throw"})
_COMMENT_TOKENS = MappingProxyType({"#": ("#", "##"), "//": ("/", "//", "///", "/*", "/**"), "--": ("-", "--", "---")})
_OTHER_TOKENS = ("/", "/*", "/**")
_LITERALS = frozenset({"true", "false", "none", "null", "nil", "this", "self", "super"})

CLOSING_BRACKET = r"[\])}]"


@dataclass(frozen=True, slots=True)
class Quote:
    """Where a string starts and ends. `escape` takes its meaning from the character behind it. A string that ends with
    its line, even if it is not closed, has no `lines`."""

    start: str
    end: str
    escape: str = "\\"
    lines: bool = False


DOUBLE, SINGLE, BACKTICK = Quote('"', '"'), Quote("'", "'"), Quote("`", "`", lines=True)
TRIPLE, TRIPLE_SINGLE = Quote('"""', '"""', lines=True), Quote("'''", "'''", lines=True)
RAW_DOUBLE, RAW_SINGLE, RAW_BACKTICK = (replace(quote, escape="") for quote in (DOUBLE, SINGLE, BACKTICK))
ATTRIBUTES = (Quote('="', '"', ""), Quote("='", "'", ""))
"""In markup a quote delimits a string only behind `=`: elsewhere it is text."""


ESCAPED = r"\\."
"""A character that a backslash deprives of its meaning outside of strings, too."""

TAG = r"<(?!(?i:area|base|br|col|embed|hr|img|input|link|meta|source|track|wbr)[\s>])[A-Za-z][^<>/]*>$"
"""A tag that opens an element; those that HTML never closes do not."""

HEREDOC = r"(?<![<\w)])<<[-~]?(?:[ \t]*[\"'\\]?(?=[A-Z_])|[\"'\\]?)(?P<word>[A-Za-z_]\w+)[\"']?"
"""The start of a string on the lines below. A shift of bits to the left looks alike."""

CHARACTER = r"'(?:\\[^\n']{1,9}|\\'|[^\\\n'])'"
"""A single character, in languages in which a lone ' is no quote."""

REGEX = (
    r"/(?:(?<=[(,=:\[!&|?{};\n~]/)|(?<=[(,=:\[!&|?{};~] /)|(?<=return /)|(?<![\s\S]/))"
    r"(?![/*\s])(?:[^/\\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*+\])++/"
)
"""A regular expression: a slash where no operator can stand, up to the next one outside of brackets."""


@dataclass(frozen=True, slots=True)
class Placeholders:
    """Statements that stand in for code that is not written yet. Each pattern matches a whole statement.

    `nothing` does nothing. `refusal` says that code is missing. `value` is a result returned for want of a better one:
    it is a placeholder only beside a refusal or a comment that says TODO. `hints` find text in which such a statement
    may be; each begins with plain letters, because these are fast to search for.
    """

    nothing: str = r";+"
    refusal: str = THROWS_UNWRITTEN
    value: str = _EMPTY_VALUE
    hints: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Language:
    """`id` is the LSP language id, `ids` are others that clients send. `filetypes` are Neovim's names, if they differ
    from these ids. `grammar` names a module and the function in it that returns the grammar.

    `grammar_within` is the grammar of code whose opening mark, the first of `around_code`, is above the parsed text.

    `names` are whole file names. `line_comments` start a comment up to the line's end; with ^ in front, only where the
    line's code begins. `block_comments` are pairs of marks; with ^ they stand at the start of a line. Literals of
    other forms, such as regular expressions, match `atoms`. `quotes` delimit strings, longer marks before shorter ones.
    `heredoc` matches what announces a string on the lines below, up to the `word` that ends it.

    `opener` finds the head of a body at the end of a line's text. `closer` matches the start of a line that ends a body
    (or goes on after it, as `else`). Only tabs indent a language that `needs_tabs`. In an `offside` language
    indentation alone ends a body. `heads` are the words that begin the head of a
    body, and nothing else; `soft_heads` may also be names. Nothing runs behind a statement that begins with one of
    the `enders`. `definition` matches the start of a line from which blank lines separate the code behind its body.

    Node types: `bodies` hold statements, `interpolations` are code inside a string, `undivided` is text in which the
    grammar tells nothing apart, `literals` are words with a meaning of their own, `closures` are functions without a
    name.

    `words` need no definition: the types and modules that come with the language (not its functions: they are there to
    be called). A body of a language that `ends_with_value` may end in a name alone. With `optional_types`, annotations
    may be missing in code that is correct. Only a language of the kind "code" has functions, and so `placeholders`.
    """

    id: str
    grammar: tuple[str, str] | None = None
    grammar_within: tuple[str, str] | None = None
    around_code: tuple[str, str] = ("", "")
    kind: Kind = "code"
    ids: tuple[str, ...] = ()
    filetypes: tuple[str, ...] = ()
    extensions: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    line_comments: tuple[str, ...] = ("//",)
    block_comments: tuple[tuple[str, str], ...] = (("/*", "*/"),)
    has_comments: bool = True
    quotes: tuple[Quote, ...] = (DOUBLE, SINGLE)
    atoms: str = ""
    heredoc: str = ""
    opener: str = r"\{$"
    closer: str = CLOSING_BRACKET
    indent: str = "    "
    needs_tabs: bool = False
    offside: bool = False
    heads: frozenset[str] = frozenset()
    soft_heads: frozenset[str] = frozenset()
    enders: frozenset[str] = _ENDERS
    definition: str = r"(?!)"
    bodies: frozenset[str] = frozenset()
    strings: frozenset[str] = frozenset()
    comments: frozenset[str] = frozenset({"comment"})
    interpolations: frozenset[str] = frozenset()
    undivided: frozenset[str] = frozenset()
    functions: frozenset[str] = frozenset()
    closures: frozenset[str] = frozenset()
    literals: frozenset[str] = _LITERALS
    words: frozenset[str] = frozenset()
    ends_with_value: bool = False
    optional_types: bool = False
    placeholders: Placeholders = Placeholders()

    @property
    def comment_tokens(self) -> tuple[str, ...]:
        """The tokens that begin a comment where a statement may begin."""
        tokens = [token for mark in self.line_comments for token in _COMMENT_TOKENS.get(mark, ())]
        return tuple(dict.fromkeys(tokens)) or _OTHER_TOKENS
