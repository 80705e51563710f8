"""The lengths to which canvases are padded. Plain numbers; any thread."""

from __future__ import annotations

WIDTHS = (64, 96, 128, 192, 256)
"""Lengths to which a canvas is padded. There are few, because each is a shape to capture (`captured`). They are close
to each other, because padding costs time. At 16 tokens the published model takes twice as many denoising steps as at
256; from 32 tokens on it takes no more (measured)."""


def width_for(tokens: int, canvas_tokens: int) -> int:
    """The smallest of `WIDTHS` that holds `tokens`, if it is below `canvas_tokens`; else `canvas_tokens`."""
    return min((width for width in WIDTHS if tokens <= width < canvas_tokens), default=canvas_tokens)
