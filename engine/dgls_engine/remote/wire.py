"""What is said to a vLLM server (0.33 and up) and what it says back, as JSON: `/v1/completions` with `vllm_xargs`.

Every canvas goes as a read-only one: the server emits it with the step on which it settles, whole, an end-of-turn in
it notwithstanding, and with log-probabilities at temperature 1. What comes back is the raw argmax of every position,
pinned ones too. Pure; knows token ids and no text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

MOST_WANTED = 128
"""Ids whose log-probabilities one request may ask for (vLLM's MAX_LOGPROB_TOKEN_IDS)."""

MOST_LIKELY = 20
"""How many of the likeliest it may ask for instead (vLLM's --max-logprobs, unless that was set otherwise)."""

_ROUNDING = 1e-3
"""So far above 0 may a log-probability come back."""

_TOKEN = "token_id:"
"""How the server writes a token as its id."""


class Malformed(Exception):
    """An answer that is not what was asked for; the message says in what."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A canvas to denoise behind a prompt. Ids, positions counting from 0.

    The first `end` positions come back after at most `steps` steps. With each of them come the log-probabilities of
    the `wanted` ids, or of the `likely` likeliest ones.
    """

    prompt: Sequence[int]
    canvas: Sequence[int]
    pinned: Sequence[int]
    steps: int
    end: int
    wanted: Sequence[int] = ()
    likely: int = 0

    def __post_init__(self) -> None:
        assert 0 < self.end <= len(self.canvas), "some of the canvas is to come back"
        assert len(self.wanted) <= MOST_WANTED, "more log-probabilities than one request may ask for"


@dataclass(frozen=True, slots=True)
class Told:
    """The answer: the argmax `ids` of the first positions and their log-probabilities at temperature 1 in nats, and
    those of the others that were asked for, by id. `cached` prompt tokens were not computed again, if that was said."""

    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    others: tuple[Mapping[int, float], ...]
    cached: int | None


def body(ask: Ask, model: str) -> dict[str, Any]:
    """The request. What the server's own defaults could change about the logits is spelt out."""
    extra = {
        "diffusion_seed_canvas": list(ask.canvas),
        "diffusion_canvas_length": len(ask.canvas),
        "diffusion_pinned": list(ask.pinned),
        "diffusion_max_steps": ask.steps,
        "diffusion_read_only": 1,
    }
    fields: dict[str, Any] = {
        "model": model,
        "prompt": list(ask.prompt),
        "max_tokens": ask.end,
        "ignore_eos": True,
        "temperature": 1.0,
        "top_p": 1.0,
        "top_k": 0,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "stream": True,
        "stream_options": {"include_usage": True},
        "return_tokens_as_token_ids": True,
        "logprobs": len(ask.wanted) or ask.likely,
        "vllm_xargs": extra,
    }
    return fields | ({"logprob_token_ids": list(ask.wanted)} if ask.wanted else {})


def probe(model: str, canvas_tokens: int, token: int) -> dict[str, Any]:
    """Pins without a canvas: a server that can pin refuses that before it computes anything, and says why."""
    extra = {"diffusion_pinned": [0], "diffusion_canvas_length": canvas_tokens}
    return {"model": model, "prompt": [token], "max_tokens": 1, "vllm_xargs": extra}


def refused_for_pins(message: str) -> bool:
    """Whether a refusal of `probe` shows that the server knows what pins are."""
    return "diffusion_pinned" in message and "diffusion_seed_canvas" in message


def refused_for_width(message: str) -> bool:
    """Whether it shows that its canvas is narrower than ours."""
    return "diffusion_canvas_length" in message


@dataclass(slots=True)
class Gathering:
    """Puts the events of one stream together."""

    ask: Ask
    ended: bool = False
    _ids: list[int] = field(default_factory=list)
    _logprobs: list[float] = field(default_factory=list)
    _others: list[dict[int, float]] = field(default_factory=list)
    _cached: int | None = None

    def take(self, line: str) -> None:
        """One line of the stream. Raises as `event_in` does."""
        if ends(line):
            self.ended = True
        elif (event := event_in(line)) is not None:
            self._take(event)

    def told(self) -> Told:
        """All of it, once the stream has ended. Raises `Malformed` if it is not as much as was asked for."""
        if not self.ended:
            raise Malformed("an answer broke off")
        if len(self._ids) != self.ask.end:
            raise Malformed(f"an answer has {len(self._ids)} tokens where {self.ask.end} were asked for")
        if any(not others.keys() >= set(self.ask.wanted) for others in self._others):
            raise Malformed("an answer lacks log-probabilities that were asked for")
        return Told(tuple(self._ids), tuple(self._logprobs), tuple(self._others), self._cached)

    def _take(self, event: Mapping[str, Any]) -> None:
        try:
            for choice in event["choices"]:
                self._add(choice.get("logprobs"))
            if isinstance(usage := event.get("usage"), Mapping):
                self._check(usage)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Malformed(f"a part of an answer is not as expected ({type(error).__name__})") from None

    def _add(self, logprobs: Any) -> None:
        if logprobs is None:  # a last choice that brings nothing but the reason of the end
            return
        tokens, own, others = logprobs["tokens"], logprobs["token_logprobs"], logprobs["top_logprobs"]
        if not len(tokens) == len(own) == len(others):
            raise ValueError("lists of different lengths")
        self._ids += map(_id, tokens)
        self._logprobs += map(_nats, own)
        self._others += [{_id(token): _nats(nats) for token, nats in (some or {}).items()} for some in others]

    def _check(self, usage: Mapping[str, Any]) -> None:
        if usage["prompt_tokens"] != len(self.ask.prompt):
            raise Malformed(
                f"the server read a prompt of {usage['prompt_tokens']} tokens where {len(self.ask.prompt)} were sent"
            )
        details = usage.get("prompt_tokens_details")
        if isinstance(details, Mapping) and isinstance(details.get("cached_tokens"), int):
            self._cached = details["cached_tokens"]


class Refused(Exception):
    """An error that the server sent: its HTTP status and what it says."""

    def __init__(self, status: int, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.retry_after = status, message, retry_after


def ends(line: str) -> bool:
    """Whether a line of a stream is the mark of its end."""
    return line.startswith("data:") and line.removeprefix("data:").strip() == "[DONE]"


def event_in(line: str) -> dict[str, Any] | None:
    """The event in a line of a stream; None in empty lines, and in comments that keep the connection alive. Raises
    `Malformed`, and `Refused` for an error that came in the stream."""
    if not line.startswith("data:"):
        return None
    event = parsed(line.removeprefix("data:"))
    if event.get("error"):
        message, code = error_in(event)
        raise Refused(code, message)
    return event


def parsed(text: str) -> dict[str, Any]:
    """A JSON object. Raises `Malformed`."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise Malformed("an answer is no JSON") from None
    if not isinstance(value, dict):
        raise Malformed("an answer is no JSON object")
    return value


def error_in(value: Mapping[str, Any]) -> tuple[str, int]:
    """The message and the code of an error as servers of this API send it, in one line of bearable length."""
    error = value.get("error", value)
    message = error.get("message", error.get("detail", "")) if isinstance(error, Mapping) else error
    code = error.get("code") if isinstance(error, Mapping) else None
    line = " ".join(str(message).split())[:300]
    return line or "no reason given", code if isinstance(code, int) else 500


def _nats(told: float) -> float:
    """A server with another `--logprobs-mode` sends logits in their place."""
    if not told <= _ROUNDING:
        raise Malformed("what should be log-probabilities are none: is the server's --logprobs-mode raw_logprobs?")
    return min(0.0, float(told))


def _id(token: str) -> int:
    if not token.startswith(_TOKEN):
        raise ValueError("a token that is no id")
    return int(token.removeprefix(_TOKEN))
