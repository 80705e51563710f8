"""The best model for this machine: of those that are known to fill holes in code, the largest that fits and is fast.

    fitting = best_fitting()        # None: nothing larger than `small`
    fitting.needed, fitting.precision, fitting.licence

Larger is taken for better: nobody has measured the published models here. On a GPU a model must fit into the memory
that is free. On a CPU it must also be fast enough. A step reads every weight once, so its time follows from that of
`small` on this machine (`weights.speeds`), or from a usual one. Imports torch on use. Any thread.
"""

from __future__ import annotations

from dataclasses import dataclass

from dgls_engine.model.families import FILLS_CODE, LARGE, LICENCES, family_of
from dgls_engine.model.family import Size
from dgls_engine.weights.small import SMALL
from dgls_engine.weights.speeds import known_speeds

_PROMPT_TOKENS = 1856
"""Of the longest context of these, without the canvas."""

_SMALL_VALUES, _SMALL_MS = 134_515_008, 100.0
"""The weights of `small`, and a usual time of its step on a CPU."""

_SLOWEST_MS = 250.0
"""With slower steps, a line takes longer than anyone waits for a suggestion."""


@dataclass(frozen=True, slots=True)
class Fitting:
    """A model and the precision in which it fits. `needed` and `free` are bytes of memory, `download` of the files.
    `licence` is an SPDX name; its commercial use is allowed."""

    name: str
    precision: str
    needed: int
    free: int
    download: int
    licence: str
    device: str


def best_fitting() -> Fitting | None:
    """Imports torch, which takes seconds."""
    from dgls_engine.device import device_name, free_memory, pick_device
    from dgls_engine.errors import NotEnoughMemory
    from dgls_engine.weights.precision import footprint_of, pick_precision

    device = pick_device()
    for name, size, prompt_tokens, unused in _known():
        if device.type == "cpu" and _step_ms(size) > _SLOWEST_MS:
            continue
        try:
            precision = pick_precision("auto", device, size, prompt_tokens)
        except NotEnoughMemory:
            continue
        needed = footprint_of(size, precision, device, prompt_tokens).total
        download = size.footprint("bfloat16", 2, 0).weights + unused
        return Fitting(name, precision.name, needed, free_memory(device), download, LICENCES[name], device_name(device))
    return None


def _known() -> list[tuple[str, Size, int, int]]:
    """Name, size, prompt tokens and bytes that are fetched and never read, the largest model first."""
    known = [(LARGE.name, LARGE.size, LARGE.prompt_tokens, LARGE.unused_bytes)]
    for name, config in FILLS_CODE.items():
        family = family_of(config)
        assert family is not None
        known.append((name, family.size(config), _PROMPT_TOKENS, 0))
    return known


def _step_ms(size: Size) -> float:
    """About the time of a step on this machine's CPU."""
    return known_speeds().get(SMALL, _SMALL_MS) * size.values / _SMALL_VALUES
