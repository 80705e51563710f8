"""How lines are indented: by what unit, and how far a new line would be.

Goes by the lines around alone, so it answers the same while the line at hand is half typed and no tree fits it.
An indentation is its text (spaces and tabs); its width counts a tab as four.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from dgls.code.document import Document
from dgls.code.languages import Language

_NEAR = 100  # lines looked at on either side; farther ones say little about the code here
_ENDS_BODY = re.compile(r"\s*(return|raise|break|continue|pass)\b")


def indentation(line: str) -> str:
    return line[: len(line) - len(line.lstrip(" \t"))]


def width(indent: str) -> int:
    return len(indent.expandtabs(4))


def line_above(document: Document, line: int) -> int | None:
    """The nearest line above that is not blank, if it is near."""
    return next((at for at in range(line - 1, max(-1, line - _NEAR), -1) if document.line_text(at).strip()), None)


def line_below(document: Document, line: int) -> int | None:
    last = min(document.line_count, line + _NEAR)
    return next((at for at in range(line + 1, last) if document.line_text(at).strip()), None)


def unit(document: Document, line: int, language: Language) -> str:
    """What one level adds in the code around `line`: the commonest step from a line to a deeper next one.

    A tab is a level by itself, however many of them a line adds. Where all lines are equally deep, those indented with
    tabs still say so.
    """
    steps: Counter[str] = Counter()
    last: str | None = None
    tabs = False
    for at in range(max(0, line - _NEAR), min(document.line_count, line + _NEAR)):
        text = document.line_text(at)
        if not text.strip() or at == line:
            continue
        indent = indentation(text)
        if last is not None and len(indent) > len(last) and indent.startswith(last):
            steps[indent[len(last) :]] += 1
        last = indent
        tabs = tabs or indent.startswith("\t")
    if not steps:
        return "\t" if tabs else language.indent
    step = steps.most_common(1)[0][0]
    return "\t" if step.startswith("\t") else step


def opens_body(text: str, language: Language) -> bool:
    """Does a body that is indented deeper start at the end of this text?"""
    return re.search(language.opener, text.rstrip()) is not None


def closes_body(text: str, language: Language) -> bool:
    return re.match(language.closer, text.lstrip()) is not None


def ends_body(text: str) -> bool:
    """Does this line leave its body, so that little comes after it there?"""
    return _ENDS_BODY.match(text) is not None


def levels(document: Document, line: int) -> Iterator[str]:
    """The indentations of `line` and of the lines that enclose it, innermost first."""
    level = indentation(document.line_text(line))
    yield level
    for at in range(line - 1, max(-1, line - _NEAR), -1):
        text = document.line_text(at)
        if text.strip() and width(indentation(text)) < width(level):
            level = indentation(text)
            yield level
