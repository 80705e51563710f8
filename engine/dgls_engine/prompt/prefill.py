"""What the model reads beside the canvas: a context becomes a prompt, the prompt keys and values, all within a budget.

Puts `prompt`, `encoder` and `budget` together for an open model, and measures how fast it reads. Belongs to the engine
thread. All that outlives a request here is the last prompt, its keys and values, and the budget.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any

from dgls_engine.device import finish
from dgls_engine.errors import Cancelled
from dgls_engine.model.family import OpenModel
from dgls_engine.profile import Profile
from dgls_engine.prompt.budget import TELLING, PromptBudget
from dgls_engine.prompt.encoder import Encoder, shared_prefix
from dgls_engine.prompt.formats import open_prompt
from dgls_engine.text.canvas import Spilled
from dgls_engine.types import CancelToken, Context
from dgls_engine.weights.loader import LoadedModel

_LEAST = 1024
"""Tokens that the encoder has room for, however short prompts are."""


class Reading:
    """`clock` gives seconds; `prefill_ms` is how long reading all of a prompt may take, None: as long as it takes."""

    def __init__(
        self, loaded: LoadedModel, model: OpenModel[Any], clock: Callable[[], float], prefill_ms: float | None
    ) -> None:
        self._loaded, self._model = loaded, model
        self._clock = clock
        self._budget = PromptBudget(loaded.profile.max_prompt_tokens, prefill_ms)
        self._use(loaded.profile)
        self.encoder = self._new_encoder()

    @property
    def profile(self) -> Profile:
        """The model's, with the bound of its prompts as it is now."""
        return self._profile

    @property
    def canvas_start(self) -> tuple[int, ...]:
        """The ids of a canvas' first row where no text stands there, for models that need one."""
        return self._prompt.canvas_start if self._model.shifted else ()

    @property
    def canvas_end(self) -> tuple[int, ...]:
        """The ids that close the canvas' text."""
        return self._prompt.canvas_end

    def read(self, context: Context, spilled: Spilled, cancel: CancelToken) -> tuple[int, int]:
        """Have the encoder hold the prompt of this context, and of what a canvas has no room for where the format shows
        that. Tokens of it, and how many of them had to be computed."""
        ids = self._encode(context, spilled if self._prompt.takes_spilled else Spilled())
        started, held = self._clock(), self.encoder.ids
        try:
            computed = self.encoder.prefill(ids, cancel)
        except Cancelled:  # or who types fast on a slow machine would never be measured
            self._measure(len(self.encoder.ids) - shared_prefix(held, ids), started)
            raise
        self._measure(computed, started)
        return len(ids), computed

    def adjust(self) -> bool:
        """Keep to the budget from the next prompt on. Whether that changes anything."""
        tokens = self._budget.tokens
        if tokens == self._profile.max_prompt_tokens:
            return False
        self._use(replace(self._profile, max_prompt_tokens=tokens))
        return True

    def drop(self) -> bool:
        """Forget what is held, because memory ran out, and keep less from now on. False if it can't be less."""
        less = self._budget.halve()
        self.adjust()
        self.encoder.drop()  # whoever else has it would keep its memory
        self.encoder = self._new_encoder()
        return less

    def _use(self, profile: Profile) -> None:
        self._profile = profile
        self._prompt = open_prompt(self._loaded.tokenizer, profile, self._loaded.folder)
        # Typing inside the region leaves the context as it is, and tokenising one of 4,096 tokens took 37 ms (CPU).
        self._encode = lru_cache(maxsize=1)(self._prompt.encode)

    def _new_encoder(self) -> Encoder[Any]:
        """With room for all of a prompt from the start: other buffers would void what was captured."""
        return Encoder(self._model.keep, capacity=max(_LEAST, self._profile.max_prompt_tokens))

    def _measure(self, tokens: int, started: float) -> None:
        if self._budget.measures and tokens >= TELLING:
            finish(self._loaded.device)  # it was only told what to do
            self._budget.read(tokens, (self._clock() - started) * 1000)
