"""Asks a model about a place: whether the new text fits better than the old one, and what a gap in it holds.

    the edited line, as it is now
    the line above the place
    the place's line up to the change    old text | new text    the rest of the line

The difference between the surprises of the two texts is the gain. An odd name never gains much, so the gain behind the
edited line as it was is of use, too. A few lines suffice, and each token takes 3 to 20 ms on a CPU; other forms told
less (docs/experiments/next-edit.md). Pure.
"""

from __future__ import annotations

from dgls.next_edit.edit import Edit
from dgls.next_edit.place import Place
from dgls_engine.types import Context, Hole, InfillRequest, Limits, Pinned, ScoreRequest

_LONGEST = 160
"""Characters of a line that the model reads."""

_LINES_ABOVE = 6
"""Lines of code above a call that are shown for its new argument."""

_MOST_TOKENS = 8
_DEADLINE_MS = 2000


def score_request(edit: Edit, place: Place, path: str, edited: bool = True) -> ScoreRequest:
    """Compares the texts: first the old one, then the new one. Not `edited`: behind the edited line as it was."""
    document, span = place.document, place.span
    start, end = document.line_start(place.line), document.line_end(document.line_at(span.end))
    lead = document.text[max(start, span.start - 1) : span.start] if not (place.old_text and place.text) else ""
    before = document.text[start : span.start - len(lead)]
    return ScoreRequest(
        Context(path=path, language=document.language, above=_above(edit, place, 1, edited)),
        before[-_LONGEST:],
        (lead + place.old_text, lead + place.text),  # some models cannot score an empty text
        document.text[span.end : end] + "\n",
    )


def fill_request(edit: Edit, place: Place, path: str) -> InfillRequest:
    """Asks for the part of the place's text that the edit does not say."""
    document, span = place.document, place.span
    lead, _, rest = place.text.partition(place.opened)
    start, end = document.line_start(place.line), document.line_end(place.line)
    return InfillRequest(
        Context(path=path, language=document.language, above=_above(edit, place, _LINES_ABOVE, edited=True)),
        [
            Pinned(document.text[start : span.start] + lead),
            Hole(max_tokens=_MOST_TOKENS, stop="\n"),
            Pinned(rest + document.text[span.end : end] + "\n"),
        ],
        Limits(deadline_ms=_DEADLINE_MS),
    )


def _above(edit: Edit, place: Place, lines: int, edited: bool) -> str:
    """The edited lines, and the lines above the place that are not among them."""
    document = place.document
    changed: range = range(0)
    if document.uri == edit.after.uri:
        changed = range(edit.after.line_at(edit.new.start), edit.after.line_at(edit.new.end) + 1)
    numbers = [line for line in range(max(0, place.line - lines), place.line) if line not in changed]
    shown = [*(edit.lines_after if edited else edit.lines_before).split("\n"), *map(document.line_text, numbers)]
    return "".join(f"{line[:_LONGEST]}\n" for line in shown)
