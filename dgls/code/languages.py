"""What the planner knows about each language: one table entry, data only.

Supporting a language means adding an entry here (and its grammar's wheel to the project's dependencies).
`FALLBACK` serves every other language by lines and indentation alone.
"""

from __future__ import annotations
import __future__

import builtins
import sys
from dataclasses import dataclass
from pathlib import PurePosixPath
from types import BuiltinFunctionType

_BRACES = r"\{$"
_CLOSING = r"[\])}]"
_LITERALS = frozenset({"true", "false", "none", "null", "nil", "this", "self", "super"})


@dataclass(frozen=True, slots=True)
class Language:
    """`grammar` names a module and its function that returns the grammar.

    `opener` finds, at the end of a line's text, what starts a body that is indented deeper; `closer` matches the
    start of a line that ends one (or goes on after it, as `else`). `quotes` delimit strings on one line,
    `line_comment` opens a comment up to the line's end. The rest are node types: `bodies` hold statements,
    `interpolations` are code again inside a string, `literals` words with a meaning of their own.

    `words` need no definition: the types and modules that come with the language (not its functions: they are there to
    be called). A body of a language that `ends_with_value` may end in a name alone. In an `offside` language
    indentation alone ends a body. `prose` is written for people.
    """

    id: str
    grammar: tuple[str, str] | None = None
    ids: tuple[str, ...] = ()
    extensions: tuple[str, ...] = ()
    line_comment: str | None = "//"
    quotes: str = "\"'"
    opener: str = _BRACES
    closer: str = _CLOSING
    indent: str = "    "
    offside: bool = False
    bodies: frozenset[str] = frozenset()
    strings: frozenset[str] = frozenset()
    comments: frozenset[str] = frozenset({"comment"})
    interpolations: frozenset[str] = frozenset()
    literals: frozenset[str] = _LITERALS
    words: frozenset[str] = frozenset()
    ends_with_value: bool = False
    prose: bool = False


def _types(names: str) -> frozenset[str]:
    return frozenset(names.split())


FALLBACK = Language("unknown", line_comment=None, quotes="", opener=r"[{:]$")

_PYTHON_HEADER = r"^\s*(async|class|def|elif|else|except|finally|for|if|match|case|try|while|with)\b.*:(\s*#.*)?$"
_PYTHON_WORDS = (
    frozenset(name for name, value in vars(builtins).items() if not isinstance(value, BuiltinFunctionType))
    | sys.stdlib_module_names
    | frozenset(__future__.all_feature_names)
)
_JS_STRINGS = _types("string template_string regex jsx_text")
_JS_BODIES = _types("program statement_block class_body switch_body")
_TS_BODIES = _JS_BODIES | _types("interface_body enum_body")
_C_BODIES = _types("translation_unit compound_statement field_declaration_list declaration_list enumerator_list")
_C_STRINGS = _types("string_literal char_literal system_lib_string")

