"""Makes the encoder's prompt, as token ids, from a context.

The profile names one of four formats:

    raw     <|below|> text below the canvas <|above|> text above it       of the embedded model
    chat    the model's chat template around an instruction and the two texts, thinking off
    plain   <start> text after the holes, text before them                for any language model
    around  text above the canvas <mask> text below it                    for models whose rows all see each other

`plain` and `around` also show the pinned text that the canvas has no room for. In `plain`, the canvas continues where
the prompt ends; in `around`, it stands in place of the mask token.

The keys and values of all tokens before a change stay valid, so text that changes often comes late in the prompt. All
other formats show the text below first, because users mostly change the text above, near the canvas. `chat` shows
snippets of other files first and the code to rewrite last, with the instruction. The others show both at the start of
the text above, as if they were code of the same file.

The user's text is always encoded as plain text, so nothing in it can end a turn or start another one. Knows tokens, no
tensors; runs on the engine thread.
"""

from __future__ import annotations

from copy import copy
from pathlib import Path
from typing import Protocol, Self

from dgls_engine.errors import UnsupportedModel
from dgls_engine.profile import Profile
from dgls_engine.prompt.excerpts import Encoding, Remembered, fit, fit_snippets
from dgls_engine.prompt.message import CURRENT, SNIPPETS, Message, room
from dgls_engine.prompt.template import Turn, read_template, render
from dgls_engine.text.canvas import Spilled
from dgls_engine.text.tokenizer import Tokenizer
from dgls_engine.types import Context

BELOW, ABOVE = "<|below|>", "<|above|>"
"""The special tokens of the `raw` format."""

THOUGHT_OPENS, THOUGHT_CLOSES = "<|channel>", "<channel|>"
"""The tokens around a thought. The tokenizer's config may name others."""

_NOTHING = Spilled()


class Prompt(Protocol):
    """A model's prompt format. `canvas_end`: the ids between the canvas' text and its padding. `canvas_start`: the
    first ids of a canvas that has no pinned text before its first hole. `takes_spilled`: whether the prompt shows the
    pinned text that the canvas has no room for."""

    takes_spilled: bool

    @property
    def canvas_end(self) -> tuple[int, ...]: ...

    @property
    def canvas_start(self) -> tuple[int, ...]: ...

    def encode(self, context: Context, spilled: Spilled = _NOTHING) -> list[int]:
        """The prompt's ids for this context, at most the profile's `max_prompt_tokens`. Raises `RequestTooLarge` if the
        prompt has no room for the code to rewrite or for the instruction."""
        ...

    def within(self, max_tokens: int) -> Self:
        """The same format with another bound. Raises `BrokenCheckpoint` if the format needs more tokens."""
        ...


def open_prompt(tokenizer: Tokenizer, profile: Profile, folder: Path) -> Prompt:
    """The prompt format of the checkpoint in `folder`. A chat template runs here, and only here. Raises
    `BrokenCheckpoint` or `UnsupportedModel` if the tokenizer or the template does not fit the format that the profile
    names."""
    if profile.prompt_format == "raw":
        return RawPrompt(tokenizer, profile.max_prompt_tokens)
    if profile.prompt_format == "plain":
        return PlainPrompt(tokenizer, profile.max_prompt_tokens)
    if profile.prompt_format == "around":
        return AroundPrompt(tokenizer, profile)
    return ChatPrompt(tokenizer, profile.max_prompt_tokens, render(read_template(folder), tokenizer.roles))


class RawPrompt:
    """`<|below|>`, text below, `<|above|>`, text above. Only padding follows the canvas' text.

    It ignores the instruction.
    """

    canvas_end: tuple[int, ...] = ()
    takes_spilled = False

    def __init__(self, tokenizer: Tokenizer, max_tokens: int) -> None:
        self._tokenizer = tokenizer
        self._below, self._above = tokenizer.id_of(BELOW), tokenizer.id_of(ABOVE)
        self.canvas_start: tuple[int, ...] = (self._above,)
        self._budget = room(max_tokens, 2)

    def within(self, max_tokens: int) -> Self:
        same = copy(self)
        same._budget = room(max_tokens, 2)
        return same

    def encode(self, context: Context, spilled: Spilled = _NOTHING) -> list[int]:
        shown, below, above = _file(self._tokenizer, context, self._budget, _NOTHING)
        return [self._below, *below, self._above, *shown, *above]


