"""A `family.OpenModel`: DiffusionGemma with its weights. Captures decoder passes if the Triton kernels run.

Runs on the engine thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dgls_engine.model import kernels
from dgls_engine.model.diffusion_gemma.captured import Captured
from dgls_engine.model.diffusion_gemma.passes import Decoding, Eager
from dgls_engine.model.diffusion_gemma.prompt_cache import PromptCache, prompt_factory
from dgls_engine.profile import Profile

if TYPE_CHECKING:
    from transformers.models.diffusion_gemma import DiffusionGemmaForBlockDiffusion


class Running:
    """`captured`: whether to capture passes; None: if the Triton kernels run on the device."""

    mask: int | None = None
    shifted = False

    def __init__(self, model: DiffusionGemmaForBlockDiffusion, profile: Profile, captured: bool | None) -> None:
        self._model, self._signal = model, profile.pinned_signal
        self.new_prompt = prompt_factory(model)
        self._captured: Captured | None = None
        if kernels.usable(model.device) if captured is None else captured:
            self._captured = Captured(model, profile.canvas_tokens, profile.pinned_signal)

    @property
    def vocabulary(self) -> int:
        size: int = self._model.model.decoder.vocab_size
        return size

    @property
    def captures(self) -> bool:
        return self._captured is not None

    def passes_after(self, prompt: PromptCache) -> Decoding:
        if self._captured is not None:
            return self._captured.passes_after(prompt)
        return Eager(self._model, prompt.seen(), prompt.tokens, self._signal)

    def prepare(self, prompt: PromptCache, batch: int, tokens: int) -> None:
        if self._captured is not None:
            self._captured.passes_after(prompt).prepare(batch, tokens)

    def forget(self) -> None:
        if self._captured is not None:
            self._captured.forget()