LANGUAGES: tuple[Language, ...] = (
    Language(
        "python",
        ("tree_sitter_python", "language"),
        extensions=(".py", ".pyi"),
        line_comment="#",
        opener=_PYTHON_HEADER,
        closer=_CLOSING + r"|(elif|else|except|finally)\b",
        offside=True,
        bodies=_types("module block"),
        strings=_types("string"),
        interpolations=_types("interpolation"),
        words=_PYTHON_WORDS,
    ),
    Language(
        "javascript",
        ("tree_sitter_javascript", "language"),
        ids=("javascriptreact",),
        extensions=(".js", ".jsx", ".mjs", ".cjs"),
        quotes="\"'`",
        indent="  ",
        bodies=_JS_BODIES,
        strings=_JS_STRINGS,
        interpolations=_types("template_substitution"),
    ),
    Language(
        "typescript",
        ("tree_sitter_typescript", "language_typescript"),
        extensions=(".ts", ".mts", ".cts"),
        quotes="\"'`",
        indent="  ",
        bodies=_TS_BODIES,
        strings=_JS_STRINGS,
        interpolations=_types("template_substitution"),
    ),
    Language(
        "typescriptreact",
        ("tree_sitter_typescript", "language_tsx"),
        extensions=(".tsx",),
        quotes="\"'`",
        indent="  ",
        bodies=_TS_BODIES,
        strings=_JS_STRINGS,
        interpolations=_types("template_substitution"),
    ),
    Language(
        "go",
        ("tree_sitter_go", "language"),
        extensions=(".go",),
        quotes="\"'`",
        closer=_CLOSING + r"|(case\b.*|default\s*):",
        indent="\t",
        bodies=_types("source_file block statement_list field_declaration_list interface_type"),
        strings=_types("interpreted_string_literal raw_string_literal rune_literal"),
    ),
    Language(
        "rust",
        ("tree_sitter_rust", "language"),
        extensions=(".rs",),
        quotes='"',  # ' also opens lifetimes
        bodies=_types("source_file block declaration_list match_block field_declaration_list enum_variant_list"),
        ends_with_value=True,
        strings=_types("string_literal raw_string_literal char_literal"),
        comments=_types("line_comment block_comment"),
    ),
    Language(
        "java",
        ("tree_sitter_java", "language"),
        extensions=(".java",),
        bodies=_types("program block class_body interface_body enum_body constructor_body switch_block"),
        strings=_types("string_literal character_literal"),
        comments=_types("line_comment block_comment"),
        interpolations=_types("string_interpolation"),
    ),
    Language(
        "c",
        ("tree_sitter_c", "language"),
        extensions=(".c", ".h"),
        bodies=_C_BODIES,
        strings=_C_STRINGS,
    ),
    Language(
        "cpp",
        ("tree_sitter_cpp", "language"),
        extensions=(".cpp", ".cc", ".cxx", ".hpp", ".hh", ".hxx"),
        closer=_CLOSING + r"|(public|private|protected)\s*:",
        bodies=_C_BODIES,
        strings=_C_STRINGS | {"raw_string_literal"},
    ),
    Language(
        "csharp",
        ("tree_sitter_c_sharp", "language"),
        extensions=(".cs",),
        bodies=_types("compilation_unit declaration_list block switch_body accessor_list enum_member_declaration_list"),
        strings=_types(
            "string_literal verbatim_string_literal raw_string_literal character_literal interpolated_string_expression"
        ),
        interpolations=_types("interpolation"),
    ),
    Language(
        "ruby",
        ("tree_sitter_ruby", "language"),
        extensions=(".rb", ".rake"),
        line_comment="#",
        opener=r"^\s*(def|class|module|if|elsif|else|unless|while|until|for|case|when|begin|rescue|ensure)\b"
        r"(?!.*\bend$)|\bdo(\s*\|.*\|)?$|\{(\s*\|.*\|)?$",
        closer=_CLOSING + r"|(end|elsif|else|when|rescue|ensure)\b",
        indent="  ",
        bodies=_types("program body_statement then else"),
        strings=_types("string heredoc_body regex"),
        interpolations=_types("interpolation"),
        ends_with_value=True,
    ),
    Language(
        "php",
        ("tree_sitter_php", "language_php"),
        extensions=(".php",),
        bodies=_types("program compound_statement declaration_list switch_block"),
        strings=_types("string encapsed_string heredoc"),
    ),
    Language(
        "lua",
        ("tree_sitter_lua", "language"),
        extensions=(".lua",),
        line_comment="--",
        opener=r"\b(then|do|else|repeat)$|\bfunction\b[^()]*\([^()]*\)$|\{$",
        closer=_CLOSING + r"|(end|else|elseif|until)\b",
        indent="  ",
        bodies=_types("chunk block"),
        strings=_types("string"),
    ),
    Language(
        "shellscript",
        ("tree_sitter_bash", "language"),
        ids=("bash", "sh"),
        extensions=(".sh", ".bash"),
        line_comment="#",
        opener=r"\b(then|do|else)$|\{$",
        closer=_CLOSING + r"|(fi|done|else|elif|esac)\b",
        indent="  ",
        bodies=_types("program compound_statement do_group if_statement else_clause elif_clause case_item"),
        strings=_types("string raw_string ansi_c_string heredoc_body"),
        interpolations=_types("command_substitution expansion"),
    ),
    Language(
        "html",
        ("tree_sitter_html", "language"),
        extensions=(".html", ".htm"),
        line_comment=None,
        quotes="",
        opener=r"<[A-Za-z][^<>/]*>$",
        closer=r"</",
        indent="  ",
        bodies=_types("document element"),
        strings=_types("quoted_attribute_value"),
    ),
    Language(
        "css",
        ("tree_sitter_css", "language"),
        extensions=(".css",),
        line_comment=None,
        indent="  ",
        bodies=_types("stylesheet block"),
        strings=_types("string_value"),
    ),
    Language(
        "json",
        ("tree_sitter_json", "language"),
        ids=("jsonc",),
        extensions=(".json",),
        line_comment=None,
        quotes='"',
        opener=r"[\[{]$",
        indent="  ",
        bodies=_types("document object array"),
    ),  # no strings: nearly all one types in JSON is in one
    Language(
        "yaml",
        ("tree_sitter_yaml", "language"),
        ids=("dockercompose",),
        extensions=(".yaml", ".yml"),
        line_comment="#",
        opener=r":$",
        indent="  ",
        offside=True,
        bodies=_types("stream document block_mapping block_sequence block_node"),
        strings=_types("double_quote_scalar single_quote_scalar"),
    ),
    Language(
        "toml",
        ("tree_sitter_toml", "language"),
        extensions=(".toml",),
        line_comment="#",
        opener=r"\[$",
        bodies=_types("document table table_array_element"),
        strings=_types("string"),
    ),
    Language(
        "markdown",
        ids=("restructuredtext", "latex", "tex", "asciidoc", "git-commit", "gitcommit"),
        extensions=(".md", ".markdown", ".rst", ".adoc", ".tex"),
        line_comment=None,
        quotes="",
        prose=True,
    ),
)


def language_of(language_id: str, path: str = "") -> Language:
    """The entry for an LSP language id, else for the path's extension, else `FALLBACK`."""
    for language in LANGUAGES:
        if language_id == language.id or language_id in language.ids:
            return language
    suffix = PurePosixPath(path).suffix.lower()
    return next((language for language in LANGUAGES if suffix in language.extensions), FALLBACK)
