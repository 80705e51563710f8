"""Loads a model by name into memory and checks that each weight is used.

    load("auto" | "small" | "embedded" | folder | hub name) -> LoadedModel

`hub.locate` finds the folder of a name; loading never downloads. `checkpoint` reads the headers of its files; they must
match the model's list of weights. `streaming` then moves the tensors one by one to the device.

Runs on the engine thread. Knows torch, but neither architectures nor prompts nor canvases.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dgls_engine.device import device_name, pick_device, translate_memory_errors, trim, use
from dgls_engine.errors import BrokenCheckpoint, EngineError, reason_of
from dgls_engine.model.family import Family
from dgls_engine.model.slots import Slot, slots
from dgls_engine.profile import ModelInfo, Profile
from dgls_engine.text.tokenizer import Tokenizer
from dgls_engine.types import Loading
from dgls_engine.weights.auto import resolved
from dgls_engine.weights.checkpoint import Checkpoint, listed
from dgls_engine.weights.files import read_files
from dgls_engine.weights.hub import locate
from dgls_engine.weights.packed_layers import kept_experts
from dgls_engine.weights.precision import Precision, pick_precision
from dgls_engine.weights.saved_calibration import own_calibration
from dgls_engine.weights.streaming import Kept, fill

_DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
"""torch's types of `checkpoint.StoredTensor.dtype`."""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model with its weights on `device` in `dtype`, in evaluation mode, without gradients. `family.open` runs it."""

    family: Family
    model: Any  # an `nn.Module`; only the family knows its class
    tokenizer: Tokenizer
    profile: Profile
    device: torch.device
    dtype: torch.dtype
    info: ModelInfo
    folder: Path

    def with_profile(self, overrides: Mapping[str, Any]) -> LoadedModel:
        """The same model with some fields of its profile replaced. Raises `EngineError` if the result is not valid."""
        try:
            profile = replace(self.profile, **overrides)
        except (TypeError, ValueError) as error:
            raise EngineError(f"the profile's overrides are not valid ({error}); change or remove them") from None
        return replace(self, profile=profile, info=replace(self.info, profile=profile))


def load(
    model: str | Path = "auto", device: str = "auto", dtype: str = "auto", on_loading: Loading | None = None
) -> LoadedModel:
    """Load a model by name. Raises the errors of `errors`. Checks the free memory before it allocates any."""
    start = time.perf_counter()
    name = resolved(str(model))
    files = read_files(locate(name))
    checkpoint, tokenizer, profile = files.checkpoint, files.tokenizer, files.profile
    profile = replace(profile, calibration=own_calibration(checkpoint.folder) or profile.calibration)
    use(target := pick_device(device))
    module = _build(checkpoint)
    stored = _match(slots(module), checkpoint)
    if tokenizer.size > (checkpoint.family.vocabulary(checkpoint.config) or tokenizer.size):
        raise BrokenCheckpoint(
            f"the tokenizer in {checkpoint.folder} has more tokens than the model has embeddings; fetch the model again"
        )
    tokenizer.require_lossless()
    precision = pick_precision(
        dtype, target, checkpoint.family.size(checkpoint.config, checkpoint.shapes), profile.max_prompt_tokens
    )
    source, meter = _Files(checkpoint, stored, target, precision.plain), _Meter(checkpoint, stored, on_loading)
    with translate_memory_errors(target), _kept(checkpoint, stored, precision, target) as kept:
        weight_bytes = fill(checkpoint.family, module, source, precision, target, kept, meter.filled)
    trim()  # tensors that were read, converted or packed
    info = ModelInfo(
        name=name,
        parameters=sum(checkpoint.tensors[name].elements for name in stored.values()),
        weight_bytes=weight_bytes,
        device=str(target),
        device_name=device_name(target),
        dtype=precision.name,
        load_ms=(time.perf_counter() - start) * 1000,
        profile=profile,
    )
    return LoadedModel(checkpoint.family, module, tokenizer, profile, target, precision.plain, info, checkpoint.folder)


class _Files:
    """A `streaming.Source` that reads a checkpoint's tensors on request."""

    def __init__(self, checkpoint: Checkpoint, stored: Mapping[Slot, str], device: torch.device, dtype: torch.dtype):
        self._checkpoint, self._stored = checkpoint, stored
        self._device, self._dtype = device, dtype

    def whole(self, slot: Slot) -> Tensor:
        value = _read(self._stored[slot], self._checkpoint)
        return value.to(device=self._device, dtype=self._dtype)

    def slice(self, slot: Slot, first: int, last: int) -> Tensor:
        return _read(self._stored[slot], self._checkpoint, (first, last)).to(self._device)


