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

    Every look-up starts from that document, so the user may delete typed letters again. A text that was changed and is
    the same again has none of the suggestions: the user took one back, or other text. `invoked` suggestions may be ones
    that are not shown unasked, so they are served only once the user has typed the beginning of one.
    """

    document: Document
    suggestions: tuple[Suggestion, ...]
    invoked: bool = False

    def at(self, document: Document, offset: int) -> tuple[Suggestion, ...]:
        """The rest of each suggestion that fits `document` with the cursor at `offset`."""
        changed_back = document.version != self.document.version and document.text == self.document.text
        if changed_back or (self.invoked and len(document.text) <= len(self.document.text)):
            return ()
        rebased = (rebase(suggestion, self.document, document) for suggestion in self.suggestions)
        return tuple(suggestion for suggestion in rebased if suggestion and suggestion.span.start == offset)


def rebase(suggestion: Suggestion, old: Document, new: Document) -> Suggestion | None:
    """The rest of a suggestion made in `old`, if `new` differs from `old` only by its typed beginning; else None."""
    assert suggestion.version == old.version, "the suggestion was made in another version"
    rest = untyped(suggestion.span, suggestion.new_text, old, new)
    return replace(suggestion, version=new.version, span=rest[0], new_text=rest[1]) if rest else None


def untyped(span: Span, text: str, old: Document, new: Document) -> tuple[Span, str] | None:
    """What the user has yet to type of a `text` in place of `span` in `old`, and its place in `new`. None if `new`
    differs from `old` by more than the typed beginning of the text, or if nothing is left.

    Brackets and quotes that the editor closed behind the typed text stay there, and the rest does not repeat them.
    """
    if new.uri != old.uri or new.language != old.language:
        return None
    growth = len(new.text) - len(old.text)
    if growth < 0 or not new.text.startswith(old.text[: span.start]) or not new.text.endswith(old.text[span.start :]):
        return None
    inserted = new.text[span.start : span.start + growth]
    typed = _common_prefix(inserted, text)
    rest, closers = text[len(typed) :], inserted[len(typed) :]
    if not _CLOSERS.issuperset(closers) or not rest.endswith(closers) or (closers and not typed):
        return None
    rest = rest[: len(rest) - len(closers)]
    if not rest:
        return None
    cursor = span.start + len(typed)
    return Span(cursor, cursor if closers else span.end + growth), rest


def _common_prefix(left: str, right: str) -> str:
    length = next(
        (at for at, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right))
    )
    return left[:length]
