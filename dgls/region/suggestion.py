"""From the model's infill to an edit worth showing, or the reason to drop it.

A model of this kind errs in few ways: it goes on past the hole and repeats the code after it, closes a bracket twice,
misses the indentation of a blank line, or says one thing over and over. Each has a small function here. Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from dgls.document import Document, Span
from dgls.region.brackets import balance
from dgls.region.breakage import breaks
from dgls.region.cursor import is_word
from dgls.region.indentation import closes_body, indentation, levels, line_above, line_below, opens_body, unit, width
from dgls.region.languages import Language, language_of
from dgls.region.plan import Region
from dgls.region.syntax import Syntax

_STUTTER = re.compile(r"(\S[^\n]{3,}?)\1{3}")
_NO_TEXT = frozenset("\ufffd\0")  # what bytes that are no text decode to
_FOLLOWING = 8  # lines after the hole that a fill is compared with


class Rejection(StrEnum):
    """Why an infill became no suggestion."""

    EMPTY = "nothing but whitespace"
    NO_TEXT = "bytes that are no text"
    REPEATS_AFTER = "repeats the code after it"
    REPEATS_ITSELF = "repeats itself or the line above"
    BREAKS_SYNTAX = "breaks code that parsed"


@dataclass(frozen=True, slots=True)
class Suggestion:
    """An edit of one version of a document: `new_text` replaces `span`. Confidence from 0 to 1."""

    uri: str
    version: int
    span: Span
    new_text: str
    confidence: float


@dataclass(frozen=True, slots=True)
class _Site:
    """What stands around the hole: its line as far as it is in the canvas, and the nearest lines that are not blank."""

    language: Language
    unit: str
    left: str
    right: str
    above: tuple[str, ...]
    below: tuple[str, ...]
    levels: tuple[str, ...]  # indentations of the line above and of what encloses it

    @property
    def blank(self) -> bool:
        return not self.left.strip() and not self.right.strip()


def suggest(
    document: Document,
    region: Region,
    infill: str,
    confidence: float = 1.0,
    syntax: Syntax | None = None,
) -> Suggestion | Rejection:
    """The infill of `region` (planned in this `document`) made fit to show.

    With the `syntax` around the region, a suggestion that breaks code that parsed is rejected.
    """
    assert region.version == document.version, "the region was planned in another version"
    site = _site(document, region)
    fill = infill.rstrip("\ufffd\0").replace("\r\n", "\n").replace("\r", "\n")
    fill = _indented(fill, region, site)
    if region.stop is not None:
        fill = fill.split(region.stop, 1)[0]
    fill = _cut_at_dedent(fill, region, site)
    if not fill.strip():
        return Rejection.EMPTY
    fill = "\n".join(fill.split("\n")[: region.max_lines + (0 if site.blank else 1)])
    fill = _without_following_lines(fill, site)
    once = _without_closers(fill, region, site)
    if syntax is None or not syntax.needs(region.span, fill, once):
        fill = once
    fill = _without_rest_of_line(fill, site)
    fill = _trimmed(fill, site)
    if not fill.strip():
        return Rejection.REPEATS_AFTER
    if not _NO_TEXT.isdisjoint(fill):
        return Rejection.NO_TEXT
    if _repeats_itself(fill, site):
        return Rejection.REPEATS_ITSELF
    whole = _unbroken(fill, document, region, syntax)
    if whole is None:
        return Rejection.BREAKS_SYNTAX
    new_text = whole.replace("\n", document.newline)
    return Suggestion(document.uri, document.version, region.span, new_text, confidence)


def _site(document: Document, region: Region) -> _Site:
    language = language_of(document.language, document.uri)
    start, end = region.span.start, region.span.end
    line = document.line_at(start)
    above: list[str] = []
    at = line_above(document, line)
    enclosing = tuple(levels(document, at)) if at is not None else ()
    while at is not None and len(above) < 2:
        above.append(document.line_text(at).strip())
        at = line_above(document, at)
    below: list[str] = []
    at = line_below(document, line)
    while at is not None and len(below) < _FOLLOWING:
        below.append(document.line_text(at).rstrip())
        at = line_below(document, at)
    return _Site(
        language=language,
        unit=unit(document, line, language),
        left=document.text[max(document.line_start(line), start - len(region.before)) : start],
        right=document.text[end : min(document.line_end(line), end + len(region.after))],
        above=tuple(reversed(above)),
        below=tuple(below),
        levels=enclosing,
    )


def _indented(fill: str, region: Region, site: _Site) -> str:
    """The first line of code at an indentation it may have, the others moved along where they need it."""
    if site.blank:
        leading = re.match(r"(?:[ \t]*\n)+", fill)
        code = fill[leading.end() :] if leading else site.left + fill
        lines = [_in_style(line, site.unit) for line in code.split("\n")]
        lines = _shifted(lines, region.indents, site)
        return "\n".join(lines)[len(site.left) :]
    if not site.left.strip():
        return fill.lstrip(" \t")  # the code on the right is indented already
    first, newline, rest = fill.partition("\n")
    if first.strip() or not rest:
        return fill
    leading = re.match(r"(?:[ \t]*\n)+", rest)
    rest = rest[leading.end() :] if leading else rest
    lines = [_in_style(line, site.unit) for line in rest.split("\n")]
    if width(indentation(lines[0])) > width(indentation(site.left)):
        lines = _shifted(lines, region.indents, site)
    return first + newline + "\n".join(lines)


def _in_style(line: str, unit: str) -> str:
    """A line indented with tabs where the file is, with spaces where it is."""
    indent = indentation(line)
    if unit == "\t":
        return indent.replace("    ", "\t") + line[len(indent) :]
    return indent.replace("\t", unit) + line[len(indent) :]


def _shifted(lines: list[str], indents: tuple[str, ...], site: _Site) -> list[str]:
    """If the first line's indentation is none of `indents` it gets the first of them.

    Not so a line that ends the body above (`else`, a bracket), one that heads the lines below, and one that goes on
    in a bracket opened above, at whatever depth.
    """
    wrong = indentation(lines[0])
    if wrong in indents or not lines[0].strip() or _stands_apart(lines, wrong, site):
        return lines
    right = indents[0]
    others = [width(indentation(line)) for line in lines[1:] if line.strip()]
    first = right + lines[0].lstrip(" \t")
    if others and min(others) >= width(right) > width(wrong):  # only the first line missed it
        return [first, *lines[1:]]
    return [first, *(_moved(line, wrong, right) for line in lines[1:])]


def _stands_apart(lines: list[str], indent: str, site: _Site) -> bool:
    if indent not in site.levels[1:]:
        bracketed = bool(site.above) and bool(balance(site.above[-1], site.language).openers)
        return bracketed and width(indent) > width(site.levels[0])
    alone = not any(line.strip() for line in lines[1:])
    deeper_below = bool(site.below) and width(indent) < width(indentation(site.below[0]))
    return closes_body(lines[0], site.language) or (alone and deeper_below and opens_body(lines[0], site.language))


def _moved(line: str, wrong: str, right: str) -> str:
    indent = indentation(line)
    if indent.startswith(wrong):
        return right + line[len(wrong) :]
    return line


def _cut_at_dedent(fill: str, region: Region, site: _Site) -> str:
    """Only what belongs to the cursor's own body; a bracket or `end` that closes a body opened here may stay."""
    if region.kind == "line":
        return fill
    lines = (site.left + fill).split("\n")
    floor = width(indentation(lines[0]) if site.blank else region.indents[0])
    for index, line in enumerate(lines[1:], 1):
        if not line.strip() or width(indentation(line)) >= floor:
            continue
        keep = index + 1 if _closes_own_body(line, site) else index
        return "\n".join(lines[:keep])[len(site.left) :]
    return fill


