"""The languages and file types that are planned without a grammar, by lines and indentation: a row each, data only.

The marks of comments and strings follow VS Code's language configurations (version 1.139, MIT licence) and, for the
languages that VS Code does not come with, Neovim's `ftplugin` files (version 0.12, Apache 2.0 and Vim licences).
`tests/code/test_languages.py` holds them against Pygments' lexers.
"""

from __future__ import annotations

from dataclasses import replace

from dgls.code.language import (
    ATTRIBUTES,
    BACKTICK,
    CHARACTER,
    CLOSING_BRACKET,
    DOUBLE,
    ESCAPED,
    HEREDOC,
    RAW_DOUBLE,
    RAW_SINGLE,
    REGEX,
    SINGLE,
    TAG,
    TRIPLE,
    TRIPLE_SINGLE,
    Kind,
    Language,
    Quote,
)

_BODY = r"[{:]$"
_WORDS = r"(?:[{:]|\b(?:do|then|else|begin|of|repeat|loop|where|is|generate))$"
_WORD_ENDS = CLOSING_BRACKET + r"|(?:end|else|elsif|elseif|until|after|rescue|catch|when)\b"
_RULE = r"^(?!\.[A-Z])[^\s#:=][^#=]*::?(?![=:])[^=]*$"
_CALLS = r"[{(\[]$"
_LISP = r"\($|^\s*\(\S*(?:def|let|lambda|fn|when|unless|cond|do|ns)\b[^()]*(?:\([^()]*\)|\[[^\[\]]*\])?$"
_BACK_ESCAPED = Quote('"', '"', "`", lines=True)
_HERE = (Quote('@"', '"@', "`", lines=True), Quote("@'", "'@", "", lines=True))
_NIX = Quote("''", "''", "", lines=True)
_TWO = (DOUBLE, SINGLE)
_LINES = tuple(replace(quote, lines=True) for quote in (DOUBLE, SINGLE, RAW_SINGLE, RAW_DOUBLE))
_DOUBLE_LINES, _SINGLE_LINES, _RAW_SINGLE_LINES, _RAW_DOUBLE_LINES = _LINES
_PASCAL, _ML = ("{", "}"), ("(*", "*)")
_C, _MARKUP, _HASKELL = ("/*", "*/"), ("<!--", "-->"), ("{-", "-}")
_PERL = REGEX + r"|q[qwrx]?(?:\{[^{}\n]*\}|\([^()\n]*\))"
_POD = tuple((mark, "^=cut") for mark in ("^=pod", "^=head", "^=over", "^=item", "^=begin", "^=encoding"))


def _row(
    ids: str,
    files: str,
    line: str = "",
    block: tuple[tuple[str, str], ...] = (),
    quotes: tuple[Quote, ...] = (),
    *,
    kind: Kind = "code",
    atoms: str = "",
    indent: str = "    ",
    opener: str = _BODY,
    closer: str = CLOSING_BRACKET,
    offside: bool = False,
    needs_tabs: bool = False,
    heredoc: str = "",
) -> Language:
    """`ids` are the LSP language ids and Neovim's file types, the LSP's first. `files` are endings and whole names."""
    first, *others = ids.split()
    return Language(
        first,
        kind=kind,
        ids=tuple(others),
        extensions=tuple(name for name in files.split() if name.startswith(".")),
        names=tuple(name.removeprefix("=") for name in files.split() if not name.startswith(".")),
        line_comments=tuple(line.split()),
        block_comments=block,
        has_comments=bool(line or block),
        quotes=quotes,
        atoms=atoms,
        indent=indent,
        opener=opener,
        closer=closer,
        offside=offside,
        needs_tabs=needs_tabs,
        heredoc=heredoc,
    )


def _like_c(
    ids: str, files: str, quotes: tuple[Quote, ...] = _TWO, *, indent: str = "    ", atoms: str = ""
) -> Language:
    return _row(ids, files, "//", (_C,), quotes, indent=indent, atoms=atoms)


