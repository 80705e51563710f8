"""How lines are indented, and which of them open and close bodies.

Reads lines and no tree, because a tree is wrong while a line is half typed. An indentation is a text of spaces and
tabs; its width counts a tab as four. Pure.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from dgls.code.document import Document
from dgls.code.languages import Language

_NEAR = 100  # lines examined on either side; lines farther away say little about the code here
_ENDS_BODY = re.compile(r"\s*(return|raise|break|continue|pass)\b")


def indentation(line: str) -> str:
    return line[: len(line) - len(line.lstrip(" \t"))]


def width(indent: str) -> int:
    return len(indent.expandtabs(4))


def line_above(document: Document, line: int) -> int | None:
    """The nearest line above that is not blank; None if there is none within `_NEAR` lines."""
    return next((at for at in range(line - 1, max(-1, line - _NEAR), -1) if document.line_text(at).strip()), None)


def line_below(document: Document, line: int) -> int | None:
    last = min(document.line_count, line + _NEAR)
    return next((at for at in range(line + 1, last) if document.line_text(at).strip()), None)


def unit(document: Document, line: int, language: Language, end: int | None = None) -> str:
    """The text that one level adds in the code around `line`: the most common step from a line to a deeper next one.

    The line's own indentation tells first whether tabs or spaces indent the code here, and where no other line is
    deeper than the one above it, how wide a level is. Blanks behind the offset `end`, the cursor's, do not count. A tab
    is one level, even if lines add several at once.
    """
    if language.needs_tabs:
        return "\t"
    own = indentation(document.line_text(line)[: None if end is None else end - document.line_start(line)])
    steps: Counter[str] = Counter()
    last: str | None = None
    tabs = own.startswith("\t")
    for at in range(max(0, line - _NEAR), min(document.line_count, line + _NEAR)):
        text = document.line_text(at)
        if not text.strip() or at == line:
            continue
        indent = indentation(text)
        if last is not None and len(indent) > len(last) and indent.startswith(last):
            steps[indent[len(last) :]] += 1
        last = indent
        tabs = tabs or (not own and indent.startswith("\t"))
    alike = Counter({step: count for step, count in steps.items() if not own or step[0] == own[0]})
    if alike:
        step = alike.most_common(1)[0][0]
        return "\t" if step.startswith("\t") else step
    return "\t" if tabs else _own_step(document, line, own, language) or language.indent


def _own_step(document: Document, line: int, own: str, language: Language) -> str | None:
    """What the line is indented deeper than the line above. None if it may be aligned with something there."""
    at = line_above(document, line)
    above = "" if at is None else document.line_text(at).rstrip()
    outer = indentation(above)
    opens = opens_body(above, language) or above.endswith(("(", "[", "{"))
    step = own[len(outer) :]
    return step if opens and own.startswith(outer) and len(step) > 1 else None


def opens_body(text: str, language: Language) -> bool:
    """Is this text the head of a body, which is indented deeper?"""
    return re.search(language.opener, text.rstrip()) is not None


def closes_body(text: str, language: Language) -> bool:
    return re.match(language.closer, text.lstrip()) is not None


def ends_body(text: str) -> bool:
    """Does this line leave its body, as `return` does?"""
    return _ENDS_BODY.match(text) is not None


def enclosing(document: Document, line: int) -> Iterator[str]:
    """The text of `line` and of the lines that enclose it, innermost first."""
    inner = document.line_text(line)
    yield inner
    for at in range(line - 1, max(-1, line - _NEAR), -1):
        text = document.line_text(at)
        if text.strip() and width(indentation(text)) < width(indentation(inner)):
            inner = text
            yield inner


def levels(document: Document, line: int) -> Iterator[str]:
    """The indentations of `line` and of the lines that enclose it, innermost first."""
    return map(indentation, enclosing(document, line))
