"""Which requests are usual, so that what they need can be made ready while nothing is asked.

Knows sizes only, neither tokens nor tensors. Runs on the engine thread.
"""

from __future__ import annotations

from collections.abc import Iterator

from dgls_engine.loop.contest import KEEP
from dgls_engine.model.widths import WIDTHS
from dgls_engine.profile import Profile
from dgls_engine.text.length import Length
from dgls_engine.types import Context, Hole, InfillRequest, Limits, Pinned

LINE = 32
"""Tokens of the hole that a keystroke asks for: a line."""


def first_request() -> InfillRequest:
    """One step of a request so small that its work is to compile and set up, which the first one always does."""
    return InfillRequest(Context(), (Pinned("x"), Hole(max_tokens=2), Pinned("\n")), Limits(max_steps=1))


def usual_shapes(profile: Profile, length: Length, closing: int) -> Iterator[tuple[int, int]]:
    """How many canvases are denoised together for a keystroke, and of how many tokens; the likeliest first.

    In most files the code around the hole fills its budgets, so that canvases are as long as they get; near a file's
    ends they are shorter. A hole that several lengths are tried for starts with all of these, of which some are
    dropped and others settle.
    """
    tried = len(length.tries(Hole(max_tokens=min(LINE, profile.hole_tokens))))
    counts = sorted({1, tried, *(count for count in (2, 4, KEEP) if count < tried)}, reverse=True)
    longest = min(profile.canvas_tokens, profile.before_tokens + profile.after_tokens + LINE + closing)
    narrower = max((width for width in WIDTHS if width < longest), default=longest)
    for tokens in dict.fromkeys((longest, narrower)):
        for count in counts:
            yield count, tokens
