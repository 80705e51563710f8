"""From the model's infill to an edit worth showing, or a reason to reject it.

The model makes few kinds of mistakes: it writes past the hole and repeats the code after it, closes a bracket twice,
misses the indentation of a blank line, or repeats itself. A small function corrects each. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from dgls.code.brackets import balance
from dgls.code.breakage import Breakage
from dgls.code.document import Document, Span
from dgls.code.indentation import closes_body, indentation, opens_body, width
from dgls.code.syntax import Syntax
from dgls.suggest.plan import Region
from dgls.suggest.surplus import (
    Site,
    site_of,
    without_closers,
    without_following_lines,
    without_rest_of_line,
    without_separator,
)

_STUTTER = re.compile(r"(\S[^\n]{3,}?)\1{3}")
_LINE_BREAK = re.compile(r"\r\n|\n|\r")
UNDECODABLE = frozenset("\ufffd\0")
"""The characters that bytes without a valid text decode to."""


class Rejection(StrEnum):
    """Why an infill makes no suggestion."""

    EMPTY = "nothing but whitespace"
    UNDECODABLE = "bytes that are not text"
    REPEATS_AFTER = "repeats the code after it"
    REPEATS_ITSELF = "repeats itself or the line above"
    BREAKS_SYNTAX = "breaks code that parsed"


@dataclass(frozen=True, slots=True)
class Suggestion:
    """An edit of one version of a document: `new_text` replaces `span`. `confidence` is calibrated, from 0 to 1; None
    without a calibration. `probability` is that of the model's text, from 0 to 1; None if it is not known."""

    uri: str
    version: int
    span: Span
    new_text: str
    confidence: float | None
    probability: float | None = None


def suggest(
    document: Document,
    region: Region,
    infill: str,
    confidence: float | None = None,
    syntax: Syntax | None = None,
) -> Suggestion | Rejection:
    """The edit that puts the text `infill` into the span of `region`, which was planned in this `document`.

    `syntax` is the tree around the region. With it, an edit is rejected if it breaks code that parsed before.
    """
    assert region.version == document.version, "the region was planned in another version"
    site = site_of(document, region)
    fill = infill.rstrip("\ufffd\0").replace("\r\n", "\n").replace("\r", "\n")
    fill = _indented(fill, region, site)
    if region.stop is not None:
        fill = fill.split(region.stop, 1)[0]
    fill = _cut_at_dedent(fill, region, site)
    if not fill.strip():
        return Rejection.EMPTY
    fill = "\n".join(fill.split("\n")[: region.max_lines + (0 if site.blank else 1)])
    fill = without_rest_of_line(without_following_lines(fill, site), site)
    shorter = without_closers(fill, region, site)
    if syntax is None or not syntax.needs(region.span, fill, shorter):
        fill = shorter
    fill = without_separator(fill, site)
    fill = _trimmed(fill, site)
    if not fill.strip():
        return Rejection.REPEATS_AFTER
    if not UNDECODABLE.isdisjoint(fill):
        return Rejection.UNDECODABLE
    if _repeats_itself(fill, site):
        return Rejection.REPEATS_ITSELF
    new_text = fill.replace("\n", document.newline)
    if syntax is not None:
        whole = unbroken(new_text, Breakage(document, region.span, syntax).by)
        if whole is None:
            return Rejection.BREAKS_SYNTAX
        new_text = whole
    return Suggestion(document.uri, document.version, region.span, new_text, confidence)


def _indented(fill: str, region: Region, site: Site) -> str:
    """Give the first line of code an indentation that the region allows, and shift the other lines with it if
    needed."""
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
    """Indent a line with tabs or spaces, as the file is."""
    indent = indentation(line)
    if unit == "\t":
        return indent.replace("    ", "\t") + line[len(indent) :]
    return indent.replace("\t", unit) + line[len(indent) :]


