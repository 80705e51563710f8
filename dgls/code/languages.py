"""The table of languages: one entry each, data only.

The entries here have a grammar, those of `plain_languages` have none. `FALLBACK` serves every language without an
entry. To add a language, follow the recipe in CONTRIBUTING.md.
"""

from __future__ import annotations
import __future__

import builtins
import sys
from dataclasses import replace
from pathlib import PurePosixPath
from types import BuiltinFunctionType, MappingProxyType

from dgls.code.language import (
    ATTRIBUTES,
    BACKTICK,
    CHARACTER,
    CLOSING_BRACKET,
    DOUBLE,
    ESCAPED,
    HEREDOC,
    RAW_BACKTICK,
    RAW_SINGLE,
    REGEX,
    SAYS_UNWRITTEN,
    SINGLE,
    TAG,
    THROWS_UNWRITTEN,
    TRIPLE,
    TRIPLE_SINGLE,
    Placeholders,
    Quote,
)
from dgls.code.language import Language as Language
from dgls.code.plain_languages import PLAIN


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
_JS_QUOTES = (DOUBLE, SINGLE, BACKTICK)
_RUST_QUOTES = (
    *(Quote(f'r{hashes}"', f'"{hashes}', "", lines=True) for hashes in ("##", "#", "")),
    replace(DOUBLE, lines=True),
)
_CSHARP_VERBATIM = (
    Quote('$@"', '"', "", lines=True),
    Quote('@$"', '"', "", lines=True),
    Quote('@"', '"', "", lines=True),
)
_C_BODIES = _types("translation_unit compound_statement field_declaration_list declaration_list enumerator_list")
_C_STRINGS = _types("string_literal char_literal system_lib_string")
_C_ASSERTS = rf"assert\(.*{SAYS_UNWRITTEN}.*\)"

