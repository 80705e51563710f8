"""Adapt the text that the model wrote in place of code: indentation, line breaks, repetitions.

Returns the old code if the text is unusable. Does not check whether the result parses. Knows texts, not the model.
Pure; runs on any thread.
"""

from __future__ import annotations

import re
import sys

from dgls.change.passage import Gap, Passage
from dgls.code.cursor import Cursor
from dgls.code.document import Document, Span
from dgls.code.indentation import indentation, width
from dgls.suggest.plan import Region
from dgls.suggest.suggestion import UNDECODABLE, Rejection, Suggestion, suggest

_BREAK = re.compile(r"\r\n|\n|\r")
_ENDED = re.compile(r"([^\r\n]*)(\r\n|\n|\r)")


def rewritten(passage: Passage, gap: Gap, text: str) -> str:
    """An infill written from an empty hole, indented like the old code, without repetitions of the code after it.

    Without an instruction it does not continue the body around, unless the old code did.
    """
    document, old = passage.document, passage.document.text[gap.span.start : gap.span.end]
    if text == old:
        return old
    known = _has_line_below(document, gap.span)  # such a line in the new code is no repetition
    below = "" if known else document.text[gap.span.end :]
    hollow = Document(document.uri, document.version, document.language, document.text[: gap.span.start] + below)
    region = _region(passage, gap, old, hollow, "" if known else document.text[gap.span.end : passage.canvas.end])
    suggestion = suggest(hollow, region, text)
    if isinstance(suggestion, Suggestion):
        new = suggestion.new_text
    elif suggestion is Rejection.REPEATS_ITSELF and suggest(hollow, region, old) is suggestion:
        new = text.strip()
    else:
        return old
    if not old[0].isspace() and not document.text[max(0, gap.span.start - 1) : gap.span.start].strip():
        new = new.lstrip(" \t")
    elif old[0].isspace() and _right(passage, gap).strip():
        new = region.indents[0] + new.lstrip(" \t")  # `suggest` took it to stand before code that is indented already
    return _ended(passage, gap, _in_breaks_of(old, document, new))


def redrafted(passage: Passage, gap: Gap, text: str) -> str:
    """An infill that kept most tokens of the old code, so that its blanks and line breaks are mostly right."""
    old = passage.document.text[gap.span.start : gap.span.end]
    code = text.strip()
    if not code or (not UNDECODABLE.isdisjoint(code) and UNDECODABLE.isdisjoint(old)):
        return old
    lead, tail = old[: len(old) - len(old.lstrip())], old[len(old.rstrip()) :]
    new = lead + _in_breaks_of(old, passage.document, code) + tail
    known = frozenset(_BREAK.split(old))
    new = re.sub(r"[^\r\n]+", lambda line: line[0] if line[0] in known else line[0].rstrip(" \t"), new)
    return _ended(passage, gap, new)


def _ended(passage: Passage, gap: Gap, new: str) -> str:
    """If code follows the gap on its line, the new code ends with the same blanks before it as the old code."""
    if not _right(passage, gap).strip():
        return new
    old = passage.document.text[gap.span.start : gap.span.end]
    return new.rstrip() + old[len(old.rstrip()) :]


def _right(passage: Passage, gap: Gap) -> str:
    """The rest of the line that the gap ends on."""
    document, end = passage.document, gap.span.end
    return document.text[end : document.line_end(document.line_at(end))]


def _region(passage: Passage, gap: Gap, old: str, hollow: Document, after: str) -> Region:
    """The empty region in the `hollow` document where the old code stood."""
    document, canvas, start = passage.document, passage.canvas, gap.span.start
    left = document.text[document.line_start(document.line_at(start)) : start]
    beside = bool((left + _right(passage, gap)).strip())
    indent = indentation(left + old)
    indents: tuple[str, ...] = (indent,)
    if indent != indentation(left):  # the code before was rewritten and may have opened or closed a body
        indents = Cursor.at(hollow, hollow.line_start(hollow.line_at(start))).first_indents
    dedents = any(width(indentation(line)) < width(indent) for line in _BREAK.split(old)[1:] if line.strip())
    free = bool(passage.instruction)
    return Region(
        version=document.version,
        span=Span(start, start),
        above=document.text[: canvas.start],
        before=document.text[canvas.start : start],
        after=after,
        below="",
        kind="line" if beside or dedents or free else "block",
        stop="\n" if beside and not free and not _BREAK.search(old) else None,
        indents=indents,
        max_tokens=gap.hole.max_tokens,
        max_lines=sys.maxsize,
    )


def _has_line_below(document: Document, span: Span) -> bool:
    """Whether the line below `span` also stands in the old code (a bracket, say), or begins like its last line."""
    start = document.line_start(document.line_at(span.start))
    lines = [line.rstrip() for line in _BREAK.split(document.text[start : span.end])]
    last = document.line_at(span.end)
    below = (document.line_text(line).rstrip() for line in range(last + 1, document.line_count))
    following = next((line for line in below if line), None)
    return following is not None and (following in lines or following.startswith(lines[-1]))


def _in_breaks_of(old: str, document: Document, new: str) -> str:
    """`new` with the line breaks of the old code. If these differ, an unchanged line keeps its own."""
    lines = [(line[1], line[2]) for line in _ENDED.finditer(old)]
    kinds = {line_break for _, line_break in lines}
    newline = kinds.pop() if len(kinds) == 1 else document.newline
    known, kept = dict(lines), frozenset(lines)
    return _ENDED.sub(lambda line: line[0] if line.groups() in kept else line[1] + known.get(line[1], newline), new)
