"""What our loop is measured against: transformers' `generate` of the same model, and of its autoregressive sibling.

Both run at their best: with a cache that grows, and with a static one, for which transformers compiles the forward.
Random weights; what is written means nothing, so nobody stops early.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import Tensor
from transformers import Gemma4ForCausalLM, Gemma4TextConfig
from transformers.initialization import no_init_weights
from transformers.models.diffusion_gemma import DiffusionGemmaForBlockDiffusion
from transformers.models.diffusion_gemma.generation_diffusion_gemma import EntropyBoundSamplerConfig
from transformers.models.diffusion_gemma.modeling_diffusion_gemma import DiffusionGemmaRMSNorm

from dgls_engine.model.diffusion_gemma.norms import FusedRMSNorm

CACHES = {"dynamic": None, "static": "static"}
UNREACHED = 1e-9
"""Mean entropy of a stop rule that never fires."""


def milliseconds(work: Callable[[], object], device: torch.device) -> float:
    """Wall time of `work`, to the end of all that it started on the device."""
    _wait(device)
    start = time.perf_counter()
    work()
    _wait(device)
    return (time.perf_counter() - start) * 1000


def as_published(model: DiffusionGemmaForBlockDiffusion) -> DiffusionGemmaForBlockDiffusion:
    """With transformers' own norms again, in place: those that we put there would make `generate` faster, too."""
    for module in model.modules():
        if type(module) is FusedRMSNorm:
            cast(Any, module).__class__ = DiffusionGemmaRMSNorm
    return model


def stock(model: DiffusionGemmaForBlockDiffusion, prompt: Tensor, steps: int, cache: str) -> None:
    """One canvas by transformers' `generate`: prefill, then `steps` steps over all of its positions."""
    model.generate(
        cast(Any, prompt),
        max_new_tokens=model.config.canvas_length,
        max_denoising_steps=steps,
        sampler_config=EntropyBoundSamplerConfig(entropy_bound=0.1),
        confidence_threshold=UNREACHED,
        cache_implementation=CACHES[cache],
    )


def sibling(text_config: Mapping[str, Any], device: torch.device, dtype: torch.dtype) -> Gemma4ForCausalLM:
    """Gemma 4's autoregressive model of the same layers and experts, with random weights on `device`."""
    own = dict(text_config) | {
        "enable_moe_block": True,
        "attention_k_eq_v": True,
        "hidden_size_per_layer_input": 0,
        "num_kv_shared_layers": 0,
    }
    config = Gemma4TextConfig(**own)
    config._attn_implementation = "sdpa"
    config._experts_implementation = "grouped_mm"
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device), no_init_weights():
            model: Any = Gemma4ForCausalLM(config)
    finally:
        torch.set_default_dtype(before)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 0.02)
    return cast(Gemma4ForCausalLM, model.eval())


def autoregressive(model: Gemma4ForCausalLM, prompt: Tensor, tokens: int, cache: str) -> None:
    """Prefill, then `tokens` tokens one after the other, whatever they are."""
    grown = cast(Any, model).generate(
        prompt,
        min_new_tokens=tokens,
        max_new_tokens=tokens,
        do_sample=False,
        eos_token_id=None,
        pad_token_id=0,
        cache_implementation=CACHES[cache],
    )
    assert grown.shape[1] == prompt.shape[1] + tokens


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
