"""The interface of a model family: everything that depends on the architecture, from the config to an open model.

    family = family_of(config)                          # model.families
    size = family.size(config)                          # for the check that the model fits into memory
    module = family.build(config, shapes)               # without weights; the loader fills its slots
    family.finish(module, device)
    model = family.open(module, profile, specials)      # for the loop and the encoder

A family is one folder of `model` and an entry in `model.families`. This module imports no torch. A family imports torch
only in `size`, in `build` and later: `dgls doctor` and the remote client use the members before these without torch.
Runs on the thread that loads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from dgls_engine.model.packing import Packed, Packing
    from dgls_engine.model.passes import KeptPrompt, Passes
    from dgls_engine.model.slots import Site, Slot
    from dgls_engine.profile import Profile

JUDGED_ROWS = 128
"""The number of rows whose logits exist at the same time while tokens are scored; footprints depend on it."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes on the device: the weights by part, the longest prompt's keys and values, and a step's temporary
    tensors."""

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
    """A model's size, computed from its config before any weight is read."""

    @property
    def values(self) -> int:
        """The number of weights. Tied weights count once."""
        ...

    @property
    def packings(self) -> tuple[str, ...]:
        """The packings that its weights, or those of its experts, can have (`model.packing`)."""
        ...

    def footprint(self, precision: str, plain_bytes: int, prompt_tokens: int, fused: bool = True) -> Footprint:
        """The memory if weights that can be packed are in `precision` and every other value takes `plain_bytes`.
        `fused`: with Triton kernels."""
        ...


@dataclass(frozen=True, slots=True)
class Published:
    """A model on the hub. Its download contains `unused_bytes` that are never read."""

    name: str
    size: Size
    prompt_tokens: int
    unused_bytes: int = 0


K = TypeVar("K", bound="KeptPrompt")


class OpenModel(Protocol[K]):
    """A model with its weights, ready to run. Lives on the engine thread."""

    @property
    def vocabulary(self) -> int:
        """V: the number of logits in a row."""
        ...

    @property
    def mask(self) -> int | None:
        """The mask token's id: undecided positions show it, and decided positions stay decided (`loop.masked`). None:
        undecided positions show random tokens, and a step may change every position (`loop.uniform`)."""
        ...

    @property
    def shifted(self) -> bool:
        """True: row i predicts token i + 1, so a canvas must begin with a pinned token. False: row i predicts token
        i."""
        ...

    @property
    def captures(self) -> bool:
        """Whether the model captures its passes for each shape. Then `prepare` saves the first request that time."""
        ...

    def new_prompt(self, capacity: int) -> K:
        """An empty prompt with room for `capacity` tokens."""
        ...

    def passes_after(self, prompt: K) -> Passes[Any]:
        """Passes over canvases behind the current tokens of `prompt`."""
        ...

    def prepare(self, prompt: K, batch: int, tokens: int) -> None:
        """Capture passes over `batch` canvases of `tokens` tokens."""
        ...

    def forget(self) -> None:
        """Free all memory that can be filled again on demand."""
        ...


class Causal(Protocol):
    """The same weights as an autoregressive model, which reads each token once, from left to right."""

    @property
    def vocabulary(self) -> int: ...

    @property
    def parameters(self) -> int:
        """The number of parameters that a pass uses."""
        ...

    def read(self, ids: Sequence[int]) -> Tensor:
        """Read `ids`, which follow all tokens read before. Returns the next token's logits [V] in float32."""
        ...


class Family(Protocol):
    """One architecture, or several that share their passes. Stateless."""

    @property
    def architectures(self) -> Mapping[str, tuple[str, ...]]:
        """Architecture -> `model_type`s, as in a `config.json`."""
        ...

    def refuses(self, config: Mapping[str, Any]) -> str | None:
        """Why the family cannot run a model that it knows, for a message ("is a ..."); None if it can, or does not know
        it."""
        ...

    def replaces_code(self, config: Mapping[str, Any]) -> bool:
        """Whether the family computes what the checkpoint's own code (`auto_map`) does. That code is never run."""
        ...

    def slot_name(self, stored: str) -> str:
        """The name of the slot that the stored tensor of this name fills."""
        ...

    @property
    def adapter_files(self) -> tuple[str, ...]:
        """Optional safetensors files that the loader reads in addition to the weights."""
        ...

    @property
    def largest(self) -> Mapping[str, int]:
        """The largest values of sizes that only this family has in a config; each is far above those published."""
        ...

    def skips(self, name: str) -> bool:
        """Whether the model runs without the stored tensor `name`, for example a tensor of a vision tower."""
        ...

    def defaults(self, config: Mapping[str, Any], generation: Mapping[str, Any]) -> dict[str, Any]:
        """Fields of the profile that follow from `config.json` and `generation_config.json` ({} if there is none).

        Raises `ValueError` if `config.json` is not valid; the message says why.
        """
        ...

    def vocabulary(self, config: Mapping[str, Any]) -> int | None:
        """V according to the config; None if the config does not say."""
        ...

    def size(self, config: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]] = MappingProxyType({})) -> Size:
        """The model's size. `shapes` as in `build`. Like `build`, it can raise any exception if the config is wrong."""
        ...

    def build(self, config: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> nn.Module:
        """The modules on the meta device, in evaluation mode. `shapes` are the shapes of the stored tensors; they show
        which optional parts, such as an adapter, the checkpoint has."""
        ...

    def sites(self, slots: Sequence[Slot], packing: Packing) -> list[Site]:
        """The weights among the slots that are packed, in the order of their layers."""
        ...

    def install(self, module: nn.Module, packed: Sequence[Packed]) -> None:
        """Replace the plain weights of a site's module by packed ones, in the order of the site's slots."""
        ...

    def finish(self, module: nn.Module, device: torch.device, packing: Packing | None) -> None:
        """Compute the tensors that are not stored, and pack weights that depend on several slots. Called after the
        loader has filled every slot."""
        ...

    def open(
        self, module: nn.Module, profile: Profile, specials: Mapping[str, int], captured: bool | None = None
    ) -> OpenModel[Any]:
        """The open model. `specials`: the ids of special tokens by their spelling. `captured`: whether to capture
        passes; None captures them if the Triton kernels run on the device. Raises `UnsupportedModel` if the profile or
        the tokenizer lacks something that the family needs."""
        ...

    def causal(self, module: nn.Module) -> Causal:
        """The same weights as an autoregressive model, for comparison."""
        ...
