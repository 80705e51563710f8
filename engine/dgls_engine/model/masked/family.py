"""Masked models of the Llama and Qwen2 architectures behind `model.family`.

    prompt (causal): code after the holes, then code before      canvas: the prompt's last token, holes, code between

The published autoregressive model reads the prompt. An optional adapter (`adapter`) acts on canvas rows only. An
undecided position shows the mask token, and no other row sees it; a decided one stays decided. There is no PAD: a fill
ends before its hole's stop. Importing this module imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from dgls_engine.errors import UnsupportedModel

if TYPE_CHECKING:
    import torch
    from torch import nn

    from dgls_engine.model.masked.passes import CausalBase, OpenMasked
    from dgls_engine.model.masked.skeleton import Dense
    from dgls_engine.model.packing import Packed
    from dgls_engine.model.slots import Site, Slot
    from dgls_engine.profile import Profile

_CANVAS = 128
"""The number of rows in a canvas: enough for a dozen lines, or for a few short holes and the code between them."""


class Masked:
    architectures: Mapping[str, str] = MappingProxyType({"LlamaForCausalLM": "llama", "Qwen2ForCausalLM": "qwen2"})
    adapter_files: tuple[str, ...] = ("adapter.safetensors",)

    def skips(self, name: str) -> bool:
        return name.endswith(".rotary_emb.inv_freq")  # older checkpoints store it; `finish` computes it

    def defaults(self, config: Mapping[str, Any], generation: Mapping[str, Any]) -> dict[str, Any]:
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
        size = config.get("vocab_size")
        return size if isinstance(size, int) else None

    def size(self, config: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]] = MappingProxyType({})) -> Dense:
        from dgls_engine.model.masked.skeleton import Dense, build

        return Dense.of(build(config, shapes))

    def build(self, config: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> nn.Module:
        from dgls_engine.model.masked.skeleton import build

        return build(config, shapes)

    def sites(self, slots: Sequence[Slot]) -> list[Site]:
        return []

    def install(self, module: nn.Module, gate_up: Packed, down: Packed) -> None:
        raise AssertionError("a model without experts has no sites")

    def finish(self, module: nn.Module, device: torch.device) -> None:
        from dgls_engine.model.masked.skeleton import finish

        finish(module, device)

    def open(
        self, module: Any, profile: Profile, specials: Mapping[str, int], captured: bool | None = None
    ) -> OpenMasked:
        from dgls_engine.model.masked.passes import OpenMasked

        mask = specials.get(profile.mask_token)
        if mask is None:
            raise UnsupportedModel(
                f"mask_token in the model's infill.json is {profile.mask_token!r}, which is no special token of its "
                "tokenizer; name the token that the model was trained with"
            )
        if profile.before_tokens < 1:
            raise UnsupportedModel(
                "before_tokens in the model's infill.json must be at least 1, because row i predicts token i + 1"
            )
        return OpenMasked(module, mask, profile.canvas_tokens)

    def causal(self, module: Any) -> CausalBase:
        from dgls_engine.model.masked.passes import CausalBase

        return CausalBase(module)
