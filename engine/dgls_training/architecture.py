"""The embedded model's shape, and the empty model of that shape.

The same architecture as google/diffusiongemma-26B-A4B-it, three orders of magnitude smaller: sliding layers and a
global one whose values are its keys, a dense MLP beside routed experts, soft-capped logits, tied embeddings,
self-conditioning. Knows neither text nor training.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers import DiffusionGemmaConfig, DiffusionGemmaForBlockDiffusion, DiffusionGemmaTextConfig
from transformers.models.gemma4.configuration_gemma4 import Gemma4VisionConfig


@dataclass(frozen=True, slots=True)
class Architecture:
    """Sizes in features and counts; `canvas_length` and `sliding_window` in tokens."""

    vocabulary: int = 4096
    hidden: int = 192
    layers: int = 5
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = 48
    mlp: int = 384
    experts: int = 1
    expert_width: int = 96
    sliding_window: int = 512
    canvas_length: int = 128

    @classmethod
    def of(cls, vocabulary: int, hidden: int, layers: int) -> Architecture:
        """The usual proportions at a width and a depth."""
        return cls(vocabulary, hidden, layers, head_dim=hidden // 4, mlp=2 * hidden, expert_width=hidden // 2)

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Architecture:
        return cls(**json.loads(path.read_text(encoding="utf-8")))

    def config(self) -> DiffusionGemmaConfig:
        of_global_layers: dict[str, Any] = {"global_head_dim": self.head_dim, "num_global_key_value_heads": 1}
        text = DiffusionGemmaTextConfig(
            vocab_size=self.vocabulary,
            hidden_size=self.hidden,
            intermediate_size=self.mlp,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            num_key_value_heads=self.kv_heads,
            head_dim=self.head_dim,
            **of_global_layers,
            layer_types=["sliding_attention"] * (self.layers - 1) + ["full_attention"],
            sliding_window=self.sliding_window,
            num_experts=self.experts,
            top_k_experts=1,
            moe_intermediate_size=self.expert_width,
            max_position_embeddings=2048,
            pad_token_id=0,
            eos_token_id=1,
            bos_token_id=None,
        )
        # The architecture always declares a vision tower; ours is the smallest there can be, and has no weights.
        vision = Gemma4VisionConfig(
            hidden_size=16,
            intermediate_size=16,
            num_hidden_layers=1,
            num_attention_heads=1,
            num_key_value_heads=1,
            head_dim=16,
        )
        return DiffusionGemmaConfig(
            text_config=text,
            vision_config=vision,
            canvas_length=self.canvas_length,
            architectures=["DiffusionGemmaForBlockDiffusion"],
        )


def peer_of(architecture: Architecture) -> Architecture:
    """The shape of a causal model that uses as many parameters (within 1 %) as the denoiser of `architecture`.

    What self-conditioning had goes into wider MLPs, three matrices a layer.
    """
    missing = _count(new_model(architecture, seed=0).model.decoder.self_conditioning)
    wider = missing / (3 * architecture.hidden * architecture.layers)
    return replace(architecture, mlp=8 * round((architecture.mlp + wider) / 8))


def _count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def new_model(architecture: Architecture, seed: int) -> DiffusionGemmaForBlockDiffusion:
    """A freshly initialised float32 model without its vision tower."""
    torch.manual_seed(seed)
    model = DiffusionGemmaForBlockDiffusion(architecture.config())
    # Under autocast the grouped kernels see float32 weights and bfloat16 rows, which CUDA's refuse; and with one expert
    # a step on the CPU takes 5 % less without them.
    model.set_experts_implementation("eager")
    del model.model.encoder.vision_tower, model.model.encoder.embed_vision
    _initialise(model, architecture)
    return model


@torch.no_grad()
def _initialise(model: DiffusionGemmaForBlockDiffusion, architecture: Architecture) -> None:
    """Start the norms where training from nothing goes well; transformers leaves them at 1, for loading weights.

    Attention has no 1/sqrt(head_dim) here: the query and key norms hold it, or else its softmax begins nearly
    one-hot. A sublayer's last norm sets how much it adds to the residual: 1/sqrt of their number. Both with larger
    embeddings brought the loss of the first hundred steps from 10.3 to 8.9.
    """
    for name, parameter in model.named_parameters():
        if name.endswith(("q_norm.weight", "k_norm.weight")):
            parameter.fill_(architecture.head_dim**-0.25)
        elif name.endswith(("post_attention_layernorm.weight", "post_feedforward_layernorm.weight")):
            parameter.fill_((2 * architecture.layers) ** -0.5)
        elif name.endswith("embed_tokens.weight"):
            parameter.mul_(3.0)