def _like_shell(ids: str, files: str, quotes: tuple[Quote, ...] = _TWO, *, indent: str = "    ") -> Language:
    return _row(ids, files, "#", (), quotes, atoms=ESCAPED, indent=indent)


def _with_end(
    ids: str, files: str, line: str, block: tuple[tuple[str, str], ...] = (), quotes: tuple[Quote, ...] = _TWO
) -> Language:
    """A language in which a word ends a body."""
    return _row(ids, files, line, block, quotes, indent="  ", opener=_WORDS, closer=_WORD_ENDS)


def _data(ids: str, files: str, line: str = "", quotes: tuple[Quote, ...] = ()) -> Language:
    return _row(ids, files, line, (), quotes, kind="data", indent="  ")


def _markup(ids: str, files: str, line: str = "", block: tuple[tuple[str, str], ...] = (_MARKUP,)) -> Language:
    return _row(
        ids,
        files,
        line,
        block,
        ATTRIBUTES,
        kind="markup",
        indent="  ",
        opener=TAG + r"|\{$",
        closer=r"</|" + CLOSING_BRACKET,
    )


def _prose(ids: str, files: str) -> Language:
    return _row(ids, files, kind="prose")


PLAIN: tuple[Language, ...] = (
    _like_c("kotlin", ".kt .kts", (TRIPLE, DOUBLE, SINGLE)),
    _like_c("swift", ".swift", (TRIPLE, DOUBLE)),
    _like_c("dart", ".dart", (TRIPLE, TRIPLE_SINGLE, DOUBLE, SINGLE), indent="  "),
    _like_c("scala", ".scala .sc .sbt", (TRIPLE, DOUBLE), indent="  ", atoms=CHARACTER),
    _like_c("groovy", ".groovy .gradle .jenkinsfile Jenkinsfile", (TRIPLE, TRIPLE_SINGLE, DOUBLE, SINGLE), atoms=REGEX),
    _like_c("objective-c objective-cpp objc objcpp", ".m .mm"),
    _like_c("cuda-cpp cuda", ".cu .cuh"),
    _like_c("glsl hlsl wgsl shaderlab", ".glsl .vert .frag .hlsl .wgsl .shader", (DOUBLE,)),
    _like_c("d", ".d", (DOUBLE, BACKTICK), atoms=CHARACTER),
    _like_c("v", ".v .vv"),
    _like_c("solidity", ".sol"),
    _like_c("proto proto3 protobuf", ".proto", indent="  "),
    _like_c("verilog systemverilog", ".sv .svh", (DOUBLE,), indent="  "),
    _like_c("prisma", ".prisma", (DOUBLE,), indent="  "),
    _row("zig", ".zig .zon", "//", (), (DOUBLE,), atoms=CHARACTER + r"|\\\\[^\n]*"),
    _row("fsharp", ".fs .fsi .fsx", "//", (_ML,), (TRIPLE, DOUBLE), atoms=CHARACTER, opener=r"[={:]$|->$"),
    _row("scss less", ".scss .less", "//", (_C,), _TWO, kind="markup", indent="  ", opener=r"\{$"),
    _row("sass stylus", ".sass .styl", "//", (_C,), _TWO, kind="markup", indent="  ", offside=True),
    _row(
        "makefile make",
        ".mk .mak Makefile makefile GNUmakefile",
        "#",
        (),
        (DOUBLE, RAW_SINGLE),
        atoms=ESCAPED,
        indent="\t",
        opener=_RULE,
        needs_tabs=True,
    ),
    _row(
        "dockerfile",
        ".dockerfile .containerfile Dockerfile Containerfile",
        "^#",
        (),
        _TWO,
        atoms=ESCAPED,
        opener=r"\\$",
    ),
    _row("perl raku", ".pl .pm .t .raku", "#", _POD, _TWO, atoms=_PERL, heredoc=HEREDOC),
    _row("powershell ps1", ".ps1 .psm1 .psd1", "#", (("<#", "#>"),), (*_HERE, _BACK_ESCAPED, RAW_SINGLE)),
    _row(
        "cython pyrex", ".pyx .pxd .pxi", "#", (), (TRIPLE, TRIPLE_SINGLE, DOUBLE, SINGLE), offside=True, opener=r":$"
    ),
    _row("gdscript", ".gd", "#", (), (TRIPLE, DOUBLE, SINGLE), offside=True, indent="\t", opener=r":$"),
    _row(
        "starlark bazel bzl",
        ".bzl .star BUILD WORKSPACE BUILD.bazel",
        "#",
        (),
        (TRIPLE, TRIPLE_SINGLE, DOUBLE, SINGLE),
        offside=True,
        opener=r"[:(\[{]$",
    ),
    _row(
        "nim",
        ".nim .nims",
        "#",
        (("#[", "]#"),),
        (TRIPLE, DOUBLE),
        atoms=CHARACTER,
        indent="  ",
        offside=True,
        opener=r"[:=]$",
    ),
    _row(
        "coffeescript coffee",
        ".coffee",
        "#",
        (("###", "###"),),
        (TRIPLE, TRIPLE_SINGLE, DOUBLE, SINGLE),
        indent="  ",
        opener=r"[-=]>$|[{:]$",
    ),
    _row("terraform hcl terraform-vars", ".tf .tfvars .hcl", "# //", (_C,), (DOUBLE,), indent="  "),
    _row("nix", ".nix", "#", (_C,), (_NIX, _DOUBLE_LINES), indent="  ", opener=r"[{:(\[=]$"),
    _row("r", ".r", "#", (), (_DOUBLE_LINES, _SINGLE_LINES), indent="  "),
    _like_shell("zsh", ".zsh .zshrc", (DOUBLE, RAW_SINGLE), indent="  "),
    _like_shell("awk", ".awk", (DOUBLE,)),
    _like_shell("tcl", ".tcl", (DOUBLE,)),
    _like_shell("graphql", ".graphql .gql", (TRIPLE, DOUBLE), indent="  "),
    _row(
        "cmake",
        ".cmake CMakeLists.txt",
        "#",
        (("#[[", "]]"),),
        (_DOUBLE_LINES,),
        atoms=ESCAPED,
        indent="  ",
        opener=r"^\s*(?:if|else\w*|foreach|while|function|macro)\s*\(.*\)$",
        closer=r"\)|(?:end\w+|else\w*)\b",
    ),
    _row(
        "meson",
        "meson.build",
        "#",
        (),
        (TRIPLE_SINGLE, SINGLE),
        indent="  ",
        opener=r"^\s*(?:if|elif|else|foreach)\b.*$|[(\[{]$",
        closer=r"[\])}]|(?:end\w+|elif|else)\b",
    ),
    _with_end("elixir eelixir", ".ex .exs", "#", (), (TRIPLE, TRIPLE_SINGLE, DOUBLE, SINGLE)),
    _with_end("crystal", ".cr", "#", (), (DOUBLE,)),
    _with_end("julia", ".jl", "#", (("#=", "=#"),), (TRIPLE, DOUBLE)),
    _with_end("fish", ".fish", "#"),
    _with_end("matlab octave", "", "% #", (("%{", "%}"),), (DOUBLE,)),
    _with_end("ada", ".adb .ads", "--", (), (DOUBLE,)),
    _with_end("vhdl", ".vhd .vhdl", "--", (_C,), (DOUBLE,)),
    _with_end("pascal", ".pas .dpr .lpr", "//", (_PASCAL, _ML), (RAW_SINGLE,)),
    _with_end("fortran fortran-modern FortranFreeForm", ".f90 .f95 .f03 .f08", "!", (), (RAW_DOUBLE, RAW_SINGLE)),
    _with_end("vim", ".vim .vimrc", '^" #', (), (DOUBLE, RAW_SINGLE)),
    _row(
        "vb vbnet",
        ".vb .vbs .bas",
        "' ^REM ^Rem",
        (),
        (RAW_DOUBLE,),
        opener=r"(?i)\bthen$|^\s*(?:\w+\s+)*(?:sub|function|class|module|if|for|while|do|select)\b.*$",
        closer=r"(?i)(?:end|next|loop|else|wend|case)\b",
    ),
    _row("bat dosbatch", ".bat .cmd", "^REM ^rem ^@REM ^@rem ^::", (), (), opener=r"\($"),
    _row(
        "sql mysql plsql pgsql",
        ".sql",
        "--",
        (_C,),
        (_RAW_SINGLE_LINES, _RAW_DOUBLE_LINES, BACKTICK),
        opener=r"\($|(?i:\bbegin)$",
    ),
    _row(
        "haskell lhaskell cabal",
        ".hs .cabal",
        "--",
        (_HASKELL,),
        (DOUBLE,),
        atoms=CHARACTER,
        indent="  ",
        opener=r"(?:=|->|\b(?:do|of|where|let|then|else))$",
    ),
    _row(
        "elm purescript",
        ".elm .purs",
        "--",
        (_HASKELL,),
        (TRIPLE, DOUBLE),
        atoms=CHARACTER,
        opener=r"(?:=|->|\b(?:of|let|in|then|else|do|where))$",
    ),
    _row(
        "ocaml sml ocaml.interface",
        ".ml .mli .sml",
        "",
        (_ML,),
        (DOUBLE,),
        atoms=CHARACTER,
        indent="  ",
        opener=r"(?:=|->|\b(?:begin|struct|sig|do|then|else|with))$",
    ),
    _row("erlang prolog", ".erl .hrl", "%", (), (DOUBLE, SINGLE), opener=r"(?:->|\bof|\()$"),
    _row("clojure", ".clj .cljs .cljc .edn", ";", (), (_DOUBLE_LINES,), indent="  ", opener=_LISP, atoms=ESCAPED),
    _row(
        "lisp commonlisp scheme racket elisp emacs-lisp",
        ".lisp .scm .rkt .el",
        ";",
        (("#|", "|#"),),
        (_DOUBLE_LINES,),
        indent="  ",
        opener=_LISP,
        atoms=ESCAPED,
    ),
    _row("asm nasm", ".asm .s", "; ^#", (_C,), (DOUBLE,), opener=r":$"),
    _data("ini dosini systemd", ".ini", "; ^#"),
    _data(
        "properties jproperties conf gitconfig editorconfig",
        ".properties .cfg .conf .editorconfig .gitconfig",
        "^# ^; ^!",
    ),
    _data("dotenv env", ".env", "#", (DOUBLE, RAW_SINGLE)),
    _data("ignore gitignore", ".gitignore .dockerignore", "^#"),
    _data("bibtex bib", ".bib", "%"),
    _data("csv tsv", ".csv .tsv"),
    _markup("xml xsl svg", ".xml .xsd .xsl .xslt .svg"),
    _markup("vue", ".vue"),
    _markup("svelte astro", ".svelte .astro"),
    _markup("handlebars mustache", ".hbs .handlebars .mustache", "", (_MARKUP, ("{{!--", "--}}"), ("{{!", "}}"))),
    _markup("twig jinja jinja-html htmldjango django-html", ".twig .jinja .j2", "", (_MARKUP, ("{#", "#}"))),
    _markup(
        "razor aspnetcorerazor eruby erb jsp", ".cshtml .razor .erb .jsp", "", (_MARKUP, ("@*", "*@"), ("<%--", "--%>"))
    ),
    _row(
        "jade pug",
        ".pug .jade",
        "//- //",
        (),
        ATTRIBUTES,
        kind="markup",
        indent="  ",
        offside=True,
        opener=r"^\s*[\w.#-]+$",
    ),
    _prose("markdown mdx quarto rmd vimwiki", ".md .markdown .mdx .qmd .rmd"),
    _prose("restructuredtext rst", ".rst"),
    _prose("latex tex plaintex context", ".tex .ltx"),
    _prose("asciidoc", ".adoc .asciidoc"),
    _prose("org typst typ", ".org .typ"),
    _prose(
        "git-commit gitcommit scminput git-rebase gitrebase hgcommit jj", "COMMIT_EDITMSG MERGE_MSG git-rebase-todo"
    ),
    _prose("mail", ".eml"),
    _prose("diff log", ".diff .patch .log"),
)
