"""Prefill: turns a context into a prompt, and the prompt into keys and values, within a budget.

Combines `formats`, `encoder` and `budget` for one open model and measures how fast it prefills. Between requests it
keeps only the last prompt, its keys and values, and the budget. Runs on the engine thread.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any

from dgls_engine.device import finish
from dgls_engine.errors import Cancelled
from dgls_engine.model.batches import shared_prefix
from dgls_engine.model.family import OpenModel
from dgls_engine.profile import Profile
from dgls_engine.prompt.budget import MIN_MEASURED, PromptBudget
from dgls_engine.prompt.encoder import Encoder
from dgls_engine.prompt.formats import open_prompt
from dgls_engine.text.canvas import Spilled
from dgls_engine.types import CancelToken, Context
from dgls_engine.weights.loader import LoadedModel

_LEAST = 1024
"""The encoder has room for at least this many tokens."""

_SCORED = 256
"""The tokens in front of a text that is scored; more make larger buffers."""


class Reading:
    """`clock` gives seconds. `prefill_ms` is the time limit for the prefill of a whole prompt; None: no limit."""

    def __init__(
        self, loaded: LoadedModel, model: OpenModel[Any], clock: Callable[[], float], prefill_ms: float | None
    ) -> None:
        self._model, self._device = model, loaded.device
        self._clock = clock
        self._budget = PromptBudget(loaded.profile.max_prompt_tokens, prefill_ms)
        self._prompt = open_prompt(loaded.tokenizer, loaded.profile, loaded.folder)
        self._use(loaded.profile)
        self.encoder = self._new_encoder()
        self.scored: Encoder[Any] = Encoder(model.new_prompt, capacity=_SCORED)
        """The prompt of texts that are scored from left to right, so that `encoder` keeps that of the suggestions. It
        takes no memory before the first."""

    @property
    def profile(self) -> Profile:
        """The model's profile with the current bound of prompts."""
        return self._profile

    @property
    def canvas_start(self) -> tuple[int, ...]:
        """The first ids of a canvas without pinned text before its first hole; empty if the model needs none."""
        return self._prompt.canvas_start if self._model.shifted else ()

    @property
    def canvas_end(self) -> tuple[int, ...]:
        """The ids between the canvas' text and its padding."""
        return self._prompt.canvas_end

    def read(self, context: Context, spilled: Spilled, cancel: CancelToken) -> tuple[int, int]:
        """Prefill the prompt of this context, with `spilled` if the format shows it. Returns the numbers of tokens in
        the prompt and of tokens computed."""
        ids = self._encode(context, spilled if self._prompt.takes_spilled else Spilled())
        started, previous_ids = self._clock(), self.encoder.ids
        try:
            computed = self.encoder.prefill(ids, cancel)
        except Cancelled:  # measure these too: with fast typing on a slow machine, each prefill is cancelled
            self._measure(len(self.encoder.ids) - shared_prefix(previous_ids, ids), started)
            raise
        self._measure(computed, started)
        return len(ids), computed

    def adjust(self) -> bool:
        """Apply the budget to the next prompt. Returns whether the bound changed."""
        tokens = self._budget.tokens
        if tokens == self._profile.max_prompt_tokens:
            return False
        self._use(replace(self._profile, max_prompt_tokens=tokens))
        return True

    def drop(self) -> bool:
        """Free the prompt after memory ran out, and halve the budget. False if the budget cannot be smaller."""
        halved = self._budget.halve()
        self.adjust()
        self.encoder.drop()  # other references to the encoder must not keep the memory
        self.encoder = self._new_encoder()
        self.scored.drop()
        return halved

    def _use(self, profile: Profile) -> None:
        self._profile = profile
        self._prompt = self._prompt.within(profile.max_prompt_tokens)
        # While the user types inside the region the context stays the same. Encoding 4,096 tokens takes 37 ms on a CPU.
        self._encode = lru_cache(maxsize=1)(self._prompt.encode)

    def _new_encoder(self) -> Encoder[Any]:
        """An encoder with room for the longest prompt, because larger buffers later would invalidate captured
        graphs."""
        return Encoder(self._model.new_prompt, capacity=max(_LEAST, self._profile.max_prompt_tokens))

    def _measure(self, tokens: int, started: float) -> None:
        if self._budget.measures and tokens >= MIN_MEASURED:
            finish(self._device)  # the device may still be busy with queued work
            self._budget.read(tokens, (self._clock() - started) * 1000)