class _Meter:
    """Reports the progress of a load, in bytes of the checkpoint's tensors."""

    def __init__(self, checkpoint: Checkpoint, stored: Mapping[Slot, str], on_loading: Loading | None) -> None:
        self._bytes = {slot: checkpoint.tensors[name].bytes for slot, name in stored.items()}
        self._total, self._done, self._on_loading = sum(self._bytes.values()), 0, on_loading

    def filled(self, slot: Slot) -> None:
        self._done += self._bytes[slot]
        if self._on_loading is not None:
            self._on_loading(self._done, self._total)


def _kept(
    checkpoint: Checkpoint, stored: Mapping[Slot, str], precision: Precision, device: torch.device
) -> AbstractContextManager[Kept | None]:
    """The weights that an earlier load packed; None if the precision packs none, or packs them as fast as it would read
    them."""
    if precision.packing in (None, "float16", "int8"):
        return nullcontext()
    assert precision.packing is not None
    layers = checkpoint.family.sites(list(stored), precision.packing)
    files = {checkpoint.tensors[stored[slot]].file for site in layers for slot in site.slots}
    return kept_experts(checkpoint.folder, sorted(files), layers, precision.packing, device)


def _build(checkpoint: Checkpoint) -> nn.Module:
    try:
        return checkpoint.family.build(checkpoint.config, checkpoint.shapes)
    except Exception as error:  # a mistake in a config can raise any exception
        raise BrokenCheckpoint(
            f"{checkpoint.folder / 'config.json'} describes no valid model ({reason_of(error)}); fetch the model again"
        ) from error


def _match(all_slots: Sequence[Slot], checkpoint: Checkpoint) -> dict[Slot, str]:
    """The name of the stored tensor for each slot. Raises `BrokenCheckpoint` unless slots and stored tensors match
    exactly."""
    unused = {name for name in checkpoint.tensors if not checkpoint.family.skips(name)}
    stored: dict[Slot, str] = {}
    missing: list[str] = []
    misshapen: list[str] = []
    for slot in all_slots:
        names = [name for name in slot.names if name in unused]
        if not names:
            missing.append(slot.names[0])
            continue
        for name in names:
            if checkpoint.tensors[name].shape != slot.shape:
                misshapen.append(f"{name} is {list(checkpoint.tensors[name].shape)}, not {list(slot.shape)}")
        if len(names) > 1:
            _require_equal(names, checkpoint)
        stored[slot] = names[0]
        unused.difference_update(names)
    problems = (("are missing", missing), ("have the wrong shape", misshapen), ("fit nowhere", sorted(unused)))
    for problem, tensors in problems:
        if tensors:
            raise BrokenCheckpoint(f"weights in {checkpoint.folder} {problem}: {listed(tensors)}; fetch it again")
    return stored


def _require_equal(names: list[str], checkpoint: Checkpoint) -> None:
    """Raise `BrokenCheckpoint` if tied weights are stored more than once with different values."""
    first, *others = (_read(name, checkpoint) for name in names)
    if not all(torch.equal(first, other) for other in others):
        raise BrokenCheckpoint(
            f"{listed(names)} in {checkpoint.folder} are tied in the model but differ in the files; "
            "fetch the model again"
        )


def _read(name: str, checkpoint: Checkpoint, rows: tuple[int, int] | None = None) -> Tensor:
    """A stored tensor, or its `rows` along the first dimension, in memory of its own.

    Reads into that memory: to map the file costs a copy and, for each of some hundred small tensors, a millisecond.
    """
    stored = checkpoint.tensors[name]
    start, shape = stored.start, stored.shape
    if rows is not None:
        start += rows[0] * (stored.bytes // shape[0])
        shape = (rows[1] - rows[0], *shape[1:])
    value = torch.empty(shape, dtype=_DTYPES[stored.dtype])
    try:
        with stored.file.open("rb") as stream:
            stream.seek(start)
            count = stream.readinto(value.view(-1).view(torch.uint8).numpy().data)
    except OSError as error:
        raise BrokenCheckpoint(f"{stored.file} cannot be read ({error}); fetch the model again") from None
    if count != value.nbytes:
        raise BrokenCheckpoint(f"{stored.file} ends before {name} does; fetch the model again")
    return value
