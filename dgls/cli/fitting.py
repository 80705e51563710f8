"""Whether a model will fit this machine, with the arithmetic: what `dgls doctor` says of each model."""

from __future__ import annotations

from dgls.cli.models import size
from dgls_engine.errors import NotEnoughMemory, UnsupportedModel
from dgls_engine.model.family import Footprint, Size
from dgls_engine.weights.checkpoint import Checkpoint


def fitting(model: Checkpoint | Size, prompt_tokens: int) -> tuple[tuple[str, ...], str | None]:
    """A line for each precision that comes into question, and what to do if `auto` would not load. Nothing where
    torch does not load, which is told with the devices."""
    try:
        from dgls_engine.device import device_name, free_memory, pick_device
        from dgls_engine.weights.precision import choices, footprint_of, pick_precision, precision_named
    except (ImportError, OSError):
        return (), None
    try:
        model_size = model.family.size(model.config) if isinstance(model, Checkpoint) else model
    except Exception as error:  # a config's mistakes surface as any kind of exception
        return (), f"its config describes no valid model ({error})".splitlines()[0]
    device = pick_device()
    free, lines, fits = free_memory(device), [], []
    for name in choices(model_size):
        try:
            precision = precision_named(name, device, model_size)
        except UnsupportedModel as error:
            lines.append(f"{name}: {error}")
            continue
        needed = footprint_of(model_size, precision, device, prompt_tokens)
        fits += [name] if needed.total <= free else []
        verdict = "fits" if name in fits else f"too much for the {size(free)} that are free"
        lines.append(f"{name}: {_sum(needed, prompt_tokens)} on {device_name(device)}: {verdict}")
    try:
        pick_precision("auto", device, model_size, prompt_tokens)
    except NotEnoughMemory as error:
        other = f"`dgls.dtype` (or `--dtype`) {fits[0]} fits" if fits else str(error)
        return tuple(lines), other
    return tuple(lines), None


def _sum(needed: Footprint, prompt_tokens: int) -> str:
    weights = {
        "experts": needed.experts,
        "attention": needed.attention,
        "dense": needed.dense,
        "embedding": needed.embedding,
    }
    told = ", ".join(f"{part} {size(own)}" for part, own in weights.items())
    return (
        f"weights {size(needed.weights)} ({told}) + a prompt of {prompt_tokens} tokens {size(needed.prompt)} + "
        f"a step {size(needed.step)} = {size(needed.total)}"
    )
