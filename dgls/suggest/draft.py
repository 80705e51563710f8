"""What the model last made of a hole, for the next keystroke's hole to go on from.

Where the text typed since is the draft's own, what is left of the draft takes the place of noise; otherwise the hole
starts anew. To go on from a draft that the text contradicts, or that the model was unsure of, saves steps too, but
makes worse fills (`bench/warm.py`). Pure, but for one reference: a `Drafting` is written to by the engine's thread
while it is read on the loop.
"""

from __future__ import annotations

from dataclasses import dataclass

from dgls.code.document import Document, Span
from dgls.suggest.cache import rebase
from dgls.suggest.plan import Region
from dgls.suggest.suggestion import Suggestion
from dgls_engine.profile import Profile
from dgls_engine.types import Infill, Step

SURE = 2.0
"""Of a fill that was cut short, drafts count up to so many times the mean entropy at which it would have ended."""


@dataclass(frozen=True, slots=True)
class LastDraft:
    """`text` for `span` of `document`."""

    document: Document
    span: Span
    text: str

    def rest(self, document: Document, region: Region) -> LastDraft | None:
        """What is left of it for the hole of `region`, planned in `document`; None where it does not fit."""
        made = Suggestion(self.document.uri, self.document.version, self.span, self.text, confidence=None)
        moved = rebase(made, self.document, document)
        if moved is None or moved.span != region.span:
            return None
        text = moved.new_text if region.stop is None else moved.new_text.split(region.stop, 1)[0]
        return LastDraft(document, region.span, text) if text.strip() else None


class Drafting:
    """The hole of `region` in `document` while a model of this `profile` fills it. `start` is what is left of what was
    made in an `older` one, if that fits."""

    def __init__(self, document: Document, region: Region, profile: Profile, older: LastDraft | None) -> None:
        self._document, self._span, self._profile = document, region.span, profile
        self._last = older.rest(document, region) if older is not None else None
        self.start = self._last.text if self._last is not None else None

    @property
    def last(self) -> LastDraft | None:
        """What the next one may go on from."""
        return self._last

    def note(self, step: Step) -> None:
        """While lengths still compete, the surest draft may have any of them. Called on the engine's thread."""
        sure = step.entropy <= SURE * self._profile.confidence_threshold and self._profile.hole_policy == "pad"
        self._keep(step.fills[0].text, sure)

    def end(self, infill: Infill, usable: bool) -> None:
        """What made no suggestion is not `usable`: of its rest none would come either."""
        self._keep(infill.fills[0].text, usable and infill.finish == "stable")

    def _keep(self, text: str, sure: bool) -> None:
        self._last = LastDraft(self._document, self._span, text) if sure else None
