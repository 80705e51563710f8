"""Text for a terminal: source code made safe to print, drafts coloured by certainty, confidences."""

from __future__ import annotations

from rich.text import Text

from dgls_engine.types import Fill

SURE, LIKELY, UNSURE = "bold green", "green", "dim green"


def printable(text: str) -> str:
    """`text` without anything that could move the cursor or ring a bell.

    Control and other unprintable characters become U+FFFD. Tabs and line breaks stay; carriage returns go.
    """
    return "".join(c if c.isprintable() or c in "\n\t" else "" if c == "\r" else "\ufffd" for c in text)


def drawn(draft: Fill) -> Text:
    """The draft's tokens: the less certain, the dimmer."""
    text = Text()
    for piece in draft.pieces:
        text.append(printable(piece.text), SURE if piece.entropy < 0.1 else LIKELY if piece.entropy < 1.0 else UNSURE)
    return text


def stated(confidence: float | None) -> str:
    """The confidence as part of a line of figures; empty if the model is not calibrated."""
    return "" if confidence is None else f", confidence {confidence:.2f}"
