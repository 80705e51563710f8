"""Asks a model whether a place's new text fits better than the old one, after the edit.

    -<the line before the edit>
    +<the line after it>
    -<the place's line>
    +<the place's line up to the change>  old text | new text

The model sees the edit as a diff, and the place as the next lines of it. The difference between the surprises of the
two texts is the gain. Pure.
"""

from __future__ import annotations

from dgls.code.document import Span
from dgls.next_edit.edit import Edit
from dgls.next_edit.place import Place
from dgls_engine.types import Context, Hole, InfillRequest, Limits, Pinned, ScoreRequest

_BEFORE = 160
"""Characters of a line that the model reads, in front of a change and in an edited line."""

_LINES_ABOVE, _ABOVE = 6, 300
"""Lines and characters of code above a call that are shown for its new argument."""

_MOST_TOKENS = 8
_DEADLINE_MS = 2000


def score_request(edit: Edit, place: Place, path: str) -> ScoreRequest:
    """Compares the texts: first the old one, then the new one."""
    document, span = place.document, place.span
    start = document.line_start(place.line)
    if not (place.old_text and place.text) and span.start > start:
        span = Span(span.start - 1, span.end)  # some models cannot score an empty text
    line_end = document.line_end(document.line_at(span.end))
    lead = document.text[span.start : place.span.start]
    above = _diff(edit.lines_before, "-") + _diff(edit.lines_after, "+")
    old_line = document.text[start:line_end]
    before = document.text[start : span.start]
    return ScoreRequest(
        Context(path=path, language=document.language, above=above + _diff(old_line[-2 * _BEFORE :], "-")),
        "+" + before[-_BEFORE:],
        (lead + place.old_text, lead + place.text),
        document.text[place.span.end : line_end] + "\n",
    )


def fill_request(edit: Edit, place: Place, path: str) -> InfillRequest:
    """Asks for the part of the place's text that the edit does not say, with the edited lines above the code."""
    document, span = place.document, place.span
    lead, _, rest = place.text.partition(place.opened)
    start, end = document.line_start(place.line), document.line_end(place.line)
    first = document.line_start(max(0, place.line - _LINES_ABOVE))
    above = f"{edit.lines_after}\n{document.text[first:start][-_ABOVE:]}"
    return InfillRequest(
        Context(path=path, language=document.language, above=above),
        [
            Pinned(document.text[start : span.start] + lead),
            Hole(max_tokens=_MOST_TOKENS, stop="\n"),
            Pinned(rest + document.text[span.end : end] + "\n"),
        ],
        Limits(deadline_ms=_DEADLINE_MS),
    )


def _diff(lines: str, mark: str) -> str:
    return "".join(f"{mark}{line[:_BEFORE]}\n" for line in lines.split("\n"))