class PlainPrompt:
    """The tokenizer's start token, the code after the holes, the code before them: any code model can read this.

    It ignores the instruction. Snippets and code to rewrite are where `raw` shows them.
    """

    canvas_end: tuple[int, ...] = ()
    takes_spilled = True

    def __init__(self, tokenizer: Tokenizer, max_tokens: int) -> None:
        self.canvas_start: tuple[int, ...] = _start(tokenizer)
        self._budget = room(max_tokens, 1)
        self._remembered = Remembered(tokenizer)

    def within(self, max_tokens: int) -> Self:
        same = copy(self)
        same._budget = room(max_tokens, 1)
        return same

    def encode(self, context: Context, spilled: Spilled = _NOTHING) -> list[int]:
        shown, below, above = _file(self._remembered, context, self._budget, spilled)
        return [*self.canvas_start, *below, *shown, *above]


class AroundPrompt:
    """The code above the canvas, the mask token in place of the canvas, the code below it; if the profile says so,
    between the tokenizer's start and end token.

    It ignores the instruction. Snippets and code to rewrite are where `raw` shows them.
    """

    canvas_end: tuple[int, ...] = ()
    takes_spilled = True

    def __init__(self, tokenizer: Tokenizer, profile: Profile) -> None:
        self.canvas_start: tuple[int, ...] = _start(tokenizer)
        self._opens = self.canvas_start if profile.enclosed else ()
        self._closes = (tokenizer.id_of(tokenizer.roles.get("eos_token", "")),) if profile.enclosed else ()
        self._mask = tokenizer.id_of(profile.mask_token)
        self._fixed = 1 + len(self._opens) + len(self._closes)
        self._budget = room(profile.max_prompt_tokens, self._fixed)
        self._remembered = Remembered(tokenizer)

    def within(self, max_tokens: int) -> Self:
        same = copy(self)
        same._budget = room(max_tokens, self._fixed)
        return same

    def encode(self, context: Context, spilled: Spilled = _NOTHING) -> list[int]:
        shown, below, above = _file(self._remembered, context, self._budget, spilled)
        return [*self._opens, *shown, *above, self._mask, *below, *self._closes]


def _start(tokenizer: Tokenizer) -> tuple[int, ...]:
    """The token that stands in front of a text."""
    return (tokenizer.id_of(tokenizer.roles.get("bos_token", tokenizer.roles.get("eos_token", ""))),)


def _file(
    tokenizer: Encoding, context: Context, budget: int, spilled: Spilled
) -> tuple[list[int], list[int], list[int]]:
    """The ids of snippets and code to rewrite, of the text below, and of the text above, together at most `budget`."""
    shown = fit_snippets(tokenizer, [snippet.text for snippet in context.snippets], budget // SNIPPETS)
    if context.current:
        shown += fit_snippets(tokenizer, [context.current], budget // CURRENT)
    below, above = fit(tokenizer, context, budget - len(shown), spilled)
    return shown, below, above


class ChatPrompt:
    """One user turn in the model's chat template, then the start of the model's turn with an empty thought.

    The prompt contains the empty thought even if the template leaves it out: otherwise the model writes a thought into
    the canvas.
    """

    takes_spilled = False

    def __init__(self, tokenizer: Tokenizer, max_tokens: int, turn: Turn) -> None:
        self._tokenizer, self._message = tokenizer, Message(tokenizer, max_tokens)
        thought = _empty_thought(tokenizer)
        self._head = tokenizer.encode_scaffold(turn.head)
        self._tail = tokenizer.encode_scaffold(turn.tail if thought in turn.tail else turn.tail + thought)
        ends = [id for id in tokenizer.encode_scaffold(turn.closing) if id in tokenizer.special_ids]
        if not ends:
            raise UnsupportedModel(
                "the model's chat template ends a turn without a special token, so nothing can close a canvas; "
                "take another model"
            )
        self.canvas_end: tuple[int, ...] = (ends[0],)
        self.canvas_start: tuple[int, ...] = tuple(self._tail[-1:])

    def within(self, max_tokens: int) -> Self:
        same = copy(self)
        same._message = Message(self._tokenizer, max_tokens)
        return same

    def encode(self, context: Context, spilled: Spilled = _NOTHING) -> list[int]:
        message = self._message.encode(context, used=len(self._head) + len(self._tail))
        return [*self._head, *message, *self._tail]


def _empty_thought(tokenizer: Tokenizer) -> str:
    """The text of an empty thought, which turns thinking off; "" if the vocabulary has no tokens for it."""
    opens = tokenizer.roles.get("soc_token", THOUGHT_OPENS)
    closes = tokenizer.roles.get("eoc_token", THOUGHT_CLOSES)
    return f"{opens}thought\n{closes}" if tokenizer.has(opens) and tokenizer.has(closes) else ""
