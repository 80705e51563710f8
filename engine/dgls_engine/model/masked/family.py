"""Masked models behind `model.family`, in two layouts. The profile's prompt format names the layout.

    plain     prompt (causal): code after the holes, then code before      canvas: the prompt's last token, holes, ...
    around    one sequence, in which each row sees each other: code above, canvas, code below

`plain` runs any model of the Llama and Qwen2 architectures. The published autoregressive model reads the prompt. An
optional adapter (`adapter`) acts on canvas rows only. An undecided position shows the mask token, and no other row sees
it. `around` runs the published models of `published`, as they were trained (`whole`). In both, decided positions stay
decided, unless the rule masks them again. There is no PAD: a fill ends before its hole's stop. Importing this module
imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from dgls_engine.errors import UnsupportedModel
from dgls_engine.model.masked.published import CONVENTIONS, Convention, blockwise, convention_of, expand_token
from dgls_engine.model.masked.shape import usual_name

if TYPE_CHECKING:
    import torch
    from torch import nn

    from dgls_engine.model.masked.passes import CausalBase, OpenMasked
    from dgls_engine.model.masked.skeleton import Dense
    from dgls_engine.model.masked.whole import OpenWhole
    from dgls_engine.model.packing import Packed, Packing
    from dgls_engine.model.slots import Site, Slot
    from dgls_engine.profile import Profile

_CANVAS = 128
"""The number of rows in a canvas: enough for a dozen lines, or for a few short holes and the code between them."""

_WHOLE_CANVAS, _WHOLE_BEFORE, _WHOLE_AFTER = 192, 64, 48
"""Rows of a canvas in one sequence with its prompt, and those for the code around the holes. Passes between two whole
ones compute these rows alone."""

_REFRESH = 8
"""Passes to each whole one. For LLaDA and Dream, Fast-dLLM reports a negligible loss with keys and values kept for a
block of tokens (arXiv 2505.22618)."""

_GROWING_STEPS = 3
"""Steps for each row of a canvas whose holes grow: a step decides one token, makes a hole longer or shortens it."""


class Masked:
    architectures: Mapping[str, tuple[str, ...]] = MappingProxyType(
        {each.architecture: each.model_types for each in CONVENTIONS} | {"LlamaForCausalLM": ("llama",)}
    )
    adapter_files: tuple[str, ...] = ("adapter.safetensors",)
    largest: Mapping[str, int] = MappingProxyType({"sliding_window": 2**30})

    def refuses(self, config: Mapping[str, Any]) -> str | None:
        name = blockwise(config)
        if name is None:
            return None
        return f"block diffusion model ({name}): it fills one block after another and does not see the code behind it"

    def replaces_code(self, config: Mapping[str, Any]) -> bool:
        return convention_of(config) is not None

    def slot_name(self, stored: str) -> str:
        return usual_name(stored)

    def skips(self, name: str) -> bool:
        return name.endswith(".rotary_emb.inv_freq")  # older checkpoints store it; `finish` computes it

    def defaults(self, config: Mapping[str, Any], generation: Mapping[str, Any]) -> dict[str, Any]:
        ids = {name: generation[name] for name in _IDS if name in generation}
        config = ids | {name: value for name, value in config.items() if value is not None or name not in ids}
        convention = convention_of(config)
        if convention is not None:
            return _whole(config, convention)
        positions = config.get("max_position_embeddings")
        return {
            "prompt_format": "plain",
            "hole_policy": "fixed",
            "canvas_tokens": _CANVAS,
            "max_prompt_tokens": max(0, min(4096, (positions if isinstance(positions, int) else 4096) - _CANVAS)),
            "before_tokens": 1,
            "after_tokens": 0,
            "max_steps": _CANVAS,
        }

    def vocabulary(self, config: Mapping[str, Any]) -> int | None:
        size = config.get("embedding_size") or config.get("vocab_size")
        return size if isinstance(size, int) else None

    def size(self, config: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]] = MappingProxyType({})) -> Dense:
        from dgls_engine.model.masked.skeleton import Dense, build

        return Dense.of(build(config, shapes))

    def build(self, config: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> nn.Module:
        from dgls_engine.model.masked.skeleton import build

        return build(config, shapes)

    def sites(self, slots: Sequence[Slot], packing: Packing) -> list[Site]:
        from dgls_engine.model.masked.skeleton import sites

        return sites(slots, packing)

    def install(self, module: Any, packed: Sequence[Packed]) -> None:
        module.pack(*packed)

    def finish(self, module: nn.Module, device: torch.device, packing: Packing | None) -> None:
        from dgls_engine.model.masked.skeleton import finish

        finish(module, device, packing)

    def open(
        self, module: Any, profile: Profile, specials: Mapping[str, int], captured: bool | None = None
    ) -> OpenMasked | OpenWhole:
        from dgls_engine.model.masked.passes import OpenMasked
        from dgls_engine.model.masked.whole import OpenWhole

        mask = _special("mask_token", profile.mask_token, specials)
        if profile.hole_policy == "grow":
            _special("expand_token", profile.expand_token, specials)
            _special("delete_token", profile.delete_token, specials)
        whole = profile.prompt_format == "around"
        if profile.before_tokens < 1 and (module.config.shifted or not whole):
            raise UnsupportedModel(
                "before_tokens in the model's infill.json must be at least 1, because row i predicts token i + 1"
            )
        if not whole:
            return OpenMasked(module, mask, profile.canvas_tokens)
        if profile.decoding == "left":
            raise UnsupportedModel(
                "decoding in the model's infill.json must be another than left: in the prompt format around, all rows "
                "see each other"
            )
        return OpenWhole(module, mask, profile.canvas_tokens, profile.refresh_steps)

    def causal(self, module: Any) -> CausalBase:
        from dgls_engine.model.masked.passes import CausalBase

        return CausalBase(module)


_IDS = ("mask_token_id", "expand_token_id", "delete_token_id")
"""Keys that stand in `config.json`, or in `generation_config.json` alone."""


def _whole(config: Mapping[str, Any], convention: Convention) -> dict[str, Any]:
    """The profile of a published model whose rows all see each other."""
    positions = config.get("max_position_embeddings", config.get("max_sequence_length"))
    longest = min(convention.context, positions if isinstance(positions, int) else convention.context)
    mask = config.get("mask_token_id")
    values = {
        "prompt_format": "around",
        "hole_policy": "batch",
        "canvas_tokens": _WHOLE_CANVAS,
        "max_prompt_tokens": max(0, longest - _WHOLE_CANVAS),
        "before_tokens": _WHOLE_BEFORE,
        "after_tokens": _WHOLE_AFTER,
        "max_steps": _WHOLE_CANVAS,
        "mask_token": mask if isinstance(mask, int) else convention.mask,
        "decoding": convention.decoding,
        "enclosed": convention.enclosed,
        "refresh_steps": _REFRESH,
        "languages": convention.languages,
    }
    if not convention.grows:
        return values
    delete = config.get("delete_token_id", config.get("eos_token_id", config.get("pad_token_id")))
    growing = {"expand_token": expand_token(config), "delete_token": delete}
    return values | growing | {"hole_policy": "grow", "max_steps": _GROWING_STEPS * _WHOLE_CANVAS}


def _special(name: str, token: str | int, specials: Mapping[str, int]) -> int:
    """The id of a special token. Raises `UnsupportedModel` if the tokenizer has none with this spelling or id."""
    id = specials.get(token) if isinstance(token, str) else token
    if id is None or id not in specials.values():
        raise UnsupportedModel(
            f"{name} in the model's infill.json or config.json is {token!r}, which is no special token of its "
            "tokenizer; name the token that the model was trained with in infill.json"
        )
    return id
