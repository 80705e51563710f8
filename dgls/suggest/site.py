"""What a fill is held against: the code around the hole, line by line. Pure; knows neither the fill nor the tree."""

from __future__ import annotations

from dataclasses import dataclass

from dgls.code.document import Document
from dgls.code.indentation import levels, line_above, line_below, unit
from dgls.code.languages import Language, language_of
from dgls.suggest.plan import Region

_FOLLOWING = 8  # lines after the hole that a fill is compared with


@dataclass(frozen=True, slots=True)
class Site:
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


def site_of(document: Document, region: Region) -> Site:
    """The hole of `region`, which was planned in this `document`."""
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
