"""The lists outside of Python that repeat the table of languages: `python -m tests.lists` writes them again.

`tests/code/test_languages.py` fails while one of them is out of date.
"""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

from dgls.code.languages import LANGUAGES, Language

REPO = Path(__file__).resolve().parents[1]
GRAMMARS = REPO / "docs" / "grammars.md"
NEOVIM = REPO / "editors" / "nvim" / "lsp" / "dgls.lua"


def wheel_of(language: Language) -> str | None:
    """The distribution that holds the grammar: these are named as their modules are."""
    return language.grammar[0].replace("_", "-") if language.grammar else None


def versions() -> dict[str, str]:
    """The version of each distribution that we test with."""
    return dict(re.findall(r"^([\w-]+)==(\S+)$", (REPO / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE))


def grammars_page(page: str) -> str:
    known = versions()
    rows = [
        f"| {', '.join((language.id, *language.ids))} | {wheel} | {known.get(wheel, 'not pinned')} |\n"
        for language in LANGUAGES
        if (wheel := wheel_of(language))
    ]
    return re.sub(r"(?<=\|---\|---\|---\|\n)(\|.*\n)+", lambda _: "".join(rows), page, count=1)


def neovim_configuration(script: str) -> str:
    """Prose is left out: the server suggests nothing there by itself."""
    code = [language for language in LANGUAGES if language.kind != "prose"]
    filetypes = sorted({name for language in code for name in language.filetypes or (language.id, *language.ids)})
    lines = textwrap.fill(", ".join(f"'{name}'" for name in filetypes) + ",", 116)
    block = f"  filetypes = {{\n{textwrap.indent(lines, '    ')}\n  }},\n"
    return re.sub(r"^  filetypes = \{\n(    .*\n)+  \},\n", lambda _: block, script, count=1, flags=re.MULTILINE)


def main() -> None:
    for path, rewrite in ((GRAMMARS, grammars_page), (NEOVIM, neovim_configuration)):
        text = path.read_text(encoding="utf-8")
        path.write_text(rewrite(text), encoding="utf-8")
        print(f"{path.relative_to(REPO)}: {'up to date' if rewrite(text) == text else 'rewritten'}")


if __name__ == "__main__":
    main()
