"""The encoder's prompt: what a model reads beside the canvas, as token ids.

Two formats, by the profile. `raw` is the embedded model's own: the text below the canvas, then the text above it,
each behind its special token. `chat` is an instruction-tuned model's: its chat template, thinking off, around an
instruction that shows the same two texts. The text below comes first in both, because what changes while a user
works stands mostly above the canvas and near it: a change leaves the tokens before it, and so their keys and
values, as they were. For the same reason texts are shortened in coarse steps and not token by token. Snippets of
other files change least: `chat` shows them first of all. `raw` has no place of its own for them, so there they
stand at the head of the text above, as code of the same file would. Code to be written anew stands there too, behind
them; in `chat` it comes last, with the words that say what is wanted, so that the same file's prompts begin alike
whatever is asked.

The user's text is only ever tokenised as plain text, so nothing in it can end a turn or open another one. Knows
tokens, no tensors; runs on the engine thread.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from dgls_engine.errors import BrokenCheckpoint, RequestTooLarge, UnsupportedModel
from dgls_engine.profile import Profile, read_json
from dgls_engine.text.tokenizer import Tokenizer
from dgls_engine.types import Context, Snippet

BELOW, ABOVE = "<|below|>", "<|above|>"
"""The special tokens of the `raw` format."""

THOUGHT_OPENS, THOUGHT_CLOSES = "<|channel>", "<channel|>"
"""What opens and closes a thought, unless the tokenizer's config names others."""

_STEPS = 8
"""A text is shortened in steps of this part of its budget."""

_SNIPPETS = 4
"""Snippets get at most one part in so many of the budget; the file gets all that they leave."""

_CURRENT, _WORDS = 2, 4
"""One part in so many is the most that code to be written anew gets of it, and that an instruction does."""

_CHARACTERS_PER_TOKEN = 6
"""More than code has on average: how much text is worth tokenising for a budget."""


_LONGEST_NAME = 200
"""Characters of a path that the prompt has room for."""


class Prompt(Protocol):
    """A model's prompt format. `canvas_end` are the ids that close the canvas' text (padding follows)."""

    @property
    def canvas_end(self) -> tuple[int, ...]: ...

    def encode(self, context: Context) -> list[int]:
        """The prompt's ids for this context, at most the profile's `max_prompt_tokens`. Raises `RequestTooLarge` where
        so short a prompt has no room at all for what is asked."""
        ...


def open_prompt(tokenizer: Tokenizer, profile: Profile, folder: Path) -> Prompt:
    """The prompt format of the checkpoint in `folder`. Raises `BrokenCheckpoint` or `UnsupportedModel` if its
    tokenizer or its template cannot make the prompts that the profile names."""
    if profile.prompt_format == "raw":
        return RawPrompt(tokenizer, profile.max_prompt_tokens)
    return ChatPrompt(tokenizer, profile.max_prompt_tokens, read_template(folder))