def _shifted(lines: list[str], indents: tuple[str, ...], site: Site) -> list[str]:
    """If the first line's indentation is not among `indents`, give it the first of them and shift the other lines.

    Three kinds of lines keep their own indentation: one that ends the body above (`else`, a bracket), one that opens a
    body around the lines below, and one inside a bracket that was opened above.
    """
    old = indentation(lines[0])
    if old in indents or not lines[0].strip() or _may_differ(lines, old, site):
        return lines
    new = indents[0]
    other_widths = [width(indentation(line)) for line in lines[1:] if line.strip()]
    first = new + lines[0].lstrip(" \t")
    if other_widths and min(other_widths) >= width(new) > width(old):  # only the first line is not deep enough
        return [first, *lines[1:]]
    return [first, *(_moved(line, old, new) for line in lines[1:])]


def _may_differ(lines: list[str], indent: str, site: Site) -> bool:
    if indent not in site.levels[1:]:
        above = site.above[-1] if site.above else ""
        bracketed = not opens_body(above, site.language) and bool(balance(above, site.language).openers)
        return bracketed and width(indent) > width(site.levels[0])
    alone = not any(line.strip() for line in lines[1:])
    deeper_below = bool(site.below) and width(indent) < width(indentation(site.below[0]))
    return closes_body(lines[0], site.language) or (alone and deeper_below and opens_body(lines[0], site.language))


def _moved(line: str, old: str, new: str) -> str:
    return new + line[len(old) :] if indentation(line).startswith(old) else line


def _cut_at_dedent(fill: str, region: Region, site: Site) -> str:
    """Keep the lines of the cursor's body, and a bracket or `end` that closes a body opened on the cursor's line."""
    if region.kind == "line":
        return fill
    lines = (site.left + fill).split("\n")
    floor = width(indentation(lines[0]) if site.blank else region.indents[0])
    for index, line in enumerate(lines[1:], 1):
        if not line.strip() or width(indentation(line)) >= floor:
            continue
        keep = index + 1 if _closes_new_body(line, site) else index
        return "\n".join(lines[:keep])[len(site.left) :]
    return fill


def _closes_new_body(line: str, site: Site) -> bool:
    if site.blank or site.language.offside or not closes_body(line, site.language):
        return False
    indent = indentation(site.left)
    closed_below = bool(site.below) and closes_body(site.below[0], site.language)
    closed = closes_body(site.right, site.language) or (closed_below and indentation(site.below[0]) == indent)
    return indentation(line) == indent and not closed


def _trimmed(fill: str, site: Site) -> str:
    """Drop trailing whitespace, unless text follows on the right: then keep a space, and end a body with a new line."""
    if not site.right.strip():
        return fill.rstrip()
    if "\n" in fill:
        return fill.rstrip() + "\n" + indentation(site.left)
    return fill


def _repeats_itself(fill: str, site: Site) -> bool:
    """Whether the fill repeats text within a line, has one line three times in a row, or mostly repeats a few lines."""
    lines = [line.strip() for line in (site.left + fill).split("\n") if line.strip()]
    words = [line for line in lines if re.search(r"\w", line)]
    if any(re.search(r"\w", match[1]) for match in _STUTTER.finditer(fill[:2000])):
        return True
    run = [*site.above, *lines]
    if any(a == b == c and c in words for a, b, c in zip(run, run[1:], run[2:], strict=False)):
        return run[-1] in words
    return len(words) >= 4 and len(set(words)) * 2 <= len(words)


def unbroken(new_text: str, breaks: Callable[[str], bool]) -> str | None:
    """The text cut after as many lines as possible without breaking code that parsed. None if even one line breaks
    it."""
    ends = [match.start() for match in _LINE_BREAK.finditer(new_text)]
    for shorter in (new_text, *(new_text[:end].rstrip() for end in reversed(ends))):
        if not shorter.strip():
            return None
        if not breaks(shorter):
            return shorter
    return None
