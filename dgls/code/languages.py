"""The table of languages: one entry each, data only.

To add a language, follow the recipe in CONTRIBUTING.md. `FALLBACK` serves every language without an entry, by lines and
indentation alone.
"""

from __future__ import annotations
import __future__

import builtins
import sys
from pathlib import PurePosixPath
from types import BuiltinFunctionType

from dgls.code.language import CLOSING_BRACKET, SAYS_UNWRITTEN, THROWS_UNWRITTEN, Placeholders
from dgls.code.language import Language as Language


def _types(names: str) -> frozenset[str]:
    return frozenset(names.split())


_PYTHON_HEADER = (
    r"^\s*((async|class|def|elif|else|except|finally|for|if|match|case|try|while|with)\b|[)\]}]).*:(\s*#.*)?$"
)
_PYTHON_WORDS = (
    frozenset(name for name, value in vars(builtins).items() if not isinstance(value, BuiltinFunctionType))
    | sys.stdlib_module_names
    | frozenset(__future__.all_feature_names)
)
_PYTHON_NOTHING = (r"pass(?<!\wpass)[ \t]*+(?:[#;\r\n]|\Z)", r"\.\.\.[ \t]*+(?:[#;\r\n]|\Z)")
_JS_STRINGS = _types("string template_string regex jsx_text")
_JS_BODIES = _types("program statement_block class_body switch_body")
_TS_BODIES = _JS_BODIES | _types("interface_body enum_body")
_JS_FUNCTIONS = _types("function_declaration generator_function_declaration method_definition")
_JS_CLOSURES = _types("arrow_function function_expression generator_function")
_C_BODIES = _types("translation_unit compound_statement field_declaration_list declaration_list enumerator_list")
_C_STRINGS = _types("string_literal char_literal system_lib_string")
_C_ASSERTS = rf"assert\(.*{SAYS_UNWRITTEN}.*\)"

