"""Cuts off what a fill repeats of the code after it: lines below, closing brackets, the rest of the line. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from dgls.code.brackets import balance
from dgls.code.cursor import is_word
from dgls.code.document import Document
from dgls.code.indentation import levels, line_above, line_below, unit
from dgls.code.languages import Language, language_of
from dgls.code.literals import Open
from dgls.suggest.plan import Region

_ANGLE = re.compile(r"<(?![\s<=-])|(?<![-=\s])>(?!=)")
_SEPARATOR = re.compile(r"(?:([,;])\n\1|(?<!:):\n:(?!:)|(?<!\.)\.\n\.(?!\.)|\s=\n=\s)")
"""What stands twice if a fill ends with it and the code on the right begins with it."""
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
        unit=unit(document, line, language, start),
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
    """The fill up to the first closing mark that the code after the hole already has: a bracket, the quote of the
    string around the hole, or >.

    If there is code on the right, only that line is compared, otherwise the whole canvas.
    """
    left, right = (site.left, site.right) if site.right.strip() else (region.before, region.after)
    inside = balance(left, site.language).literal
    if inside is not None and inside.kind == "string":
        fill = _without_quote(fill, inside, left, right, site.language)
    fill = _without_brackets(fill, inside, region, site)
    return _without_angles(fill, site)


def _without_quote(fill: str, inside: Open, left: str, right: str, language: Language) -> str:
    """The fill up to its last quote, if that ends the string that goes on and ends on the right."""
    rest = inside.rest.match(right)
    if rest is None or not rest[0].endswith(inside.end) or balance(fill, language, inside).literal == inside:
        return fill
    shorter = fill[: fill.rfind(inside.end)]
    if balance(left + shorter + right, language).quote and not balance(left + fill + right, language).quote:
        return fill  # what follows on the right is another string
    return shorter


def _without_brackets(fill: str, inside: Open | None, region: Region, site: Site) -> str:
    """A fill may close brackets that are open before the hole and that nothing after it closes. If the whole canvas is
    compared, it has to close as many brackets after the hole as are open before it: otherwise its borders separate
    pairs of brackets."""
    if site.right.strip():
        if _reopens(fill, inside, site):
            return fill
        waiting = [site.right[at] for at in balance(site.right, site.language, inside).closers]
        spare = len(balance(site.left, site.language).openers) - len(waiting)
    else:
        waiting = [region.after[at] for at in balance(region.after, site.language, inside).closers]
        spare = len(balance(region.before, site.language).openers) - len(waiting)
        if spare != 0:
            return fill
    for at in balance(fill, site.language, inside).closers:
        if spare <= 0 and fill[at] in waiting:
            return fill[:at]
        spare -= 1
    return fill


def _reopens(fill: str, inside: Open | None, site: Site) -> bool:
    """Does the fill open as many brackets as it closes of those that are open before it?"""
    own = balance(fill, site.language, inside)
    if not own.closers or len(own.openers) != len(own.closers):
        return False
    return not balance(site.left + fill + site.right, site.language).closers


def _without_angles(fill: str, site: Site) -> str:
    """As for brackets, but where < and > compare, they are none. So only a > right behind the hole counts."""
    opened = len(_angles(site.left)[0])
    if not opened or not site.right.startswith(">"):
        return fill
    spare = opened - len(_angles(site.right)[1])
    closers = _angles(fill)[1]
    return fill[: closers[max(0, spare)]] if len(closers) > max(0, spare) else fill


def _angles(text: str) -> tuple[list[int], list[int]]:
    """The indices of < and > without a partner."""
    openers: list[int] = []
    closers: list[int] = []
    for match in _ANGLE.finditer(text):
        if match[0] == "<":
            openers.append(match.start())
        elif openers:
            openers.pop()
        else:
            closers.append(match.start())
    return openers, closers


def without_separator(fill: str, site: Site) -> str:
    """The fill without the comma, semicolon or the like at its end with which the rest of the line begins."""
    right = site.right.strip()
    twice = right and _SEPARATOR.search(f"{fill.rstrip()}\n{right}")
    return fill.rstrip()[:-1].rstrip() if twice else fill


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
