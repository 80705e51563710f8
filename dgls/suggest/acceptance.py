"""Whether the user took a suggestion, judged from the text alone.

No client has to report it. A suggestion counts as taken once the document holds it word for word, whether it was
accepted at once, word by word, or typed. It counts as refused once the document holds something else. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from dgls.code.document import Document
from dgls.suggest.cache import untyped
from dgls.suggest.suggestion import Suggestion

Verdict = Literal["open", "taken", "refused"]


@dataclass(frozen=True, slots=True)
class Shown:
    """A suggestion of `model`, and the `document` that it was shown in. `filled`: the last text had all of it."""

    document: Document
    suggestion: Suggestion
    model: str
    filled: bool = False

    def follow(self, now: Document) -> tuple[Shown, Verdict]:
        """What becomes of the suggestion after an edit. It is taken at the first edit after it was filled in, unless
        that edit takes it back."""
        if self.filled:
            return self, "refused" if now.text == self.document.text else "taken"
        text, span, new = self.document.text, self.suggestion.span, self.suggestion.new_text
        if now.text == text[: span.start] + new + text[span.end :]:
            return replace(self, filled=True), "open"
        return self, "open" if self.rest(now) is not None else "refused"

    def closed(self) -> Verdict:
        """The verdict when the document is closed or its suggestion is replaced; "open" if there is none."""
        return "taken" if self.filled else "open"

    def rest(self, now: Document) -> str | None:
        """What the user has yet to type of the suggestion; None if `now` holds something else."""
        if now.text == self.document.text:
            return self.suggestion.new_text
        rest = untyped(self.suggestion.span, self.suggestion.new_text, self.document, now)
        return rest[1] if rest is not None else None
