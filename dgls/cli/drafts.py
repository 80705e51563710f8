"""A hole's draft on a terminal: its tokens, the less certain the dimmer."""

from __future__ import annotations

from rich.text import Text

from dgls.cli.printable import printable
from dgls_engine.types import Draft

SURE, LIKELY, UNSURE = "bold green", "green", "dim green"


def drawn(draft: Draft) -> Text:
    text = Text()
    for piece, nats in zip(draft.pieces, draft.entropies, strict=True):
        text.append(printable(piece), SURE if nats < 0.1 else LIKELY if nats < 1.0 else UNSURE)
    return text
