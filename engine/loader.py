"""From a name to a model in memory, every weight of it accounted for.

    load("embedded" | folder | hub name) -> LoadedModel

A name becomes a folder (`hub.locate`; nothing is ever downloaded here), the folder's headers are checked against
the model's own list of weights (`checkpoint`), then the tensors are streamed one by one to the device. We fill the
model ourselves and not through `from_pretrained` because that one warns about a missing or misshapen tensor and
carries on with a random one. The vision tower is never allocated: code has no pictures.

Runs on the engine thread. Knows torch and transformers; neither prompts nor canvases.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from transformers import DiffusionGemmaConfig, DiffusionGemmaForBlockDiffusion, DiffusionGemmaTextConfig
from transformers.models.diffusion_gemma import modeling_diffusion_gemma as parts

from engine.checkpoint import Checkpoint, listed, read_checkpoint
from engine.device import device_name, pick_device, pick_dtype, require_memory, told_of_exhaustion
from engine.errors import BrokenCheckpoint, EngineError
from engine.hub import locate
from engine.own_calibration import own_calibration
from engine.profile import ModelInfo, Profile, read_profile
from engine.tokenizer import Tokenizer
from engine.types import Loading

_VISION = ("model.encoder.vision_tower.", "model.encoder.embed_vision.")


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model ready to infill: weights on `device` in `dtype`, in evaluation mode, no gradients."""

    model: DiffusionGemmaForBlockDiffusion
    tokenizer: Tokenizer
    profile: Profile
    device: torch.device
    dtype: torch.dtype
    info: ModelInfo
    folder: Path

    def with_profile(self, overrides: Mapping[str, Any]) -> LoadedModel:
        """The same model under a profile of which some fields are others. Raises `EngineError` if they make none."""
        try:
            profile = replace(self.profile, **overrides)
        except (TypeError, ValueError) as error:
            raise EngineError(f"these overrides make no profile: {error}") from None
        return replace(self, profile=profile, info=replace(self.info, profile=profile))


def load(
    model: str | Path = "embedded", device: str = "auto", dtype: str = "auto", on_loading: Loading | None = None
) -> LoadedModel:
    """Load a model by name. Raises the errors of `engine.errors`; memory is checked before it is taken."""
    start = time.perf_counter()
    checkpoint = read_checkpoint(locate(str(model)))
    tokenizer, profile = Tokenizer(checkpoint.folder / "tokenizer.json"), read_profile(checkpoint.folder)
    profile = replace(profile, calibration=own_calibration(checkpoint.folder) or profile.calibration)
    where = pick_device(device)
    empty = _build_empty(checkpoint, where)
    slots = _match(empty, checkpoint)
    if tokenizer.size > _text_config(empty).vocab_size:
        raise BrokenCheckpoint(f"the tokenizer in {checkpoint.folder} knows more tokens than the model has embeddings")
    parameters = sum(checkpoint.tensors[name].elements for name in slots)
    kind = pick_dtype(dtype, parameters)
    weight_bytes = parameters * kind.itemsize
    require_memory(where, weight_bytes)
    with told_of_exhaustion(where):
        _fill(empty, checkpoint, slots, where, kind, on_loading)
    info = ModelInfo(
        name=str(model),
        parameters=parameters,
        weight_bytes=weight_bytes,
        device=str(where),
        device_name=device_name(where),
        dtype=str(kind).removeprefix("torch."),
        load_ms=(time.perf_counter() - start) * 1000,
        profile=profile,
    )
    return LoadedModel(empty, tokenizer, profile, where, kind, info, checkpoint.folder)


Slots = Mapping[str, list[tuple[nn.Module, str]]]
"""Stored tensor -> the (module, attribute) places it fills: more than one where weights are tied."""


def _build_empty(checkpoint: Checkpoint, device: torch.device) -> DiffusionGemmaForBlockDiffusion:
    """The model's modules without memory for their weights, and without the vision tower."""
    try:
        config = DiffusionGemmaConfig.from_dict(dict(checkpoint.config))
        config._attn_implementation = "sdpa"  # the one that takes boolean masks
        # Measured on a CPU with 1-16 experts: grouped_mm as fast as eager or up to 1.4 times faster, batched_mm 50 to
        # 200 times slower (it copies an expert's weights for every token). MPS has no grouped_mm.
        config._experts_implementation = "eager" if device.type == "mps" else "grouped_mm"
        with torch.device("meta"):
            model = DiffusionGemmaForBlockDiffusion(config)
    except Exception as error:  # a config's mistakes surface as anything from TypeError to AttributeError
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise BrokenCheckpoint(f"{checkpoint.folder / 'config.json'} describes no valid model: {reason}") from error
    model.model.encoder.vision_tower = None
    model.model.encoder.embed_vision = None
    model.eval()  # type: ignore[no-untyped-call]
    model.requires_grad_(False)
    return model