def _closes_own_body(line: str, site: _Site) -> bool:
    if site.blank or site.language.offside or not closes_body(line, site.language):
        return False
    indent = indentation(site.left)
    closed_below = bool(site.below) and closes_body(site.below[0], site.language)
    closed = closes_body(site.right, site.language) or (closed_below and indentation(site.below[0]) == indent)
    return indentation(line) == indent and not closed


def _without_following_lines(fill: str, site: _Site) -> str:
    """Up to where the fill starts to write the lines below once more."""
    if not site.below:
        return fill
    lines = (site.left + fill).split("\n")
    following = site.below[0]
    for index, line in enumerate(lines):
        again = line.rstrip() == following
        begun = index == len(lines) - 1 > 0 and len(line.strip()) > 2 and following.startswith(line)
        if (again or begun) and (index or site.blank):
            return "\n".join(lines[:index])[len(site.left) :]
    return fill


def _without_closers(fill: str, region: Region, site: _Site) -> str:
    """Up to the first bracket that is closed already: on the right, or, where the line ends, below.

    On the right, what the line itself opened counts. Below, as many brackets must be closed as are open in the
    canvas before the hole: with more or fewer its borders cut through them, and nothing can be said.
    """
    if site.right.strip():
        waiting = [site.right[at] for at in balance(site.right, site.language).closers]
        spare = len(balance(site.left, site.language).openers) - len(waiting)
    else:
        waiting = [region.after[at] for at in balance(region.after, site.language).closers]
        spare = len(balance(region.before, site.language).openers) - len(waiting)
        if spare != 0:
            return fill
    for at in balance(fill, site.language).closers:
        if spare <= 0 and fill[at] in waiting:
            return fill[:at]
        spare -= 1
    return fill


