"""The port to model families: what the engine asks of an architecture, from a checkpoint's config to an open model.

    family = family_of(config)                          # model.families
    size = family.size(config)                          # does it fit?
    module = family.build(config, shapes)               # no weights yet; the loader fills its slots
    family.finish(module, device)
    model = family.open(module, profile, specials)      # what the loop and the encoder run

A family lies in one folder of `model` and is listed in `model.families`. This module, and what a family does before
`build`, imports no torch: `dgls doctor` and the remote client use that half. Runs on the thread that loads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from dgls_engine.model.packing import Packed
    from dgls_engine.model.passes import KeptPrompt, Passes
    from dgls_engine.model.slots import Site, Slot
    from dgls_engine.profile import Profile

JUDGED_ROWS = 128
"""Rows whose logits exist at a time when tokens are judged: a footprint counts on it."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes on the device: the weights by part, keys and values of the longest prompt, what a step makes and drops."""

    experts: int
    attention: int
    dense: int
    embedding: int
    prompt: int
    step: int

    @property
    def weights(self) -> int:
        return self.experts + self.attention + self.dense + self.embedding

    @property
    def total(self) -> int:
        return sum(getattr(self, part.name) for part in fields(self))


class Size(Protocol):
    """How large a model is, computed from its config before a byte of it is read."""

    @property
    def values(self) -> int:
        """Weights; tied ones count once."""
        ...

    @property
    def packs(self) -> bool:
        """Whether it has experts, whose weights can be kept in fewer bits."""
        ...

    def footprint(self, precision: str, plain_bytes: int, prompt_tokens: int, fused: bool = True) -> Footprint:
        """With experts in `precision` and all else in `plain_bytes` a value. `fused`: with Triton's kernels."""
        ...


@dataclass(frozen=True, slots=True)
class Published:
    """A model on the hub, under its `name`. `unused_bytes` are downloaded with it and never read."""

    name: str
    size: Size
    prompt_tokens: int
    unused_bytes: int = 0


K = TypeVar("K", bound="KeptPrompt")


class OpenModel(Protocol[K]):
    """A model with its weights, ready to run. Lives on the engine thread."""

    @property
    def vocabulary(self) -> int:
        """V: how many logits a row has."""
        ...

    @property
    def mask(self) -> int | None:
        """The id that an undecided position shows, where decided ones stay decided (`loop.masked`). None: an undecided
        position shows a random token, and every step may change every position (`loop.uniform`)."""
        ...

    @property
    def shifted(self) -> bool:
        """Whether row i predicts token i + 1, so that a canvas has to begin with a pinned token. Else it predicts i."""
        ...

    @property
    def captures(self) -> bool:
        """Whether passes are captured, a shape at a time, so that `prepare` saves time later."""
        ...

    def keep(self, capacity: int) -> K:
        """An empty prompt with room for `capacity` tokens."""
        ...

    def behind(self, prompt: K) -> Passes[Any]:
        """Passes over canvases behind the tokens that `prompt` holds now."""
        ...

    def prepare(self, prompt: K, batch: int, tokens: int) -> None:
        """Capture what passes over `batch` canvases of `tokens` tokens will need."""
        ...

    def forget(self) -> None:
        """Free all memory that can be filled again."""
        ...


class Causal(Protocol):
    """The model as an autoregressive one: it reads tokens once, from left to right."""

    @property
    def vocabulary(self) -> int: ...

    @property
    def parameters(self) -> int:
        """How many of the model's parameters run."""
        ...

    def read(self, ids: Sequence[int]) -> Tensor:
        """Logits [V] in float32 of the token behind `ids`, which stand behind all that was read before."""
        ...


class Family(Protocol):
    """One architecture, or several that share their passes. Stateless."""

    @property
    def architectures(self) -> Mapping[str, str]:
        """What a `config.json` calls them: an architecture to its `model_type`."""
        ...

    @property
    def adapter_files(self) -> tuple[str, ...]:
        """Safetensors files that are read beside the weights where they exist."""
        ...

    def skips(self, name: str) -> bool:
        """Whether the stored tensor `name` is no part of what is run, such as a vision tower."""
        ...

    def defaults(self, config: Mapping[str, Any], generation: Mapping[str, Any]) -> dict[str, Any]:
        """Fields of the profile that `config.json` and `generation_config.json` ({} if there is none) settle.

        Raises `ValueError` that says what is wrong in `config.json`.
        """
        ...

    def vocabulary(self, config: Mapping[str, Any]) -> int | None:
        """V as the config has it, None if it does not say."""
        ...

    def size(self, config: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]] = MappingProxyType({})) -> Size:
        """`shapes` as in `build`. Mistakes in the config surface as any kind of exception, here and in `build`."""
        ...

    def build(self, config: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> nn.Module:
        """The modules on the meta device, in evaluation mode. `shapes` are the stored tensors': they tell which
        optional parts, such as an adapter, the checkpoint has."""
        ...

    def sites(self, slots: Sequence[Slot]) -> list[Site]:
        """The experts among the slots, in the order of their layers."""
        ...

    def install(self, module: nn.Module, gate_up: Packed, down: Packed) -> None:
        """Put packed weights in place of the plain ones of a site's module."""
        ...

    def finish(self, module: nn.Module, device: torch.device) -> None:
        """Compute what is not stored, once every slot is filled."""
        ...

    def open(
        self, module: nn.Module, profile: Profile, specials: Mapping[str, int], captured: bool | None = None
    ) -> OpenModel[Any]:
        """`specials`: the ids of special tokens by their spelling. `captured`: whether passes are captured; None: where
        our kernels run. Raises `UnsupportedModel` where profile or tokenizer lack what the family needs."""
        ...

    def causal(self, module: nn.Module) -> Causal:
        """To compare with: the same weights, used autoregressively."""
        ...
