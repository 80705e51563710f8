"""Computes the memory of each part of a model from its config, before any weight is read.

    PUBLISHED.footprint("int4", 2, prompt_tokens=4096).total       # bytes

A footprint contains the loaded weights and a request's tensors on the device. It does not contain the memory of the
driver and of other processes; neither does `device.free_memory`. Arithmetic only: no torch, no files, any thread.
"""

from __future__ import annotations

from dataclasses import dataclass

from dgls_engine.model.family import JUDGED_ROWS, Footprint

PACKED = ("fp8", "int4")
"""Formats that store the experts' weights in fewer bits (`model.packing`)."""

SPARE_ROWS, CHUNK = 256, 512
"""SPARE_ROWS: rows that a sliding layer keeps beyond its window, so that the prompt can rewind. CHUNK: tokens that a
GPU encodes together (`prompt.encoder`)."""

_GROUP = 64
"""The number of 4-bit weights that share a scale."""

_SAMPLED_ROWS = 300
"""The number of hole positions, over all lengths of a contest, that a request seldom exceeds."""

_FUSED_BYTES, _PLAIN_BYTES, _JUDGED_BYTES = 2, 22, 10
"""Bytes for each logit: if Triton samples in place, if PyTorch samples (with tempered logits, probabilities and more),
and if tokens are scored."""

_CANVASES = 16
"""The number of canvases that go through the decoder together."""


@dataclass(frozen=True, slots=True)
class Layer:
    sliding: bool
    key_heads: int
    head_dim: int


@dataclass(frozen=True, slots=True)
class Anatomy:
    """A `family.Size`: the numbers of a config that determine a model's size. `tied`: encoder, decoder and output share
    their weights."""

    vocabulary: int
    hidden: int
    dense_width: int
    experts: int
    expert_width: int
    active_experts: int
    query_heads: int
    window: int
    canvas_length: int
    layers: tuple[Layer, ...]
    tied: bool = True

    @property
    def expert_values(self) -> int:
        return len(self.layers) * self.experts * 3 * self.expert_width * self.hidden * self._copies

    @property
    def attention_values(self) -> int:
        """Queries, outputs, keys and values (a full layer uses its keys as values); two norms."""
        layer_values = (
            self.hidden * layer.head_dim * (2 * self.query_heads + (2 if layer.sliding else 1) * layer.key_heads)
            + 2 * layer.head_dim
            for layer in self.layers
        )
        return sum(layer_values) * self._copies

    @property
    def dense_values(self) -> int:
        """All other weights: each layer's dense part, router and norms; the last norm, and self-conditioning."""
        mlp = 3 * self.hidden * self.dense_width
        router = self.experts * (self.hidden + 1) + self.hidden
        scalars = 2 * len(self.layers)  # encoder and decoder do not share these
        layers = len(self.layers) * (mlp + router + 7 * self.hidden)
        return (layers + self.hidden) * self._copies + scalars + mlp + self.hidden

    @property
    def embedding_values(self) -> int:
        return self.vocabulary * self.hidden * (1 if self.tied else 3)

    @property
    def values(self) -> int:
        return self.expert_values + self.attention_values + self.dense_values + self.embedding_values

    @property
    def packings(self) -> tuple[str, ...]:
        return PACKED

    def footprint(self, precision: str, plain_bytes: int, prompt_tokens: int, fused: bool = True) -> Footprint:
        return Footprint(
            experts=_expert_bytes(self, precision, plain_bytes),
            attention=self.attention_values * plain_bytes,
            dense=self.dense_values * plain_bytes,
            embedding=self.embedding_values * plain_bytes,
            prompt=prompt_bytes(self, plain_bytes, prompt_tokens),
            step=step_bytes(self, plain_bytes, fused),
        )

    @property
    def _copies(self) -> int:
        return 1 if self.tied else 2


_SLIDING, _GLOBAL = Layer(True, 8, 256), Layer(False, 2, 512)

PUBLISHED = Anatomy(
    vocabulary=262_144,
    hidden=2816,
    dense_width=2112,
    experts=128,
    expert_width=704,
    active_experts=8,
    query_heads=16,
    window=1024,
    canvas_length=256,
    layers=(*[_SLIDING] * 5, _GLOBAL) * 5,
)
"""google/diffusiongemma-26B-A4B-it."""


def prompt_bytes(anatomy: Anatomy, plain_bytes: int, tokens: int) -> int:
    """Bytes of a prompt's keys and values. A sliding layer has rows for its window, for SPARE_ROWS and for a CHUNK."""
    sliding_rows = min(tokens, anatomy.window - 1 + SPARE_ROWS + CHUNK)
    values = (
        2 * layer.key_heads * layer.head_dim * (sliding_rows if layer.sliding else tokens) for layer in anatomy.layers
    )
    return sum(values) * plain_bytes


def step_bytes(anatomy: Anatomy, plain_bytes: int, fused: bool) -> int:
    """The peak of a step, in bytes: the logits of all holes, and one layer's activations of all canvases."""
    widest = max(layer.head_dim * 2 * (anatomy.query_heads + layer.key_heads) for layer in anatomy.layers)
    routed = anatomy.active_experts * (anatomy.hidden + 3 * anatomy.expert_width)
    token_values = 4 * anatomy.hidden + widest + 2 * anatomy.dense_width + routed
    tokens = max(CHUNK, _CANVASES * anatomy.canvas_length // 2)
    logits = max(_SAMPLED_ROWS * (_FUSED_BYTES if fused else _PLAIN_BYTES), JUDGED_ROWS * _JUDGED_BYTES)
    return anatomy.vocabulary * logits + tokens * token_values * plain_bytes


def _expert_bytes(anatomy: Anatomy, precision: str, plain_bytes: int) -> int:
    if precision not in PACKED:
        return anatomy.expert_values * plain_bytes
    gate_up, down = (2 * anatomy.expert_width, anatomy.hidden), (anatomy.hidden, anatomy.expert_width)
    matrices = anatomy.expert_values // (3 * anatomy.expert_width * anatomy.hidden)
    return matrices * sum(_packed_bytes(rows, columns, precision) for rows, columns in (gate_up, down))


def _packed_bytes(rows: int, columns: int, precision: str) -> int:
    """The result of `packing.packed_bytes`, which needs torch; int4 with zero points, which some models lack."""
    return rows * (columns + 2 if precision == "fp8" else -(-columns // _GROUP) * (_GROUP // 2 + 3))