def _without_rest_of_line(fill: str, site: _Site) -> str:
    """Without an end that repeats how the line goes on, unless that leaves a bracket or quote open."""
    right = site.right.rstrip()

    def left_open(fill: str) -> tuple[int, bool]:
        line = balance(site.left + fill + right, site.language)
        return len(line.openers), bool(line.quote)

    for rest, written in ((right, fill), (right.lstrip(), fill.rstrip())):
        for length in range(min(len(rest), len(written)), 0, -1):
            if not written.endswith(rest[:length]) or (length < len(rest) and length < 3):
                continue
            shorter = written[:-length]
            if rest != right and is_word(rest[0]) and is_word(shorter[-1:]):
                continue  # the end of a longer word
            if left_open(shorter) <= left_open(fill):
                return shorter
    return fill


def _trimmed(fill: str, site: _Site) -> str:
    """No trailing whitespace, save what the text on the right needs: a space, or its own line after a body."""
    if not site.right.strip():
        return fill.rstrip()
    if "\n" in fill:
        return fill.rstrip() + "\n" + indentation(site.left)
    return fill


def _repeats_itself(fill: str, site: _Site) -> bool:
    """A stutter within a line, one line three times on end, or a few lines over and over."""
    lines = [line.strip() for line in (site.left + fill).split("\n") if line.strip()]
    words = [line for line in lines if re.search(r"\w", line)]
    if any(re.search(r"\w", match[1]) for match in _STUTTER.finditer(fill[:2000])):
        return True
    run = [*site.above, *lines]
    if any(a == b == c and c in words for a, b, c in zip(run, run[1:], run[2:], strict=False)):
        return run[-1] in words
    return len(words) >= 4 and len(set(words)) * 2 <= len(words)


def _unbroken(fill: str, document: Document, region: Region, syntax: Syntax | None) -> str | None:
    """As many of its lines as break no code that parsed: what a fill ends with may be cut off. None: not even one."""
    lines = fill.split("\n")
    for kept in range(len(lines), 0, -1):
        shorter = "\n".join(lines[:kept]).rstrip() if kept < len(lines) else fill
        if not shorter.strip():
            return None
        new_text = shorter.replace("\n", document.newline)
        if syntax is None or not breaks(document, region.span, new_text, syntax):
            return shorter
    return None
