"""How much of the file around the cursor goes into the canvas: the borders of `before` and `after`.

When a border moves, the engine reads its whole prompt again. So borders must stay put while the user types. They depend
only on the lines above and below the cursor's line, and are chosen in slots: stretches of a quarter of the budget,
counted from the file's start (for `before`) or its end (for `after`). Typing then moves a border only once per slot of
new text. In its slot a border goes before the least indented line, where a definition or statement begins. A tree would
tell these places too, but it is wrong while a line is half typed. Pure; runs on any thread.
"""

from __future__ import annotations

from collections.abc import Callable

from dgls.code.document import Document
from dgls.code.indentation import closes_body, indentation, opens_body, width
from dgls.code.languages import Language

CountTokens = Callable[[str], int]

_CHARS = 3  # characters a token of code, on the low side
_LONGEST = 8  # a line of more characters a token is not even counted


def estimate_tokens(text: str) -> int:
    """A rough count on the high side, for when no tokenizer is loaded."""
    return -(-len(text.encode("utf-8", "surrogatepass")) // _CHARS)


def before_start(document: Document, offset: int, language: Language, tokens: int, count: CountTokens) -> int:
    """Where `before` starts: text[start:offset] has at most `tokens`."""
    line = document.line_at(offset)
    line_start = document.line_start(line)
    room = _room(document.text[line_start:offset], tokens, count)
    if room < 0:
        return _cut_left(document.text, line_start, offset, tokens, count)
    slot_size = _slot_size(tokens)
    slot = max(0, -(-(line_start - room * _CHARS) // slot_size))
    while slot * slot_size < line_start:
        start = slot * slot_size
        lines = range(document.lines_from(start), min(document.lines_from(start + slot_size), line))
        border = 0 if slot == 0 else border_among(document, lines, language)
        if border is not None and count(document.text[border:line_start]) <= room:
            return border
        slot += 1
    return line_start


def after_end(document: Document, offset: int, language: Language, tokens: int, count: CountTokens) -> int:
    """Where `after` ends: text[offset:end] has at most `tokens`."""
    text = document.text
    line = document.line_at(offset)
    next_line = document.next_line(line)
    room = _room(text[offset:next_line], tokens, count)
    if room < 0:
        return _cut_right(text, offset, next_line, tokens, count)
    slot_size = _slot_size(tokens)
    slot = max(0, -(-(len(text) - next_line - room * _CHARS) // slot_size))
    while slot * slot_size < len(text) - next_line:
        end = len(text) - slot * slot_size
        lines = range(max(document.lines_from(end - slot_size + 1), line + 2), document.lines_from(end + 1))
        border = len(text) if slot == 0 else border_among(document, lines, language)
        if border is not None and count(text[next_line:border]) <= room:
            return border
        slot += 1
    return next_line


def _room(text: str, tokens: int, count: CountTokens) -> int:
    """The tokens left beside `text`, the part of the cursor's line; a quarter is kept for that line to grow."""
    if len(text) > tokens * _LONGEST:
        return -1
    return tokens - max(count(text), tokens // 4)


def _slot_size(tokens: int) -> int:
    """In characters. Depends on the budget alone, because the room changes as the cursor's line grows."""
    return max(1, tokens * _CHARS // 4)


def border_among(document: Document, lines: range, language: Language) -> int | None:
    """The start of the line among `lines` on which a definition or statement most likely begins.

    The best sign is the head of a body after a blank line. A blank line alone may be one in prose, inside a string.
    """
    after_blank = lines.start == 0 or not document.line_text(lines.start - 1).strip()
    best: tuple[bool, int, bool, bool, int] | None = None
    for line in lines:
        text = document.line_text(line)
        if text.strip():
            heads = after_blank and opens_body(text, language)
            rank = (closes_body(text, language), width(indentation(text)), not after_blank, not heads, line)
            best = rank if best is None else min(best, rank)
        after_blank = not text.strip()
    return document.line_start(best[-1]) if best is not None else None


def _cut_left(text: str, line_start: int, offset: int, tokens: int, count: CountTokens) -> int:
    """A border inside a line that is too long for the budget, chosen in slots as well."""
    slot_size = _slot_size(tokens)
    start = max(line_start, line_start - (-(offset - line_start - tokens * _CHARS) // slot_size) * slot_size)
    start = min(start, offset)
    while count(text[start:offset]) > tokens:
        start += (offset - start + 1) // 2
    return start


def _cut_right(text: str, offset: int, next_line: int, tokens: int, count: CountTokens) -> int:
    end = min(next_line, offset + tokens * _CHARS)
    while count(text[offset:end]) > tokens:
        end = offset + (end - offset) // 2
    return end
