"""Cuts off what a fill repeats of the code after it: lines below, closing brackets, the rest of the line. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from dgls.code.brackets import balance
from dgls.code.cursor import is_word
from dgls.code.document import Document
from dgls.code.indentation import levels, line_above, line_below, unit
from dgls.code.languages import Language, language_of
from dgls.suggest.plan import Region

_FOLLOWING = 8  # lines after the hole that a fill is compared with


@dataclass(frozen=True, slots=True)
class Site:
    """The code around a hole: the part of its line on the `left` and on the `right` that is in the canvas, and the
    nearest lines that are not blank. `levels` are the indentations of the line above and of the lines that enclose
    it."""

    language: Language
    unit: str
    left: str
    right: str
    above: tuple[str, ...]
    below: tuple[str, ...]
    levels: tuple[str, ...]

    @property
    def blank(self) -> bool:
        return not self.left.strip() and not self.right.strip()


def site_of(document: Document, region: Region) -> Site:
    """The site of the hole of `region`, planned in this `document`."""
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
    return Site(
        language=language,
        unit=unit(document, line, language),
        left=document.text[max(document.line_start(line), start - len(region.before)) : start],
        right=document.text[end : min(document.line_end(line), end + len(region.after))],
        above=tuple(reversed(above)),
        below=tuple(below),
        levels=enclosing,
    )


def without_following_lines(fill: str, site: Site) -> str:
    """The fill up to where it starts to repeat the lines below."""
    if not site.below:
        return fill
    lines = (site.left + fill).split("\n")
    following = site.below[0]
    for index, line in enumerate(lines):
        repeated = line.rstrip() == following
        begun = index == len(lines) - 1 > 0 and len(line.strip()) > 2 and following.startswith(line)
        if (repeated or begun) and (index or site.blank):
            return "\n".join(lines[:index])[len(site.left) :]
    return fill


def without_closers(fill: str, region: Region, site: Site) -> str:
    """The fill up to the first closing bracket that the code after the hole already has.

    A fill may close brackets that are open before the hole and that nothing after it closes. If there is code on the
    right, only that line is compared. Otherwise the whole canvas is compared, if it closes as many brackets after the
    hole as are open before it. If the numbers differ, the canvas' borders separate pairs of brackets.
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


def without_rest_of_line(fill: str, site: Site) -> str:
    """The fill without an end that repeats the rest of the line, unless this leaves a bracket or quote open."""
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
