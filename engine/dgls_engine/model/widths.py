"""The few lengths to which canvases are padded. Plain numbers; any thread."""

from __future__ import annotations

WIDTHS = (64, 96, 128, 192, 256)
"""Lengths to which a canvas is padded: few, since each is a shape of its own to run (`captured`), and close,
since the padding is computed, too. The published model was seen to take twice the denoising steps at 16 tokens, and
no more than at 256 from 32 on."""


def width_for(tokens: int, canvas_tokens: int) -> int:
    """The narrowest of `WIDTHS` that holds so many tokens and is within the model's own; else that one."""
    return min((width for width in WIDTHS if tokens <= width < canvas_tokens), default=canvas_tokens)
