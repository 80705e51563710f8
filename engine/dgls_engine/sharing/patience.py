"""How long the processes that share a model wait for each other."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds. The holder sends something every `beat`; after `silence` without a word its guests stop to wait for it.
    `again` lies between two tries to find a holder."""

    beat: float = 1.0
    silence: float = 5.0
    again: float = 0.05
