"""transformers' own `generate`, the slow reference of our loop, and our loop made comparable with it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.models.diffusion_gemma.generation_diffusion_gemma import EntropyBoundSamplerConfig

from dgls_engine.loop.constraint import Constraint
from dgls_engine.loop.denoise import Rival, denoise
from dgls_engine.loop.leads import Draft
from dgls_engine.loop.sampler import Sampler
from dgls_engine.loop.stopping import Deadline, Schedule, StableAndSure
from dgls_engine.model.diffusion_gemma.captured import Captured
from dgls_engine.model.diffusion_gemma.passes import Eager
from dgls_engine.model.diffusion_gemma.prompt_cache import prompt_factory
from dgls_engine.prompt.encoder import Encoder
from dgls_engine.text.canvas import Canvas, Span
from dgls_engine.types import CancelToken
from dgls_engine.weights.loader import LoadedModel


class Drafts:
    """A streamer that keeps what transformers drafts at each step."""

    def __init__(self) -> None:
        self.seen: list[list[int]] = []

    def put(self, value: Tensor) -> None:
        pass

    def end(self) -> None:
        pass

    def put_draft(self, value: Tensor) -> None:
        self.seen.append(value[0].tolist())


def stock(
    loaded: LoadedModel, prompt: list[int], seed: int, setting: dict[str, Any]
) -> tuple[list[list[int]], list[int]]:
    """transformers' drafts, and its answer."""
    torch.manual_seed(seed)
    drafts = Drafts()
    length = loaded.profile.canvas_tokens
    output = loaded.model.generate(
        torch.tensor([prompt]),
        streamer=drafts,
        max_new_tokens=length,
        max_denoising_steps=setting["steps"],
        sampler_config=EntropyBoundSamplerConfig(entropy_bound=setting["bound"]),
        t_min=setting["t"][0],
        t_max=setting["t"][1],
        stability_threshold=setting["stability"],
        confidence_threshold=setting["confidence"],
    )
    return drafts.seen, output.sequences[0, -length:].tolist()


def ours(
    loaded: LoadedModel,
    prompt: list[int],
    seed: int,
    setting: dict[str, Any],
    chunk: int = 13,
    captured: bool = False,
) -> list[Draft]:
    """Our loop over a canvas that is one hole, without any policy; the prompt prefilled in chunks."""
    encoder = Encoder(prompt_factory(loaded.model, chunk))
    encoder.prefill(prompt)
    length = loaded.profile.canvas_tokens
    canvas = Canvas((0,) * length, (Span(0, length),))
    vocabulary = loaded.model.config.text_config.vocab_size
    rival = Rival(
        canvas,
        Sampler(vocabulary, setting["bound"], torch.Generator().manual_seed(seed)),
        StableAndSure(setting["stability"], setting["confidence"]),
        Constraint.none(length, vocabulary, loaded.device),
    )
    eager = Eager(loaded.model, encoder.cache.seen(), len(prompt))
    steps = denoise(
        Captured(loaded.model, length).passes_after(encoder.cache) if captured else eager,
        [rival],
        schedule=Schedule(setting["steps"], *setting["t"]),
        deadline=Deadline(None),
        cancel=CancelToken(),
    )
    return [progress for (progress,) in steps]


def prompt_of(loaded: LoadedModel, tokens: int, seed: int) -> list[int]:
    generator = torch.Generator().manual_seed(1000 + seed)
    size = loaded.model.config.text_config.vocab_size
    return torch.randint(3, size, (tokens,), generator=generator).tolist()


def tensors_of(canvas: Canvas) -> tuple[Tensor, Tensor]:
    """A canvas' ids [C], and which of its positions are pinned [C] bool."""
    return torch.tensor(canvas.ids), torch.tensor(canvas.pinned)
