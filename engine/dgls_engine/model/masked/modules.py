"""The modules of a masked model, named as in Llama's, Qwen2's and Qwen3's checkpoints. `layers` computes with their
weights.

transformers' own modules would be the same, but their import takes 3 s of CPU time and 180 MB of memory, which a model
for laptops cannot spare. Only rare kinds of rotary embeddings come from there. Made without weights on the meta device,
and without arithmetic there: its first use loads torch's compiler. Knows no adapter. Runs on the thread that loads.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from dgls_engine.model.masked.shape import Mixture, Shape
from dgls_engine.model.packing import Packed
from dgls_engine.model.products import Product, product


class Linear(nn.Module):
    """y = x W^T + b, with `weight` [out, in] and `bias` [out] or None. A packed weight replaces `weight`."""

    packed: Packed | None = None
    product: Product | None = None

    def __init__(self, in_features: int, out_features: int, bias: bool = False) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.weight = new_parameter(out_features, in_features)
        self.bias = new_parameter(out_features) if bias else None

    def pack(self, packed: Packed) -> None:
        self.packed = packed
        del self.weight

    def arrange(self) -> None:
        """Prepare the product with the packed weight, unless another product took the weight over."""
        if self.packed is not None:
            self.product, self.packed = product(self.packed, self.bias), None

    def forward(self, rows: Tensor) -> Tensor:
        return functional.linear(rows, self.weight, self.bias) if self.product is None else self.product(rows)


class Norm(nn.Module):
    def __init__(self, size: int, epsilon: float) -> None:
        super().__init__()
        self.weight, self._epsilon = new_parameter(size), epsilon

    def forward(self, rows: Tensor) -> Tensor:
        return functional.rms_norm(rows, self.weight.shape, self.weight, self._epsilon)


class Embedding(nn.Module):
    """A table of rows. `pack` replaces `weight`; then the rows are unpacked as they are looked up, to `dtype`."""

    packed: Packed | None = None
    dtype = torch.float32

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.weight = new_parameter(size, width)

    def pack(self, packed: Packed) -> None:
        self.packed = packed
        del self.weight

    def forward(self, ids: Tensor) -> Tensor:
        if self.packed is None:
            return functional.embedding(ids, self.weight)
        return (self.packed.values[0][ids].float() * self.packed.scales[0, 0][ids, None].float()).to(self.dtype)


class Attention(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        queries, keys = (each * shape.head_dim for each in (shape.num_attention_heads, shape.num_key_value_heads))
        self.q_proj = Linear(shape.hidden_size, queries, shape.biases[0])
        self.k_proj = Linear(shape.hidden_size, keys, shape.biases[0])
        self.v_proj = Linear(shape.hidden_size, keys, shape.biases[0])
        self.o_proj = Linear(queries, shape.hidden_size, shape.biases[1])
        if shape.head_norms:
            self.q_norm = Norm(shape.head_dim, shape.rms_norm_eps)
            self.k_norm = Norm(shape.head_dim, shape.rms_norm_eps)


class FeedForward(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.gate_proj = Linear(shape.hidden_size, shape.intermediate_size, shape.biases[2])
        self.up_proj = Linear(shape.hidden_size, shape.intermediate_size, shape.biases[2])
        self.down_proj = Linear(shape.intermediate_size, shape.hidden_size, shape.biases[2])

    def forward(self, rows: Tensor) -> Tensor:
        result: Tensor = self.down_proj(functional.silu(self.gate_proj(rows)) * self.up_proj(rows))
        return result


class Experts(nn.Module):
    """Feed-forward networks of which each row uses the few that its router finds likeliest, weighted by their
    probabilities. These are not scaled to add up to 1."""

    def __init__(self, shape: Shape, mixture: Mixture) -> None:
        super().__init__()
        self._used = mixture.used
        self.gate = Linear(shape.hidden_size, mixture.experts)
        self.experts = nn.ModuleList(FeedForward(shape) for _ in range(mixture.experts))

    def forward(self, rows: Tensor) -> Tensor:
        flat = rows.reshape(-1, rows.shape[-1])
        weights, chosen = self.gate(flat).softmax(-1, dtype=torch.float32).topk(self._used, dim=-1)
        mixed = torch.zeros_like(flat)
        for number, expert in enumerate(self.experts):
            row, rank = (chosen == number).nonzero(as_tuple=True)
            if len(row):
                mixed.index_add_(0, row, expert(flat[row]) * weights[row, rank, None].to(flat.dtype))
        return mixed.view_as(rows)


class Layer(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.self_attn = Attention(shape)
        self.mlp = FeedForward(shape) if shape.mixture is None else Experts(shape, shape.mixture)
        self.input_layernorm = Norm(shape.hidden_size, shape.rms_norm_eps)
        self.post_attention_layernorm = Norm(shape.hidden_size, shape.rms_norm_eps)


class Body(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.embed_tokens = Embedding(shape.vocab_size, shape.hidden_size)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.num_hidden_layers))
        self.norm = Norm(shape.hidden_size, shape.rms_norm_eps)


class Decoder(nn.Module):
    """The whole model."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.config = shape
        self.model = Body(shape)
        self.lm_head = Linear(shape.hidden_size, shape.vocab_size)
        if shape.tie_word_embeddings:
            self.lm_head.weight = self.model.embed_tokens.weight

    @property
    def device(self) -> torch.device:
        return self.model.norm.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Of hidden states, keys and values."""
        return self.model.norm.weight.dtype


class Rotary:
    """Rotary position embeddings (Su et al., arXiv 2104.09864), computed in float32. Called with hidden states, for
    their type, and positions [B, n], it returns cos and sin [B, n, d]."""

    def __init__(self, size: int, theta: float, device: torch.device) -> None:
        exponents = torch.arange(0, size, 2, dtype=torch.float32, device=device) / size
        self._frequencies = 1.0 / theta**exponents

    def __call__(self, hidden: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        angles = positions[..., None].float() * self._frequencies
        angles = torch.cat([angles, angles], -1)
        return angles.cos().to(hidden.dtype), angles.sin().to(hidden.dtype)


def rotary(shape: Shape, device: torch.device) -> Any:
    """The rotary embeddings of a model; those of a kind other than the default are transformers'."""
    kind = shape.rope.get("rope_type", shape.rope.get("type", "default"))
    if kind == "default":
        return Rotary(shape.head_dim, shape.rope["rope_theta"], device)
    from transformers import LlamaConfig
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

    config = LlamaConfig(
        hidden_size=shape.hidden_size,
        num_attention_heads=shape.num_attention_heads,
        head_dim=shape.head_dim,
        max_position_embeddings=shape.max_position_embeddings,
        rope_parameters=dict(shape.rope),
    )
    return LlamaRotaryEmbedding(config).to(device)


def new_parameter(*size: int) -> nn.Parameter:
    """A parameter without values."""
    return nn.Parameter(torch.empty(size, device="meta"), requires_grad=False)