_PARSED: tuple[Language, ...] = (
    Language(
        "python",
        ("tree_sitter_python", "language"),
        line_comments=("#",),
        block_comments=(),
        quotes=(TRIPLE, TRIPLE_SINGLE, DOUBLE, SINGLE),
        extensions=(".py", ".pyi", ".pyw"),
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
        quotes=_JS_QUOTES,
        atoms=REGEX,
        ids=("javascriptreact",),
        extensions=(".js", ".jsx", ".mjs", ".cjs"),
        indent="  ",
        bodies=_JS_BODIES,
        strings=_JS_STRINGS,
        interpolations=_types("template_substitution"),
        comments=_types("comment hash_bang_line"),
        functions=_JS_FUNCTIONS,
        closures=_JS_CLOSURES,
    ),
    Language(
        "typescript",
        ("tree_sitter_typescript", "language_typescript"),
        quotes=_JS_QUOTES,
        atoms=REGEX,
        extensions=(".ts", ".mts", ".cts"),
        indent="  ",
        bodies=_TS_BODIES,
        strings=_JS_STRINGS,
        interpolations=_types("template_substitution"),
        comments=_types("comment hash_bang_line"),
        functions=_JS_FUNCTIONS,
        closures=_JS_CLOSURES,
        optional_types=True,
    ),
    Language(
        "typescriptreact",
        ("tree_sitter_typescript", "language_tsx"),
        quotes=_JS_QUOTES,
        atoms=REGEX,
        extensions=(".tsx",),
        indent="  ",
        bodies=_TS_BODIES,
        strings=_JS_STRINGS,
        interpolations=_types("template_substitution"),
        comments=_types("comment hash_bang_line"),
        functions=_JS_FUNCTIONS,
        closures=_JS_CLOSURES,
        optional_types=True,
    ),
    Language(
        "go",
        ("tree_sitter_go", "language"),
        quotes=(DOUBLE, SINGLE, RAW_BACKTICK),
        extensions=(".go",),
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
        quotes=_RUST_QUOTES,
        atoms=CHARACTER,
        extensions=(".rs",),
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
        quotes=(TRIPLE, DOUBLE, SINGLE),
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
        undivided=_types("preproc_arg"),
        functions=_types("function_definition"),
        placeholders=Placeholders(refusal=_C_ASSERTS),
    ),
    Language(
        "cpp",
        ("tree_sitter_cpp", "language"),
        quotes=(Quote('R"(', ')"', "", lines=True), DOUBLE, SINGLE),
        extensions=(".cpp", ".cc", ".cxx", ".hpp", ".hh", ".hxx"),
        closer=CLOSING_BRACKET + r"|(public|private|protected)\s*:",
        bodies=_C_BODIES,
        strings=_C_STRINGS | {"raw_string_literal"},
        undivided=_types("preproc_arg"),
        functions=_types("function_definition"),
        closures=_types("lambda_expression"),
        placeholders=Placeholders(refusal=rf"{THROWS_UNWRITTEN}|{_C_ASSERTS}"),
    ),
    Language(
        "csharp",
        ("tree_sitter_c_sharp", "language"),
        quotes=(TRIPLE, *_CSHARP_VERBATIM, DOUBLE, SINGLE),
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
        line_comments=("#",),
        block_comments=(("^=begin", "^=end"),),
        atoms=REGEX,
        heredoc=HEREDOC,
        extensions=(".rb", ".rake", ".gemspec", ".ru"),
        names=("Gemfile", "Rakefile", "Vagrantfile", "Podfile"),
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
        ("tree_sitter_php", "language_php_only"),
        around_code=("<?", "?>"),
        line_comments=("//", "#"),
        atoms=r"#\[",  # an attribute
        heredoc=r"<<<[ \t]*[\"']?(?P<word>[A-Za-z_]\w*)[\"']?",
        extensions=(".php", ".phtml"),
        bodies=_types("program compound_statement declaration_list switch_block"),
        strings=_types("string encapsed_string heredoc"),
        functions=_types("function_definition method_declaration"),
        closures=_types("anonymous_function"),
        optional_types=True,
    ),
    Language(
        "lua",
        ("tree_sitter_lua", "language"),
        line_comments=("--",),
        block_comments=(("--[[", "]]"),),
        quotes=(Quote("[[", "]]", "", lines=True), DOUBLE, SINGLE),
        extensions=(".lua",),
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
        line_comments=("#",),
        block_comments=(),
        quotes=(DOUBLE, RAW_SINGLE),
        atoms=ESCAPED,
        heredoc=HEREDOC,
        ids=("bash", "sh"),
        filetypes=("bash", "sh"),
        extensions=(".sh", ".bash", ".bashrc", ".bash_profile", ".profile"),
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
        line_comments=(),
        block_comments=(("<!--", "-->"),),
        quotes=ATTRIBUTES,
        kind="markup",
        extensions=(".html", ".htm", ".xhtml"),
        opener=TAG,
        closer=r"</",
        indent="  ",
        bodies=_types("document element"),
        strings=_types("quoted_attribute_value"),
    ),
    Language(
        "css",
        ("tree_sitter_css", "language"),
        line_comments=(),
        kind="markup",
        extensions=(".css",),
        indent="  ",
        bodies=_types("stylesheet block"),
        strings=_types("string_value"),
    ),
    Language(
        "json",
        ("tree_sitter_json", "language"),
        quotes=(DOUBLE,),
        kind="data",
        ids=("jsonc", "json5", "jsonl", "snippets"),
        extensions=(".json", ".jsonc", ".json5", ".jsonl", ".code-workspace"),
        has_comments=False,
        opener=r"[\[{]$",
        indent="  ",
        bodies=_types("document object array"),
    ),  # no strings, because nearly all code of a JSON file is inside of them
    Language(
        "yaml",
        ("tree_sitter_yaml", "language"),
        line_comments=("#",),
        block_comments=(),
        quotes=(DOUBLE, RAW_SINGLE),
        kind="data",
        ids=("dockercompose",),
        filetypes=("yaml",),
        extensions=(".yaml", ".yml"),
        opener=r":$",
        indent="  ",
        offside=True,
        bodies=_types("stream document block_mapping block_sequence block_node"),
        strings=_types("double_quote_scalar single_quote_scalar"),
    ),
    Language(
        "toml",
        ("tree_sitter_toml", "language"),
        line_comments=("#",),
        block_comments=(),
        quotes=(TRIPLE, replace(TRIPLE_SINGLE, escape=""), DOUBLE, RAW_SINGLE),
        kind="data",
        extensions=(".toml",),
        names=("Pipfile",),
        opener=r"\[$",
        bodies=_types("document table table_array_element"),
        strings=_types("string"),
    ),
)

_OF_ANY = Placeholders(
    nothing=r"pass|\.\.\.|:|\(\)|;+",
    refusal=f"(?:{'|'.join({language.placeholders.refusal: None for language in _PARSED})})",
    hints=_PYTHON_NOTHING,
)
"""A placeholder of any language counts as one in a language without a grammar."""

LANGUAGES: tuple[Language, ...] = (*_PARSED, *(replace(language, placeholders=_OF_ANY) for language in PLAIN))

FALLBACK = Language(
    "unknown",
    line_comments=("^//", "^#", "^--", "^;", "^%"),
    quotes=(DOUBLE,),
    atoms=r"'(?<!\w')[^'\n]*'",  # if it is closed: a lone ' may be anything
    opener=r"[{:]$",
    placeholders=_OF_ANY,
)

_BY_ID = MappingProxyType({name: language for language in LANGUAGES for name in (language.id, *language.ids)})
_BY_FILE = MappingProxyType(
    {name: language for language in LANGUAGES for name in (*language.extensions, *language.names)}
)


def language_of(language_id: str, path: str = "") -> Language:
    """The entry with this LSP language id, else the one with the path's name or extension, else `FALLBACK`."""
    if (known := _BY_ID.get(language_id)) is not None:
        return known
    name = path.rpartition("/")[2]
    return _BY_FILE.get(name) or _BY_FILE.get(PurePosixPath(name).suffix.lower()) or FALLBACK
