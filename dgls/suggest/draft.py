"""The model's last draft of a hole, from which the hole of the next keystroke starts.

If the user typed the beginning of the draft, the hole starts from the rest of it. Otherwise the hole starts from noise:
a draft that contradicts the typed text, or of which the model was unsure, also saves steps, but makes fills worse
(`bench/warm.py`). Pure, except that the engine thread sets the draft of a `Drafting` while the event loop reads it.
"""

from __future__ import annotations

from dataclasses import dataclass

from dgls.code.document import Document, Span
from dgls.suggest.cache import untyped
from dgls.suggest.plan import Region
from dgls_engine.profile import Profile
from dgls_engine.types import Infill, Step

SURE = 2.0
"""The draft of an unfinished fill is kept if its mean entropy is at most this many times the entropy at which a fill
ends."""


@dataclass(frozen=True, slots=True)
class LastDraft:
    """A draft that puts `text` in place of `span` in `document`."""

    document: Document
    span: Span
    text: str

    def rest(self, document: Document, region: Region) -> LastDraft | None:
        """The part that is not typed yet, for the hole of `region` in `document`. None if it does not fit there."""
        rest = untyped(self.span, self.text, self.document, document)
        if rest is None or rest[0] != region.span:
            return None
        text = rest[1] if region.stop is None else rest[1].split(region.stop, 1)[0]
        return LastDraft(document, region.span, text) if text.strip() else None


class Drafting:
    """The draft of the hole of `region` while a model with this `profile` fills it. `start` is the rest of the `older`
    draft, None if it does not fit."""

    def __init__(self, document: Document, region: Region, profile: Profile, older: LastDraft | None) -> None:
        self._document, self._span, self._profile = document, region.span, profile
        self._last = older.rest(document, region) if older is not None else None
        self.start = self._last.text if self._last is not None else None

    @property
    def last(self) -> LastDraft | None:
        """The draft that the next hole may start from."""
        return self._last

    def note(self, step: Step) -> None:
        """Keep the draft of a step if the model is sure of it, and of its length: not while several lengths compete.

        Called on the engine's thread.
        """
        sure = step.entropy <= SURE * self._profile.confidence_threshold and self._profile.hole_policy == "pad"
        self._keep(step.fills[0].text, sure)

    def end(self, infill: Infill, usable: bool) -> None:
        """An infill that made no suggestion is not `usable`: its rest would make none either."""
        self._keep(infill.fills[0].text, usable and infill.finish == "stable")

    def _keep(self, text: str, sure: bool) -> None:
        self._last = LastDraft(self._document, self._span, text) if sure else None
