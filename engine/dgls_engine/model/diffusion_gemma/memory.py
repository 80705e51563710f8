"""How much memory a model takes, part by part: computed from its shape before a byte of it is read.

    PUBLISHED.footprint("int4", 2, prompt_tokens=4096).total       # bytes

What is computed is what the loader fills and a request allocates on the device. Not in it: what the driver and other
processes hold (`device.free_memory` leaves those out, too). Arithmetic only: no torch, no files, any thread.
"""

from __future__ import annotations

from dataclasses import dataclass

from dgls_engine.model.family import JUDGED_ROWS, Footprint

PACKED = ("fp8", "int4")
"""Those that keep the experts' weights in fewer bits (`model.packing`)."""

SLACK, CHUNK = 256, 512
"""Rows that a sliding layer keeps beyond its window so that it can rewind, and those that a GPU encodes together
(`prompt.encoder`)."""

_GROUP = 64
"""Weights of four bits that share a scale."""

_SAMPLED_ROWS = 300
"""Hole positions of all lengths that are tried together; a request seldom has more."""

_FUSED_BYTES, _PLAIN_BYTES, _JUDGED_BYTES = 2, 22, 10
"""Bytes a logit: where Triton samples in place, where PyTorch does with tempered ones, probabilities and more beside
it, and where tokens are judged."""

_CANVASES = 16
"""Canvases that go through the decoder together."""


@dataclass(frozen=True, slots=True)
class Layer:
    sliding: bool
    key_heads: int
    head_dim: int


@dataclass(frozen=True, slots=True)
class Anatomy:
    """A `family.Size`: the numbers of a model's config that decide it. `tied`: encoder, decoder and output share their
    weights."""

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
        """Queries and outputs, keys, and values where they are not the keys; two norms."""
        each = (
            self.hidden * own.head_dim * (2 * self.query_heads + (2 if own.sliding else 1) * own.key_heads)
            + 2 * own.head_dim
            for own in self.layers
        )
        return sum(each) * self._copies

    @property
    def dense_values(self) -> int:
        """What is left: the dense half of each layer, its router and norms; the last norm, and self-conditioning."""
        mlp = 3 * self.hidden * self.dense_width
        router = self.experts * (self.hidden + 1) + self.hidden
        scalars = 2 * len(self.layers)  # each of encoder and decoder has its own
        layers = len(self.layers) * (mlp + router + 7 * self.hidden)
        return (layers + self.hidden) * self._copies + scalars + mlp + self.hidden

    @property
    def embedding_values(self) -> int:
        return self.vocabulary * self.hidden * (1 if self.tied else 3)

    @property
    def values(self) -> int:
        return self.expert_values + self.attention_values + self.dense_values + self.embedding_values

    @property
    def packs(self) -> bool:
        return True

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
"""Of google/diffusiongemma-26B-A4B-it."""


def prompt_bytes(anatomy: Anatomy, plain_bytes: int, tokens: int) -> int:
    """Keys and values of a prompt. A sliding layer keeps its window, a slack to rewind into, and room for a chunk."""
    near = min(tokens, anatomy.window - 1 + SLACK + CHUNK)
    rows = (2 * own.key_heads * own.head_dim * (near if own.sliding else tokens) for own in anatomy.layers)
    return sum(rows) * plain_bytes


def step_bytes(anatomy: Anatomy, plain_bytes: int, fused: bool) -> int:
    """The most that is alive in a step: the logits of all holes, and one layer's activations of all canvases."""
    widest = max(own.head_dim * 2 * (anatomy.query_heads + own.key_heads) for own in anatomy.layers)
    routed = anatomy.active_experts * (anatomy.hidden + 3 * anatomy.expert_width)
    a_token = 4 * anatomy.hidden + widest + 2 * anatomy.dense_width + routed
    tokens = max(CHUNK, _CANVASES * anatomy.canvas_length // 2)
    logits = max(_SAMPLED_ROWS * (_FUSED_BYTES if fused else _PLAIN_BYTES), JUDGED_ROWS * _JUDGED_BYTES)
    return anatomy.vocabulary * logits + tokens * a_token * plain_bytes


def _expert_bytes(anatomy: Anatomy, precision: str, plain_bytes: int) -> int:
    if precision not in PACKED:
        return anatomy.expert_values * plain_bytes
    gate_up, down = (2 * anatomy.expert_width, anatomy.hidden), (anatomy.hidden, anatomy.expert_width)
    matrices = anatomy.expert_values // (3 * anatomy.expert_width * anatomy.hidden)
    return matrices * sum(_packed_bytes(rows, columns, precision) for rows, columns in (gate_up, down))


def _packed_bytes(rows: int, columns: int, precision: str) -> int:
    """As `packing.packed_bytes` has it; int4 with zero points, which some models do without."""
    return rows * (columns + 2 if precision == "fp8" else -(-columns // _GROUP) * (_GROUP // 2 + 3))
