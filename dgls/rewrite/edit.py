"""From an action's outcome to the smallest edit that makes it, checked before anybody is sent it. Pure."""

from __future__ import annotations

from dgls.rewrite.passage import Outcome, Replacement


def minimal(outcome: Outcome) -> tuple[Replacement, ...]:
    """The same change, of the lines alone that it changes."""
    return outcome.replacements


def breaks(outcome: Outcome) -> bool:
    """Did the document parse, and does it no longer?"""
    return False
