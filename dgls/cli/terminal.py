"""A hole's draft on a terminal: its tokens, the less certain the dimmer."""

from __future__ import annotations

from rich.text import Text

from dgls.cli.printable import printable
from dgls_engine.types import Fill

SURE, LIKELY, UNSURE = "bold green", "green", "dim green"


def drawn(draft: Fill) -> Text:
    text = Text()
    for piece in draft.pieces:
        text.append(printable(piece.text), SURE if piece.entropy < 0.1 else LIKELY if piece.entropy < 1.0 else UNSURE)
    return text


def stated(confidence: float | None) -> str:
    """The confidence for a line that lists figures; nothing where the model is not calibrated."""
    return "" if confidence is None else f", confidence {confidence:.2f}"