class RawPrompt:
    """`<|below|>` text below `<|above|>` text above; the canvas follows and ends in padding alone.

    It has no place for an instruction.
    """

    canvas_end: tuple[int, ...] = ()

    def __init__(self, tokenizer: Tokenizer, max_tokens: int) -> None:
        self._tokenizer = tokenizer
        self._below, self._above = tokenizer.id_of(BELOW), tokenizer.id_of(ABOVE)
        self._budget = _room(max_tokens, 2)

    def encode(self, context: Context) -> list[int]:
        texts = [snippet.text for snippet in context.snippets]
        shown = fit_snippets(self._tokenizer, texts, self._budget // _SNIPPETS)
        if context.current:
            shown += fit_snippets(self._tokenizer, [context.current], self._budget // _CURRENT)
        below, above = fit(self._tokenizer, context, self._budget - len(shown))
        return [self._below, *below, self._above, *shown, *above]


class ChatPrompt:
    """One user turn in the model's own template, and the model's turn opened behind an empty thought.

    The thought belongs to the prompt even where the template leaves it out: a model that finds none would write
    one into the canvas.
    """

    def __init__(self, tokenizer: Tokenizer, max_tokens: int, template: str) -> None:
        self._tokenizer, self._max_tokens = tokenizer, max_tokens
        head, tail = _render(template, tokenizer, generation=True)
        thought = _empty_thought(tokenizer)
        self._head = tokenizer.encode_scaffold(head)
        self._tail = tokenizer.encode_scaffold(tail if thought in tail else tail + thought)
        _, closing = _render(template, tokenizer, generation=False)
        ends = [id for id in tokenizer.encode_scaffold(closing) if id in tokenizer.special_ids]
        if not ends:
            raise UnsupportedModel("the chat template ends a turn without a special token, so a canvas cannot be ended")
        self.canvas_end: tuple[int, ...] = (ends[0],)

    def encode(self, context: Context) -> list[int]:
        tokenizer = self._tokenizer
        where = f"File: {context.path[-_LONGEST_NAME:]}\n" if context.path else ""
        where += f"Language: {context.language[:_LONGEST_NAME]}\n" if context.language else ""
        opening = tokenizer.encode(f"{_INSTRUCTION}\n\n{where}")
        below_opens = tokenizer.encode("\nText below the region:\n<below>\n")
        middle = tokenizer.encode("\n</below>\n\nText above the region:\n<above>\n")
        closing = tokenizer.encode("\n</above>\n\nWrite the region.")
        scaffold = sum(map(len, (self._head, opening, below_opens, middle, closing, self._tail)))
        budget = _room(self._max_tokens, scaffold)
        snippets = self._snippets(context.snippets, budget // _SNIPPETS)
        task = self._task(context, budget)
        below, above = fit(tokenizer, context, budget - len(snippets) - len(task))
        file = [*snippets, *below_opens, *below, *middle, *above]
        return [*self._head, *opening, *file, *closing, *task, *self._tail]

    def _task(self, context: Context, budget: int) -> list[int]:
        """What stood in the region, and what is wanted of it; nothing where neither is said."""
        ids: list[int] = []
        if context.current:
            ids += self._tagged(_CURRENT_OPENS, context.current, "\n</current>", budget // _CURRENT)
        if context.instruction:
            ids += self._tagged(_INSTRUCTION_OPENS, context.instruction, "\n</instruction>", budget // _WORDS)
        return ids

    def _tagged(self, opens: str, text: str, closes: str, room: int) -> list[int]:
        """At most `room` tokens; of a text that is too long the start, and that this is so."""
        head, tail, cut = (self._tokenizer.encode(part) for part in (opens, closes, _CUT))
        left = room - len(head) - len(tail)
        if left < len(cut):
            raise RequestTooLarge(
                f"the model's prompt of {self._max_tokens} tokens has no room for code to rewrite or for an instruction"
            )
        return [*head, *_start_of(self._tokenizer, text, left, cut), *tail]

    def _snippets(self, snippets: Sequence[Snippet], room: int) -> list[int]:
        tokenizer = self._tokenizer
        opens = tokenizer.encode("\nDefinitions in other files:\n<definitions>\n")
        closes = tokenizer.encode("</definitions>\n")
        texts = [f"File: {snippet.path[-_LONGEST_NAME:]}\n{snippet.text}" for snippet in snippets]
        ids = fit_snippets(tokenizer, texts, room - len(opens) - len(closes))
        return [*opens, *ids, *closes] if ids else []


_INSTRUCTION = (
    "A region in the middle of a file is missing. You are shown the text below it and the text above it. Reply with "
    "exactly the text of the region, from its first character to its last, with its indentation: no explanation, no "
    "code fence, nothing repeated from above or below."
)

_CURRENT_OPENS = (
    "\n\nUntil now the region held the text between the following tags. Replace it: reply with the region's new text, "
    "which may keep lines of it.\n<current>\n"
)
_INSTRUCTION_OPENS = "\n\nWhat the region's text has to be like, in the user's words:\n<instruction>\n"
_CUT = "\n[the rest is left out]"


def fit(tokenizer: Tokenizer, context: Context, budget: int) -> tuple[list[int], list[int]]:
    """Ids of the start of `below` and of the end of `above`, together at most `budget`, cut between lines.

    Above may take two thirds and leaves the rest, in steps, to below. Its cut moves only when it has grown by a
    step, so most of its ids stay the same while text is added at its end.
    """
    window = _window(context.above, budget)
    above = tokenizer.encode(window)
    step = max(1, budget // _STEPS)
    above_budget = min(budget - budget // 3, _up_to_step(len(above), step))
    above = _keep_end(tokenizer, above, above_budget, step)
    return _start_of(tokenizer, context.below, budget - above_budget), above


def fit_snippets(tokenizer: Tokenizer, texts: Sequence[str], room: int) -> list[int]:
    """Ids of the first texts, each ended by a line break, together at most `room`; the last is cut between lines."""
    ids: list[int] = []
    for text in texts:
        left = max(0, room - len(ids))
        worth = text[: left * _CHARACTERS_PER_TOKEN]
        whole = len(worth) == len(text)
        own = tokenizer.encode(text.removesuffix("\n") + "\n" if whole else worth)
        if not whole or len(own) > left:
            ends = (
                at for at in range(min(left, len(own)), 0, -1) if tokenizer.token_bytes(own[at - 1]).endswith(b"\n")
            )
            return [*ids, *own[: next(ends, 0)]]
        ids += own
    return ids


def _window(text: str, budget: int) -> str:
    """The end of a text that is worth tokenising; starts on a line, and moves in steps as the text grows."""
    most = budget * _CHARACTERS_PER_TOKEN
    if len(text) <= most:
        return text
    start = _up_to_step(len(text) - most, max(1, most // _STEPS))
    line = text.find("\n", start - 1) + 1
    return text[line or start :]


def _keep_end(tokenizer: Tokenizer, ids: list[int], budget: int, step: int) -> list[int]:
    if len(ids) <= budget:
        return ids
    start = min(len(ids), _up_to_step(len(ids) - budget, step))
    borders = (at for at in range(start, len(ids)) if tokenizer.token_bytes(ids[at - 1]).endswith(b"\n"))
    return ids[next(borders, start) :]


def _start_of(tokenizer: Tokenizer, text: str, budget: int, cut: Sequence[int] = ()) -> list[int]:
    """Ids of a text, or of as many of its first lines as there is a budget for, and `cut`."""
    worth = text[: budget * _CHARACTERS_PER_TOKEN]
    ids = tokenizer.encode(worth)
    if len(ids) <= budget and len(worth) == len(text):
        return ids
    end = min(len(ids), budget - len(cut))
    borders = (at for at in range(end, 0, -1) if tokenizer.token_bytes(ids[at - 1]).endswith(b"\n"))
    return [*ids[: next(borders, end)], *cut]


def _up_to_step(count: int, step: int) -> int:
    return -(-count // step) * step


def _room(max_tokens: int, scaffold: int) -> int:
    if scaffold > max_tokens:
        raise BrokenCheckpoint(f"the profile's max_prompt_tokens must be at least {scaffold}, it is {max_tokens}")
    return max_tokens - scaffold


def read_template(folder: Path) -> str:
    """The checkpoint's chat template: `chat_template.jinja`, or where older checkpoints keep it."""
    try:
        return (folder / "chat_template.jinja").read_text(encoding="utf-8")
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        raise BrokenCheckpoint(f"{folder / 'chat_template.jinja'} cannot be read ({error})") from None
    for name in ("chat_template.json", "tokenizer_config.json"):
        if (folder / name).is_file():
            template = read_json(folder / name).get("chat_template")
            if isinstance(template, str):
                return template
    raise UnsupportedModel(f"{folder} has no chat template; take an instruction-tuned checkpoint")


def _render(template: str, tokenizer: Tokenizer, generation: bool) -> tuple[str, str]:
    """What the template writes before and after a user's message.

    The message is a random word: the template, run in transformers' sandbox, never sees the user's text.
    """
    from transformers.utils.chat_template_utils import render_jinja_template

    word = secrets.token_hex(16)
    values: dict[str, Any] = {**tokenizer.roles, "enable_thinking": False}
    try:
        rendered: Any = render_jinja_template(  # annotated as a str, gives (texts, masks)
            [[{"role": "user", "content": word}]], chat_template=template, add_generation_prompt=generation, **values
        )[0]
    except Exception as error:  # whatever a stranger's template raises
        raise UnsupportedModel(f"the model's chat template cannot be used: {error}") from error
    parts = rendered[0].split(word)
    if len(parts) != 2:
        raise UnsupportedModel(f"the model's chat template shows a user's message {len(parts) - 1} times, not once")
    return parts[0], parts[1]


def _empty_thought(tokenizer: Tokenizer) -> str:
    """The block that says "no thinking"; empty for a vocabulary that has no such thing."""
    opens = tokenizer.roles.get("soc_token", THOUGHT_OPENS)
    closes = tokenizer.roles.get("eoc_token", THOUGHT_CLOSES)
    return f"{opens}thought\n{closes}" if tokenizer.has(opens) and tokenizer.has(closes) else ""
