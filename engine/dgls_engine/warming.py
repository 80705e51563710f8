"""The requests and canvas shapes to warm the engine with while it is idle.

Knows sizes only, neither tokens nor tensors. Runs on the engine thread.
"""

from __future__ import annotations

from collections.abc import Iterator

from dgls_engine.loop.leads import KEEP
from dgls_engine.model.widths import WIDTHS
from dgls_engine.profile import Profile
from dgls_engine.text.length import Length
from dgls_engine.types import Context, Hole, InfillRequest, Limits, Pinned

LINE = 32
"""Tokens of the hole that a keystroke requests: one line."""


def first_request() -> InfillRequest:
    """A request of one step and a few tokens: nearly all its time goes into compilation and set-up."""
    return InfillRequest(Context(), (Pinned("x"), Hole(max_tokens=2), Pinned("\n")), Limits(max_steps=1))


def usual_shapes(profile: Profile, length: Length, closing: int) -> Iterator[tuple[int, int]]:
    """The batches that a keystroke needs, as (canvases, tokens of a canvas); the most frequent first.

    In most files the code around the hole fills its budgets, so canvases have the full length; near the start or end
    of a file they are shorter. A contest starts with a canvas for each length and continues with fewer.
    """
    lengths = len(length.tries(Hole(max_tokens=min(LINE, profile.hole_tokens))))
    counts = sorted({1, lengths, *(count for count in (2, 4, KEEP) if count < lengths)}, reverse=True)
    longest = min(profile.canvas_tokens, profile.before_tokens + profile.after_tokens + LINE + closing)
    narrower = max((width for width in WIDTHS if width < longest), default=longest)
    for tokens in dict.fromkeys((longest, narrower)):
        for count in counts:
            yield count, tokens
