"""Suggestions that stay valid while the user types them: the rest of one is served without the engine.

Pure: each document has one `TypedThrough`, and its owner replaces it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from dgls.code.document import Document, Span
from dgls.suggest.suggestion import Suggestion

_CLOSERS = frozenset(")]}\"'`")


@dataclass(frozen=True, slots=True)
class TypedThrough:
    """The last suggestions for a document, and the document they were made in.

    Every look-up starts from that document, so the user may delete typed letters again. `invoked` suggestions may be
    ones that are not shown unasked, so they are served only once the user has typed the beginning of one.
    """

    document: Document
    suggestions: tuple[Suggestion, ...]
    invoked: bool = False

    def at(self, document: Document, offset: int) -> tuple[Suggestion, ...]:
        """The rest of each suggestion that fits `document` with the cursor at `offset`."""
        if self.invoked and len(document.text) <= len(self.document.text):
            return ()
        rebased = (rebase(suggestion, self.document, document) for suggestion in self.suggestions)
        return tuple(suggestion for suggestion in rebased if suggestion and suggestion.span.start == offset)


def rebase(suggestion: Suggestion, old: Document, new: Document) -> Suggestion | None:
    """The rest of a suggestion made in `old`, if `new` differs from `old` only by its typed beginning; else None.

    Brackets and quotes that the editor closed behind the typed text stay there, and the rest does not repeat them.
    """
    assert suggestion.version == old.version, "the suggestion was made in another version"
    if new.uri != old.uri or new.language != old.language:
        return None
    start = suggestion.span.start
    growth = len(new.text) - len(old.text)
    if growth < 0 or not new.text.startswith(old.text[:start]) or not new.text.endswith(old.text[start:]):
        return None
    inserted = new.text[start : start + growth]
    typed = _common_prefix(inserted, suggestion.new_text)
    rest, closers = suggestion.new_text[len(typed) :], inserted[len(typed) :]
    if not _CLOSERS.issuperset(closers) or not rest.endswith(closers) or (closers and not typed):
        return None
    rest = rest[: len(rest) - len(closers)]
    if not rest:
        return None
    cursor = start + len(typed)
    end = cursor if closers else suggestion.span.end + growth
    return replace(suggestion, version=new.version, span=Span(cursor, end), new_text=rest)


def _common_prefix(left: str, right: str) -> str:
    length = next(
        (at for at, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right))
    )
    return left[:length]
