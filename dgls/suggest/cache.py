"""Suggestions that outlive their document version: what the user typed of one is served without the engine.

Pure: `TypedThrough` is a value a document has one of; its owner replaces it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from dgls.code.document import Document, Span
from dgls.suggest.suggestion import Suggestion

_CLOSERS = frozenset(")]}\"'`")


@dataclass(frozen=True, slots=True)
class TypedThrough:
    """The suggestions last made for a document, and the document they were made in.

    Going back to that document each time lets the user delete what was typed and still be served. What was `invoked`
    may be what nobody would be shown unasked: it is served once the user has taken it up, by typing some of it.
    """

    document: Document
    suggestions: tuple[Suggestion, ...]
    invoked: bool = False

    def at(self, document: Document, offset: int) -> tuple[Suggestion, ...]:
        """Those that still fit `document` with the cursor at `offset`, less what was typed of them."""
        if self.invoked and len(document.text) <= len(self.document.text):
            return ()
        rebased = (rebase(suggestion, self.document, document) for suggestion in self.suggestions)
        return tuple(suggestion for suggestion in rebased if suggestion and suggestion.span.start == offset)


def rebase(suggestion: Suggestion, old: Document, new: Document) -> Suggestion | None:
    """The suggestion made in `old` as it stands in `new`, where a beginning of it was typed; else None.

    A bracket or quote that the editor closed by itself behind the typed text is kept, and left out of the rest.
    """
    assert suggestion.version == old.version, "the suggestion was made in another version"
    if new.uri != old.uri or new.language != old.language:
        return None
    start = suggestion.span.start
    grown = len(new.text) - len(old.text)
    if grown < 0 or not new.text.startswith(old.text[:start]) or not new.text.endswith(old.text[start:]):
        return None
    inserted = new.text[start : start + grown]
    typed = _shared(inserted, suggestion.new_text)
    rest, closers = suggestion.new_text[len(typed) :], inserted[len(typed) :]
    if not _CLOSERS.issuperset(closers) or not rest.endswith(closers) or (closers and not typed):
        return None
    rest = rest[: len(rest) - len(closers)]
    if not rest:
        return None
    cursor = start + len(typed)
    end = cursor if closers else suggestion.span.end + grown
    return replace(suggestion, version=new.version, span=Span(cursor, end), new_text=rest)


def _shared(left: str, right: str) -> str:
    length = next(
        (at for at, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right))
    )
    return left[:length]
