"""What answers behind the fake server: our own model in vLLM's manner, or a script.

`Modelled` does to a canvas what vLLM 0.33 does in `_compiled_sample_step`, traits included: noise from a generator
that all requests share, entropies averaged over pins and holes alike, no self-conditioning at pins, no rule for what
may stand where, and the raw argmax of every position at the end, pinned ones too.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from dgls_engine.loop.sampler import accepted
from dgls_engine.model.diffusion_gemma import decoder
from dgls_engine.model.diffusion_gemma.prompt_cache import prompt_factory
from dgls_engine.prompt.encoder import Encoder
from dgls_engine.text.tokenizer import Tokenizer
from dgls_engine.weights.loader import LoadedModel

Stopped = Callable[[], bool]


@dataclass(frozen=True)
class Ended:
    """`likely` [C, V]: log-probabilities at temperature 1."""

    ids: Sequence[int]
    likely: Tensor

    def logprobs(self, position: int, wanted: Sequence[int], likeliest: int) -> Mapping[int, float]:
        row = self.likely[position]
        ids = [*wanted, *(row.topk(likeliest).indices.tolist() if likeliest else ())]
        return dict(zip(ids, row[torch.tensor(ids)].tolist(), strict=True))


class Modelled:
    """One request at a time; `steps` are those of all. Of the last canvas: the mean entropy, in nats, of all positions
    when it ended, by which that was decided, and of those alone that were not pinned."""

    def __init__(self, loaded: LoadedModel) -> None:
        self._loaded = loaded
        self._model = loaded.model
        self.vocabulary: int = loaded.model.model.decoder.vocab_size
        self.steps = 0
        self.mean_at_end = self.hole_mean_at_end = 0.0
        self._one = threading.Lock()

    def stepped(self) -> None:
        self.steps += 1

    def tokens(self, text: str) -> list[int]:
        return self._loaded.tokenizer.encode(text)

    @torch.inference_mode()
    def denoise(
        self,
        prompt: Sequence[int],
        canvas: Sequence[int],
        pinned: Sequence[int],
        most: int,
        stopped: Callable[[], bool],
    ) -> Ended | None:
        with self._one:
            return None if stopped() else self._denoise(prompt, canvas, pinned, most, stopped)

    def _denoise(
        self, prompt: Sequence[int], seed: Sequence[int], pinned: Sequence[int], most: int, stopped: Stopped
    ) -> Ended | None:
        model, profile = self._model, self._loaded.profile
        encoder = Encoder(prompt_factory(model))
        encoder.prefill(prompt)
        seen = encoder.cache.seen()
        seeded = torch.tensor(seed)
        held = torch.zeros(len(seed), dtype=torch.bool)
        held[torch.tensor(list(pinned), dtype=torch.long)] = True
        ids, soft, history = seeded.clone(), None, []
        for step in range(min(most, profile.max_steps)):
            if stopped():
                return None
            self.stepped()
            hidden = decoder.decode(model, ids[None], soft, seen, decoder.NO_MASKS, len(prompt))
            logits = decoder.logits(model, hidden)[0]
            remaining = (profile.max_steps - step) / profile.max_steps
            tempered = logits / (profile.t_min + (profile.t_max - profile.t_min) * remaining)
            chances = tempered.softmax(-1)
            entropies = torch.special.entr(chances).sum(-1)
            history.append(logits.argmax(-1))
            drawn = torch.multinomial(chances, 1)[:, 0]
            ids = torch.where(
                accepted(entropies, profile.entropy_bound), drawn, torch.randint(self.vocabulary, ids.shape)
            )
            ids = torch.where(held, seeded, ids)
            soft = decoder.soft_embeddings(model, tempered)[None].masked_fill(held[None, :, None], 0.0)
            recent = history[-profile.stability_threshold - 1 :]
            self.mean_at_end, self.hole_mean_at_end = float(entropies.mean()), float(entropies[~held].mean())
            stable = len(recent) > profile.stability_threshold and all(torch.equal(one, recent[0]) for one in recent)
            if stable and float(entropies.mean()) < profile.confidence_threshold:
                break
        return Ended(history[-1].tolist(), logits.log_softmax(-1))


@dataclass
class Scripted:
    """Fills every free position with `fill` in turn, after `seconds`; where a token was wanted it was likely."""

    tokenizer: Tokenizer
    fill: Sequence[int]
    vocabulary: int
    seconds: float = 0.0
    stopped: int = 0
    running: int = 0
    most_at_once: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def tokens(self, text: str) -> list[int]:
        return self.tokenizer.encode(text)

    def denoise(
        self,
        prompt: Sequence[int],
        canvas: Sequence[int],
        pinned: Sequence[int],
        most: int,
        stopped: Callable[[], bool],
    ) -> Ended | None:
        with self._lock:
            self.running += 1
            self.most_at_once = max(self.most_at_once, self.running)
        try:
            end = time.monotonic() + self.seconds
            while time.monotonic() < end:
                if stopped():
                    self.stopped += 1
                    return None
                time.sleep(0.002)
            return self._filled(canvas, pinned)
        finally:
            with self._lock:
                self.running -= 1

    def _filled(self, canvas: Sequence[int], pinned: Sequence[int]) -> Ended:
        held, ids = set(pinned), list(canvas)
        free = [position for position in range(len(canvas)) if position not in held]
        for turn, position in enumerate(free if held else ()):
            ids[position] = self.fill[turn % len(self.fill)]
        likely = torch.full((len(ids), self.vocabulary), -9.0)
        likely[torch.arange(len(ids)), torch.tensor(ids)] = -0.1
        return Ended(ids, likely)