def _match(model: DiffusionGemmaForBlockDiffusion, checkpoint: Checkpoint) -> Slots:
    """Which stored tensor fills which weights. Raises `BrokenCheckpoint` unless all of them do, exactly once."""
    places = _places(model)
    stored = {name for name in checkpoint.tensors if not name.startswith(_VISION)}
    slots: dict[str, list[tuple[nn.Module, str]]] = {}
    missing: list[str] = []
    misshapen: list[str] = []
    for names, tensor, owners in places:
        found = [name for name in names if name in stored]
        if not found:
            missing.append(names[0])
            continue
        for name in found:
            if checkpoint.tensors[name].shape != tuple(tensor.shape):
                misshapen.append(f"{name} is {list(checkpoint.tensors[name].shape)}, not {list(tensor.shape)}")
        if len(found) > 1:
            _require_equal(found, checkpoint)
        slots[found[0]] = owners
        stored.difference_update(found)
    for what, names in (("are missing", missing), ("have the wrong shape", misshapen), ("fit nowhere", sorted(stored))):
        if names:
            raise BrokenCheckpoint(f"weights in {checkpoint.folder} {what}: {listed(names)}; fetch the model again")
    return slots


def _places(model: nn.Module) -> list[tuple[list[str], Tensor, list[tuple[nn.Module, str]]]]:
    """Each parameter and each stored buffer once, with all its names and owners; tied ones share an object."""
    found: dict[int, tuple[list[str], Tensor, list[tuple[nn.Module, str]]]] = {}
    for prefix, module in model.named_modules():
        stored = {**module._parameters, **module._buffers}
        for attribute, tensor in stored.items():
            if tensor is None or attribute in module._non_persistent_buffers_set:
                continue
            names, _, owners = found.setdefault(id(tensor), ([], tensor, []))
            names.append(f"{prefix}.{attribute}" if prefix else attribute)
            owners.append((module, attribute))
    return list(found.values())


def _require_equal(names: list[str], checkpoint: Checkpoint) -> None:
    """A checkpoint may store tied weights more than once, but not with different values."""
    first, *others = (_read(name, checkpoint) for name in names)
    if not all(torch.equal(first, other) for other in others):
        raise BrokenCheckpoint(f"{listed(names)} in {checkpoint.folder} are tied in the model but differ in the files")


def _fill(
    model: DiffusionGemmaForBlockDiffusion,
    checkpoint: Checkpoint,
    slots: Slots,
    device: torch.device,
    dtype: torch.dtype,
    on_loading: Loading | None,
) -> None:
    """Stream the tensors to the device, file by file, and compute the buffers that are not stored."""
    done, total = 0, sum(checkpoint.tensors[name].bytes for name in slots)
    for name in sorted(slots, key=lambda name: (str(checkpoint.tensors[name].file), name)):
        # A copy even where nothing changes: the file's own pages are neither aligned nor safe from a rewrite.
        value = _read(name, checkpoint).to(device=device, dtype=dtype, copy=True)
        is_parameter = slots[name][0][1] in slots[name][0][0]._parameters
        filled = nn.Parameter(value, requires_grad=False) if is_parameter else value
        for module, attribute in slots[name]:
            setattr(module, attribute, filled)
        done += checkpoint.tensors[name].bytes
        if on_loading is not None:
            on_loading(done, total)
    _compute_buffers(model, device)
    left = [name for name, tensor in [*model.named_parameters(), *model.named_buffers()] if tensor.is_meta]
    assert not left, f"never filled: {left}"


def _compute_buffers(model: DiffusionGemmaForBlockDiffusion, device: torch.device) -> None:
    """The rotary frequencies and the embedding's scale, in float32 as transformers keeps them."""
    for owner in (model.model.encoder.language_model, model.model.decoder):
        owner.rotary_emb = parts.DiffusionGemmaTextRotaryEmbedding(_text_config(model)).to(device)
        table = owner.embed_tokens
        table.embed_scale = torch.tensor(table.scalar_embed_scale, dtype=torch.float32, device=device)


def _text_config(model: DiffusionGemmaForBlockDiffusion) -> DiffusionGemmaTextConfig:
    config = model.config.text_config
    assert isinstance(config, DiffusionGemmaTextConfig)
    return config


def _read(name: str, checkpoint: Checkpoint) -> Tensor:
    file = checkpoint.tensors[name].file
    try:
        with safe_open(file, framework="pt", device="cpu") as stream:
            tensor: Tensor = stream.get_tensor(name)
            return tensor
    except (SafetensorError, OSError) as error:
        raise BrokenCheckpoint(f"{file} cannot be read ({error}); fetch the model again") from None
