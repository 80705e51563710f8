"""Turn an action's outcome into the smallest edit, and check that edit before it is sent.

Knows texts and offsets; not LSP, and not which action it was. Pure; runs on any thread.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from difflib import SequenceMatcher
from itertools import accumulate

from dgls.change.passage import Outcome, Replacement, applied
from dgls.code.breakage import Breakage
from dgls.code.document import Document, Span
from dgls.code.syntax import Syntax, parse, parse_all

SCREEN_LINES = 40
"""Lines that an editor shows at once, on a laptop."""

_ALIKE = 0.6  # difflib ratio above which two lines count as versions of one line
_NEAR = 40 * SCREEN_LINES  # characters; changes closer than this may depend on each other
_LONGEST = 400_000  # characters; a longer document is not parsed as a whole (parsing this many takes 0.25 s)
_LINES = re.compile(r"\A[^\r\n]*|(?:\r\n|\r|\n)[^\r\n]*")
"""Lines by LSP's line breaks (`str.splitlines` knows more of them). Each match starts with the break before its
line."""

_BREAKS = ("\r\n", "\n", "\r")
_WORDS = re.compile(r"\r\n|\w+|[^\S\r\n]+|.", re.DOTALL)


class WrongEdit(AssertionError):
    """An edit would change text outside the gaps: a bug. The edit must not be sent."""


def minimal_changes(outcome: Outcome) -> tuple[Replacement, ...]:
    """The outcome as changes that leave unchanged lines alone.

    If a line's new version is similar, only the text from the first to the last changed word is replaced. The caret,
    marks and folds in the rest of the line stay. Other changed lines are replaced as a whole, because nobody can read
    many small edits in an editor's preview. Text that was only added or removed becomes an insertion or a deletion.
    """
    text = outcome.document.text
    return tuple(
        smaller
        for each in _merged(outcome.replacements)
        for smaller in _changed_lines(text[each.span.start : each.span.end], each)
    )


def breaks(outcome: Outcome) -> bool:
    """Whether the change breaks code that parsed before.

    Changes near each other are checked together, because one may open a bracket that another closes. False if this
    cannot be checked: without a grammar, or if the change spans a very long part of a very long document.
    """
    made: list[Replacement] = []
    for group in _near(minimal_changes(outcome)):
        document = applied(outcome.document, made)
        grown = len(document.text) - len(outcome.document.text)
        one = _as_one(outcome.document, group)
        span = Span(one.span.start + grown, one.span.end + grown)
        if _breaks(document, span, one.text):
            return True
        made += group
    return False


def is_large(outcome: Outcome) -> bool:
    """Whether the change, before or after, does not fit on one screen.

    A person should confirm such a change, because it cannot be judged at a glance.
    """
    changes = minimal_changes(outcome)
    if not changes:
        return False
    hull = _as_one(outcome.document, changes)
    before = outcome.document.text[hull.span.start : hull.span.end]
    return max(len(_LINES.findall(before)), len(_LINES.findall(hull.text))) > SCREEN_LINES


def checked_changes(
    outcome: Outcome, changes: Sequence[Replacement], origins: Iterable[Span]
) -> tuple[Replacement, ...]:
    """Return `changes` if they make the outcome and keep every byte outside `origins`. Otherwise raise `WrongEdit`.

    `origins` are the spans of all passages' gaps in the original document.
    """
    text = outcome.document.text
    ends = [0, *(at for each in changes for at in (each.span.start, each.span.end)), len(text)]
    if ends != sorted(ends):
        raise WrongEdit("changes overlap or leave the document")
    new = applied(outcome.document, changes).text
    if new != applied(outcome.document, outcome.replacements).text:
        raise WrongEdit("the changes do not make the outcome")
    at = old_at = inside = 0
    for origin in _hulls(origins):
        inner = [each for each in changes if origin.start <= each.span.start and each.span.end <= origin.end]
        at = _same(text[old_at : origin.start], new, at) + origin.length
        at += sum(len(each.text) - each.span.length for each in inner)
        old_at, inside = origin.end, inside + len(inner)
    if inside != len(changes) or _same(text[old_at:], new, at) != len(new):
        raise WrongEdit("something outside the gaps would change")
    return tuple(changes)


def _hulls(origins: Iterable[Span]) -> list[Span]:
    """The spans in text order. Spans that touch become one, because a change may cross their common border."""
    hulls: list[Span] = []
    for origin in sorted(set(origins), key=lambda span: (span.start, span.end)):
        if hulls and origin.start < hulls[-1].end:
            raise WrongEdit("gaps overlap")
        if hulls and origin.start == hulls[-1].end:
            origin = Span(hulls.pop().start, origin.end)
        hulls.append(origin)
    return hulls


def _same(kept: str, new: str, at: int) -> int:
    """The end of `kept` in `new`. Raises `WrongEdit` if `kept` does not stand at `at`."""
    there = new[at : at + len(kept)]
    if kept.encode("utf-8", "surrogatepass") != there.encode("utf-8", "surrogatepass"):
        raise WrongEdit("something outside the gaps would change")
    return at + len(kept)


def _merged(replacements: Iterable[Replacement]) -> Iterator[Replacement]:
    """Replacements that touch become one."""
    last: Replacement | None = None
    for each in replacements:
        if last is not None and last.span.end == each.span.start:
            last = Replacement(Span(last.span.start, each.span.end), last.text + each.text)
            continue
        if last is not None:
            yield last
        last = each
    if last is not None:
        yield last


def _changed_lines(old: str, whole: Replacement) -> Iterator[Replacement]:
    before, after = _LINES.findall(old), _LINES.findall(whole.text)
    starts = list(accumulate(map(len, before), initial=whole.span.start))
    for top, bottom, new_top, new_bottom in _hunks(before, after):
        changed = Replacement(Span(starts[top], starts[bottom]), "".join(after[new_top:new_bottom]))
        yield _narrowed("".join(before[top:bottom]), changed, single=bottom - top == new_bottom - new_top == 1)


def _hunks(before: list[str], after: list[str]) -> Iterator[tuple[int, int, int, int]]:
    """Ranges of changed lines, old and new. If n lines became n similar ones, each pair of lines is its own hunk."""
    for tag, top, bottom, new_top, new_bottom in SequenceMatcher(None, before, after).get_opcodes():
        pairs = list(zip(range(top, bottom), range(new_top, new_bottom), strict=False))
        if bottom - top == new_bottom - new_top and all(_alike(before[line], after[new]) for line, new in pairs):
            yield from ((line, line + 1, new, new + 1) for line, new in pairs if tag != "equal")
        elif tag != "equal":
            yield top, bottom, new_top, new_bottom


def _alike(old: str, new: str) -> bool:
    return old == new or SequenceMatcher(None, old, new, autojunk=False).quick_ratio() > _ALIKE


def _narrowed(old: str, change: Replacement, single: bool) -> Replacement:
    """The change without the words that its old and new text have in common at the start and the end.

    A change of several lines (not `single`) is narrowed only if it adds or removes text at one end.
    """
    before, after = _WORDS.findall(old), _WORDS.findall(change.text)
    most = min(len(before), len(after))
    first = next((at for at in range(most) if before[at] != after[at]), most)
    most -= first
    last = next((at for at in range(most) if before[-1 - at] != after[-1 - at]), most)
    rest = after[first : len(after) - last]
    stays = min(len(before), len(after)) in (first, last)
    if not single and not stays:
        first, last = int(first > 0 and before[0] in _BREAKS), 0
        rest = after[first:]
    start = change.span.start + len("".join(before[:first]))
    end = change.span.end - len("".join(before[len(before) - last :]))
    return Replacement(Span(start, end), "".join(rest))


def _near(changes: Sequence[Replacement]) -> Iterator[list[Replacement]]:
    """Groups of changes. Neighbours in a group are at most `_NEAR` characters apart."""
    group: list[Replacement] = []
    for each in changes:
        if group and each.span.start - group[-1].span.end > _NEAR:
            yield group
            group = []
        group.append(each)
    if group:
        yield group


def _as_one(document: Document, changes: Sequence[Replacement]) -> Replacement:
    hull = Span(changes[0].span.start, changes[-1].span.end)
    part = applied(document, changes).text
    return Replacement(hull, part[hull.start : len(part) - (len(document.text) - hull.end)])


def _breaks(document: Document, span: Span, new_text: str) -> bool:
    syntax = parse(document, span.start)
    if syntax is not None and not _holds(syntax, span):
        syntax = None
    if syntax is None and len(document.text) <= _LONGEST:
        syntax = parse_all(document)
    return syntax is not None and Breakage(document, span, syntax).by(new_text)


def _holds(syntax: Syntax, span: Span) -> bool:
    return syntax.start <= span.start and span.end <= syntax.start + len(syntax.text)
