"""What is said to a chat server and what it says back, as JSON: `/v1/chat/completions`, as OpenAI defined it.

Only the plainest fields are sent, as some servers refuse others. Thoughts that come in fields of their own are left
out. Pure; knows texts, no code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dgls_engine.remote import wire

PATH = "/v1/chat/completions"

_THOUGHTS = ("reasoning_content", "reasoning")
"""The fields in which servers send what a model thinks before it answers."""


@dataclass(frozen=True, slots=True)
class Said:
    """An answer: its text, whether it came to its `end` (else a limit cut it off), whether the model thought first."""

    text: str
    end: bool
    thought: bool


def body(message: str, model: str, most_tokens: int, temperature: float) -> dict[str, Any]:
    return {
        "model": model,
        "messages": [{"role": "user", "content": scalars(message)}],
        "max_tokens": most_tokens,
        "temperature": temperature,
        "stream": True,
    }


def scalars(text: str) -> str:
    """The text with U+FFFD in place of halves of surrogate pairs, which have no UTF-8."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


@dataclass(slots=True)
class Gathering:
    """Puts the events of one stream together. Its text so far may be read at any time."""

    _parts: list[str] = field(default_factory=list)
    _reason: str = ""
    _ended: bool = False
    _thought: bool = False

    @property
    def so_far(self) -> Said:
        end = (self._ended or bool(self._reason)) and self._reason != "length"
        return Said(scalars("".join(self._parts)), end, self._thought)

    def take(self, line: str) -> None:
        self._ended = self._ended or wire.ends(line)
        event = None if self._ended else wire.event_in(line)
        try:
            for choice in (event or {}).get("choices") or ():
                self._add(choice)
        except (TypeError, ValueError, AttributeError) as error:
            raise wire.Malformed(f"a part of an answer is not as expected ({type(error).__name__})") from None

    def told(self) -> Said:
        """All of it, once the stream has ended. Some servers end it without `[DONE]`, but none without a reason."""
        if not (self._ended or self._reason):
            raise wire.Malformed("an answer broke off" if self._parts else "an answer is no stream of a chat's events")
        return self.so_far

    def _add(self, choice: Mapping[str, Any]) -> None:
        delta = choice.get("delta") or {}
        content, reason = delta.get("content"), choice.get("finish_reason")
        if not isinstance(content, str | None) or not isinstance(reason, str | None):
            raise ValueError("a text that is none")
        self._thought = self._thought or any(delta.get(name) for name in _THOUGHTS)
        self._parts += [content] if content else []
        self._reason = reason or self._reason
