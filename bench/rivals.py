"""The baselines of the GPU benchmark: transformers' `generate` with the same model and with its autoregressive sibling.

Both run with a dynamic cache and with a static one, for which transformers compiles the forward pass. The weights are
random, so the text means nothing and no run ends early.
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
"""A threshold for the mean entropy that is never reached, so that all steps run."""


def milliseconds(work: Callable[[], object], device: torch.device) -> float:
    """Wall time of `work`, including all work that it queued on the device."""
    _wait(device)
    start = time.perf_counter()
    work()
    _wait(device)
    return (time.perf_counter() - start) * 1000


def as_published(model: DiffusionGemmaForBlockDiffusion) -> DiffusionGemmaForBlockDiffusion:
    """Restore transformers' norms in place: the engine's fused norms would make `generate` faster, too."""
    for module in model.modules():
        if type(module) is FusedRMSNorm:
            cast(Any, module).__class__ = DiffusionGemmaRMSNorm
    return model


def stock(model: DiffusionGemmaForBlockDiffusion, prompt: Tensor, steps: int, cache: str) -> None:
    """One canvas with transformers' `generate`: prefill, then `steps` steps over all positions."""
    model.generate(
        cast(Any, prompt),
        max_new_tokens=model.config.canvas_length,
        max_denoising_steps=steps,
        sampler_config=EntropyBoundSamplerConfig(entropy_bound=0.1),
        confidence_threshold=UNREACHED,
        cache_implementation=CACHES[cache],
    )


def sibling(text_config: Mapping[str, Any], device: torch.device, dtype: torch.dtype) -> Gemma4ForCausalLM:
    """Gemma 4's autoregressive model with the same layers and experts, with random weights on `device`."""
    values = dict(text_config) | {
        "enable_moe_block": True,
        "attention_k_eq_v": True,
        "hidden_size_per_layer_input": 0,
        "num_kv_shared_layers": 0,
    }
    config = Gemma4TextConfig(**values)
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
    """Prefill, then `tokens` tokens one after the other, without a stop token."""
    sequence = cast(Any, model).generate(
        prompt,
        min_new_tokens=tokens,
        max_new_tokens=tokens,
        do_sample=False,
        eos_token_id=None,
        pad_token_id=0,
        cache_implementation=CACHES[cache],
    )
    assert sequence.shape[1] == prompt.shape[1] + tokens


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