LANGUAGES: tuple[Language, ...] = (
    Language(
        "python",
        ("tree_sitter_python", "language"),
        extensions=(".py", ".pyi"),
        line_comment="#",
        opener=_PYTHON_HEADER,
        closer=CLOSING_BRACKET + r"|(elif|else|except|finally)\b",
        offside=True,
        heads=_types("async class def elif else except finally for if try while with"),
        soft_heads=_types("case match"),
        enders=_types("break continue pass raise return"),
        definition=r"(async\s+def|class|def)\b",
        bodies=_types("module block"),
        strings=_types("string"),
        interpolations=_types("interpolation"),
        words=_PYTHON_WORDS,
        functions=_types("function_definition"),
        optional_types=True,
        placeholders=Placeholders(
            nothing=r"pass|\.\.\.|;+",
            refusal=rf"raise\s+NotImplementedError\b.*|raise\b.*\(.*{SAYS_UNWRITTEN}.*"
            rf"|assert\s+(?:False|0)\b.*{SAYS_UNWRITTEN}.*",
            hints=_PYTHON_NOTHING,
        ),
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
        functions=_JS_FUNCTIONS,
        closures=_JS_CLOSURES,
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
        functions=_JS_FUNCTIONS,
        closures=_JS_CLOSURES,
        optional_types=True,
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
        functions=_JS_FUNCTIONS,
        closures=_JS_CLOSURES,
        optional_types=True,
    ),
    Language(
        "go",
        ("tree_sitter_go", "language"),
        extensions=(".go",),
        quotes="\"'`",
        closer=CLOSING_BRACKET + r"|(case\b.*|default\s*):",
        indent="\t",
        bodies=_types("source_file block statement_list field_declaration_list interface_type"),
        strings=_types("interpreted_string_literal raw_string_literal rune_literal"),
        functions=_types("function_declaration method_declaration"),
        closures=_types("func_literal"),
        placeholders=Placeholders(refusal=rf"panic\(.*{SAYS_UNWRITTEN}.*\)|return\b.*{SAYS_UNWRITTEN}.*"),
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
        functions=_types("function_item"),
        closures=_types("closure_expression"),
        placeholders=Placeholders(
            refusal=rf"(?:todo|unimplemented)!\s*[(\[{{].*|(?:panic|unreachable)!\(.*{SAYS_UNWRITTEN}.*"
            rf"|(?:return\s+)?Err\(.*{SAYS_UNWRITTEN}.*",
            hints=("todo!",),
        ),
    ),
    Language(
        "java",
        ("tree_sitter_java", "language"),
        extensions=(".java",),
        bodies=_types("program block class_body interface_body enum_body constructor_body switch_block"),
        strings=_types("string_literal character_literal"),
        comments=_types("line_comment block_comment"),
        interpolations=_types("string_interpolation"),
        functions=_types("method_declaration constructor_declaration compact_constructor_declaration"),
        closures=_types("lambda_expression"),
        placeholders=Placeholders(
            refusal=rf"{THROWS_UNWRITTEN}|throw\s+new\s+UnsupportedOperationException\(\s*\)",
            hints=(r"UnsupportedOperationException\(\s*+\)", "upported yet"),
        ),
    ),
    Language(
        "c",
        ("tree_sitter_c", "language"),
        extensions=(".c", ".h"),
        bodies=_C_BODIES,
        strings=_C_STRINGS,
        functions=_types("function_definition"),
        placeholders=Placeholders(refusal=_C_ASSERTS),
    ),
    Language(
        "cpp",
        ("tree_sitter_cpp", "language"),
        extensions=(".cpp", ".cc", ".cxx", ".hpp", ".hh", ".hxx"),
        closer=CLOSING_BRACKET + r"|(public|private|protected)\s*:",
        bodies=_C_BODIES,
        strings=_C_STRINGS | {"raw_string_literal"},
        functions=_types("function_definition"),
        closures=_types("lambda_expression"),
        placeholders=Placeholders(refusal=rf"{THROWS_UNWRITTEN}|{_C_ASSERTS}"),
    ),
    Language(
        "csharp",
        ("tree_sitter_c_sharp", "language"),
        filetypes=("cs",),
        extensions=(".cs",),
        bodies=_types("compilation_unit declaration_list block switch_body accessor_list enum_member_declaration_list"),
        strings=_types(
            "string_literal verbatim_string_literal raw_string_literal character_literal interpolated_string_expression"
        ),
        interpolations=_types("interpolation"),
        functions=_types(
            "method_declaration constructor_declaration destructor_declaration local_function_statement "
            "accessor_declaration operator_declaration"
        ),
        closures=_types("lambda_expression anonymous_method_expression"),
    ),
    Language(
        "ruby",
        ("tree_sitter_ruby", "language"),
        extensions=(".rb", ".rake"),
        line_comment="#",
        opener=r"^\s*(def|class|module|if|elsif|else|unless|while|until|for|case|when|begin|rescue|ensure)\b"
        r"(?!.*\bend$)|\bdo(\s*\|.*\|)?$|\{(\s*\|.*\|)?$",
        closer=CLOSING_BRACKET + r"|(end|elsif|else|when|rescue|ensure)\b",
        indent="  ",
        enders=frozenset(),  # `return if ...` goes on
        bodies=_types("program body_statement then else"),
        strings=_types("string heredoc_body regex"),
        interpolations=_types("interpolation"),
        ends_with_value=True,
        functions=_types("method singleton_method"),
        placeholders=Placeholders(nothing=r"nil|;+", refusal=rf"(?:raise|fail)\b.*{SAYS_UNWRITTEN}.*"),
    ),
    Language(
        "php",
        ("tree_sitter_php", "language_php"),
        extensions=(".php",),
        bodies=_types("program compound_statement declaration_list switch_block"),
        strings=_types("string encapsed_string heredoc"),
        functions=_types("function_definition method_declaration"),
        closures=_types("anonymous_function"),
        optional_types=True,
    ),
    Language(
        "lua",
        ("tree_sitter_lua", "language"),
        extensions=(".lua",),
        line_comment="--",
        opener=r"\b(then|do|else|repeat)$|\bfunction\b[^()]*\([^()]*\)$|\{$",
        closer=CLOSING_BRACKET + r"|(end|else|elseif|until)\b",
        indent="  ",
        bodies=_types("chunk block"),
        strings=_types("string"),
        functions=_types("function_declaration"),
        closures=_types("function_definition"),
        placeholders=Placeholders(refusal=rf"error\s*\(.*{SAYS_UNWRITTEN}.*\)"),
    ),
    Language(
        "shellscript",
        ("tree_sitter_bash", "language"),
        ids=("bash", "sh"),
        filetypes=("bash", "sh"),
        extensions=(".sh", ".bash"),
        line_comment="#",
        opener=r"\b(then|do|else)$|\{$",
        closer=CLOSING_BRACKET + r"|(fi|done|else|elif|esac)\b",
        indent="  ",
        bodies=_types("program compound_statement do_group if_statement else_clause elif_clause case_item"),
        strings=_types("string raw_string ansi_c_string heredoc_body"),
        interpolations=_types("command_substitution expansion"),
        functions=_types("function_definition"),
        placeholders=Placeholders(
            nothing=r":|true|;+",
            refusal=rf"(?:echo|printf)\b.*{SAYS_UNWRITTEN}.*",
            value=r"(?:return|exit)\s+\d+",
        ),
    ),
    Language(
        "html",
        ("tree_sitter_html", "language"),
        kind="markup",
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
        kind="markup",
        extensions=(".css",),
        line_comment=None,
        indent="  ",
        bodies=_types("stylesheet block"),
        strings=_types("string_value"),
    ),
    Language(
        "json",
        ("tree_sitter_json", "language"),
        kind="data",
        ids=("jsonc",),
        extensions=(".json",),
        line_comment=None,
        has_comments=False,
        quotes='"',
        opener=r"[\[{]$",
        indent="  ",
        bodies=_types("document object array"),
    ),  # no strings, because nearly all code of a JSON file is inside of them
    Language(
        "yaml",
        ("tree_sitter_yaml", "language"),
        kind="data",
        ids=("dockercompose",),
        filetypes=("yaml",),
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
        kind="data",
        extensions=(".toml",),
        line_comment="#",
        opener=r"\[$",
        bodies=_types("document table table_array_element"),
        strings=_types("string"),
    ),
    Language(
        "markdown",
        kind="prose",
        ids=("restructuredtext", "latex", "tex", "asciidoc", "git-commit", "gitcommit"),
        extensions=(".md", ".markdown", ".rst", ".adoc", ".tex"),
        line_comment=None,
        quotes="",
    ),
)

FALLBACK = Language(
    "unknown",
    line_comment=None,
    quotes="",
    opener=r"[{:]$",
    placeholders=Placeholders(
        nothing=r"pass|\.\.\.|:|\(\)|;+",
        refusal=f"(?:{'|'.join({language.placeholders.refusal: None for language in LANGUAGES})})",
        hints=_PYTHON_NOTHING,
    ),
)
"""A placeholder of any language counts as one here."""


def language_of(language_id: str, path: str = "") -> Language:
    """The entry with this LSP language id, else the one with the path's extension, else `FALLBACK`."""
    for language in LANGUAGES:
        if language_id == language.id or language_id in language.ids:
            return language
    suffix = PurePosixPath(path).suffix.lower()
    return next((language for language in LANGUAGES if suffix in language.extensions), FALLBACK)
