"""Compares the engine's denoising loop with transformers' `generate`, with equal steps, for a 32-token hole.

    python bench/denoise.py [--steps 8] [--rounds 7] [--threads 1]

The model is random and has the published model's proportions in miniature: a vocabulary of 93 times the hidden width,
sliding and global layers, experts, a prompt longer than the sliding window, a canvas of 256. `generate` always denoises
the whole canvas. The engine denoises 32 tokens in a canvas of 96 (as with the embedded model) and in one of 256 (as
with a `chat` model, padded to the model's canvas length). Medians of interleaved rounds without the prefill. The last
line is JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any, cast

import torch
from transformers import DiffusionGemmaConfig, DiffusionGemmaForBlockDiffusion, DiffusionGemmaTextConfig
from transformers.models.diffusion_gemma.generation_diffusion_gemma import EntropyBoundSamplerConfig
from transformers.models.gemma4.configuration_gemma4 import Gemma4VisionConfig

from dgls_engine.loop.constraint import Constraint
from dgls_engine.loop.denoise import Rival, denoise
from dgls_engine.loop.sampler import Sampler
from dgls_engine.loop.stopping import Deadline, Schedule, StableAndSure
from dgls_engine.model.diffusion_gemma import decoder
from dgls_engine.model.diffusion_gemma.passes import Eager
from dgls_engine.model.diffusion_gemma.prompt_cache import PromptCache, prompt_factory
from dgls_engine.prompt.encoder import Encoder
from dgls_engine.text.canvas import Canvas, Span
from dgls_engine.types import CancelToken

HIDDEN, VOCABULARY, WINDOW, PROMPT, CANVAS, HOLE = 128, 128 * 93, 128, 512, 256, 32
UNREACHED = 1e-9
"""A threshold for the mean entropy that is never reached, so that all steps run."""


def random_model() -> DiffusionGemmaForBlockDiffusion:
    sizes: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "hidden_size": HIDDEN,
        "intermediate_size": HIDDEN,
        "moe_intermediate_size": HIDDEN // 4,
        "num_experts": 16,
        "top_k_experts": 2,
        "num_hidden_layers": 6,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 32,
        "global_head_dim": 64,
        "num_global_key_value_heads": 1,
        "sliding_window": WINDOW,
        "max_position_embeddings": 4096,
    }
    vision = Gemma4VisionConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=1, num_key_value_heads=1
    )
    torch.manual_seed(0)
    text = DiffusionGemmaTextConfig(**sizes)
    model: Any = DiffusionGemmaForBlockDiffusion(
        DiffusionGemmaConfig(text_config=text, vision_config=vision, canvas_length=CANVAS)
    )
    return cast(DiffusionGemmaForBlockDiffusion, model.eval())


def milliseconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1000


def stock(model: DiffusionGemmaForBlockDiffusion, prompt: Any, steps: int) -> None:
    model.generate(
        prompt,
        max_new_tokens=CANVAS,
        max_denoising_steps=steps,
        sampler_config=EntropyBoundSamplerConfig(entropy_bound=0.1),
        confidence_threshold=UNREACHED,
    )


def ours(model: DiffusionGemmaForBlockDiffusion, encoder: Encoder[PromptCache], length: int, steps: int) -> None:
    ids = torch.randint(VOCABULARY, (length,), generator=torch.Generator().manual_seed(1))
    start = (length - HOLE) // 2
    progress = denoise(
        Eager(model, encoder.cache.seen(), PROMPT),
        [
            Rival(
                Canvas(tuple(ids.tolist()), (Span(start, start + HOLE),)),
                Sampler(VOCABULARY, 0.1, torch.Generator().manual_seed(0)),
                StableAndSure(1, UNREACHED),
                Constraint.none(HOLE, VOCABULARY, model.device),
            )
        ],
        schedule=Schedule(steps, 0.4, 0.8),
        deadline=Deadline(None),
        cancel=CancelToken(),
    )
    assert sum(1 for _ in progress) == steps


@torch.inference_mode()
def decoder_pass(model: DiffusionGemmaForBlockDiffusion, encoder: Encoder[PromptCache], length: int) -> None:
    """The decoder pass of a step. The rest of a step is logits, sampling and self-conditioning."""
    ids = torch.zeros(1, length, dtype=torch.long)
    soft = torch.zeros(1, length, HIDDEN)
    decoder.decode(model, ids, soft, encoder.cache.seen(), decoder.NO_MASKS, PROMPT)


def main() -> None:
    parser = argparse.ArgumentParser(description="Our denoising loop against transformers' generate.")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model, steps = random_model(), options.steps
    prompt = torch.randint(VOCABULARY, (1, PROMPT), generator=torch.Generator().manual_seed(2))
    encoder = Encoder(prompt_factory(model))
    encoder.prefill(prompt[0].tolist())
    contenders: dict[str, Callable[[], object]] = {
        "generate": lambda: stock(model, prompt, steps),
        "generate's prefill": lambda: Encoder(prompt_factory(model, PROMPT)).prefill(prompt[0].tolist()),
        "ours, canvas 96": lambda: ours(model, encoder, 96, steps),
        "ours, canvas 256": lambda: ours(model, encoder, CANVAS, steps),
        "ours, canvas 96, decoder alone": lambda: [decoder_pass(model, encoder, 96) for _ in range(steps)],
    }
    for work in contenders.values():
        work()
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(options.rounds):
        for name, work in contenders.items():
            times[name].append(milliseconds(work))
    ms = {name: statistics.median(values) for name, values in times.items()}
    denoising = ms["generate"] - ms["generate's prefill"]
    for name, value in ms.items():
        print(f"{name:32} {value:9.1f} ms   {value / steps:7.1f} ms a step")
    result = {
        "bench": "denoise",
        "steps": steps,
        "hole_tokens": HOLE,
        "threads": options.threads,
        "generate_ms": round(denoising, 1),
        "ours_ms": round(ms["ours, canvas 96"], 1),
        "ours_full_canvas_ms": round(ms["ours, canvas 256"], 1),
        "times_faster": round(denoising / ms["ours, canvas 96"], 2),
        "times_faster_full_canvas": round(denoising / ms["ours, canvas 256"], 2),
        "decoder_share_of_a_step": round(ms["ours, canvas 96, decoder alone"] / ms["ours, canvas 96"], 2),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
