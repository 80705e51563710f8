"""DiffusionGemma behind `model.family`: uniform diffusion, an encoder for the prompt, a decoder for the canvas.

    encoder (causal): the prompt's keys and values        decoder (bidirectional): the canvas, with self-conditioning

The canvas also holds the code around the holes. PAD ends a text if the model was trained with it. Importing this module
imports no torch. Runs on the thread that loads; the result of `open` belongs to the engine thread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from dgls_engine.model.diffusion_gemma.memory import PUBLISHED, Anatomy
from dgls_engine.model.family import Published

if TYPE_CHECKING:
    import torch
    from torch import nn

    from dgls_engine.model.diffusion_gemma.causal import CausalEncoder
    from dgls_engine.model.diffusion_gemma.running import Running
    from dgls_engine.model.packing import Packed, Packing
    from dgls_engine.model.slots import Site, Slot
    from dgls_engine.profile import Profile

INSTRUCTION_TUNED = Published("google/diffusiongemma-26B-A4B-it", PUBLISHED, 4096, unused_bytes=1_100_000_000)
"""The full-size model. Its vision tower is downloaded, but never read."""

_VISION = ("model.encoder.vision_tower.", "model.encoder.embed_vision.")


class DiffusionGemma:
    architectures: Mapping[str, tuple[str, ...]] = MappingProxyType(
        {"DiffusionGemmaForBlockDiffusion": ("diffusion_gemma",)}
    )
    adapter_files: tuple[str, ...] = ()
    largest: Mapping[str, int] = MappingProxyType({"canvas_length": 8192, "sliding_window": 2**30})

    def refuses(self, config: Mapping[str, Any]) -> str | None:
        return None

    def replaces_code(self, config: Mapping[str, Any]) -> bool:
        return False

    def slot_name(self, stored: str) -> str:
        return stored

    def skips(self, name: str) -> bool:
        return name.startswith(_VISION)

    def defaults(self, config: Mapping[str, Any], generation: Mapping[str, Any]) -> dict[str, Any]:
        canvas = config.get("canvas_length")
        if not isinstance(canvas, int) or canvas < 4:
            raise ValueError(f"canvas_length must be a number of tokens of at least 4, not {canvas!r}")
        positions = _text(config).get("max_position_embeddings")
        values = {
            "hole_policy": "batch",
            "canvas_tokens": canvas,
            "max_prompt_tokens": 4096 if not isinstance(positions, int) else max(0, min(4096, positions - canvas)),
            # The code before a hole says more about it than the code after it; the prompt shows the rest. These tokens
            # are computed for every length that competes, so they are few: with a hole of 48 tokens and a closing
            # token they add up to 128, one of `widths.WIDTHS`.
            "before_tokens": min(canvas * 3 // 8, 48),
            "after_tokens": min(canvas // 4, 31),
        }
        sampler = generation.get("sampler_config")
        generation_values = {
            "max_steps": generation.get("max_denoising_steps"),
            "entropy_bound": sampler.get("entropy_bound") if isinstance(sampler, dict) else None,
            **{name: generation.get(name) for name in _SAME_NAME},
        }
        return values | {name: value for name, value in generation_values.items() if value is not None}

    def vocabulary(self, config: Mapping[str, Any]) -> int | None:
        size = _text(config).get("vocab_size")
        return size if isinstance(size, int) else None

    def size(self, config: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]] = MappingProxyType({})) -> Anatomy:
        from dgls_engine.model.diffusion_gemma.skeleton import described

        return described(config)

    def build(self, config: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> nn.Module:
        from dgls_engine.model.diffusion_gemma.skeleton import build

        return build(config)

    def sites(self, slots: Sequence[Slot], packing: Packing) -> list[Site]:
        from dgls_engine.model.diffusion_gemma.skeleton import sites

        return sites(slots)

    def install(self, module: nn.Module, packed: Sequence[Packed]) -> None:
        from dgls_engine.model.diffusion_gemma.experts import install

        install(module, *packed)

    def finish(self, module: Any, device: torch.device, packing: Packing | None) -> None:
        from dgls_engine.model.diffusion_gemma.skeleton import finish

        finish(module, device)

    def open(self, module: Any, profile: Profile, specials: Mapping[str, int], captured: bool | None = None) -> Running:
        from dgls_engine.model.diffusion_gemma.running import Running

        return Running(module, profile, captured)

    def causal(self, module: Any) -> CausalEncoder:
        from dgls_engine.model.diffusion_gemma.causal import CausalEncoder

        return CausalEncoder(module)


_SAME_NAME = ("t_min", "t_max", "stability_threshold", "confidence_threshold")
"""Settings with the same name in `generation_config.json` and in the profile."""


def _text(config: Mapping[str, Any]) -> Mapping[str, Any]:
    text = config.get("text_config")
    return text if isinstance(text, Mapping) else {}
