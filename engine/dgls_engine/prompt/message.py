"""The message to a chat model: an instruction, the code around a hole, and what the user wants there.

An encoding turns texts into ids and decides what a budget counts: a tokenizer makes it tokens, `Characters` characters,
for servers whose tokenizer is not known. Knows no chat template and no tensors; runs on the engine thread.
"""

from __future__ import annotations

from collections.abc import Sequence

from dgls_engine.errors import BrokenCheckpoint, RequestTooLarge
from dgls_engine.prompt.excerpts import Encoding, fit, fit_snippets, start_of
from dgls_engine.types import Context, Snippet

SNIPPETS = 4
"""Snippets get at most 1/SNIPPETS of the budget; the file's text gets the rest."""

CURRENT, _WORDS = 2, 4
"""Code to rewrite gets at most 1/CURRENT of the budget, an instruction at most 1/_WORDS."""

_LONGEST_NAME = 200
"""The prompt shows at most this many characters of a path or a language's name."""

# The message calls the hole a region, because a model does not know our terms.
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


class Characters:
    """An encoding whose ids are the characters' code points."""

    def encode(self, text: str) -> list[int]:
        return list(map(ord, text))

    def token_bytes(self, id: int) -> bytes:
        return chr(id).encode("utf-8", "surrogatepass")

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(map(chr, ids))


class Message:
    """At most `most` ids long."""

    def __init__(self, encoding: Encoding, most: int) -> None:
        self._encoding, self._most = encoding, most

    def encode(self, context: Context, used: int = 0, ending: str = "") -> list[int]:
        """The message's ids, in what `used` ids leave of the budget; `ending` is its last paragraph. Raises
        `RequestTooLarge` if there is no room for the code to rewrite or for the instruction."""
        encode = self._encoding.encode
        header = f"File: {context.path[-_LONGEST_NAME:]}\n" if context.path else ""
        header += f"Language: {context.language[:_LONGEST_NAME]}\n" if context.language else ""
        opening = encode(f"{_INSTRUCTION}\n\n{header}")
        below_opens = encode("\nText below the region:\n<below>\n")
        middle = encode("\n</below>\n\nText above the region:\n<above>\n")
        closing = encode("\n</above>\n\nWrite the region.")
        last = encode(f"\n\n{ending}") if ending else []
        scaffold = used + sum(map(len, (opening, below_opens, middle, closing, last)))
        budget = room(self._most, scaffold)
        snippets = self._snippets(context.snippets, budget // SNIPPETS)
        task = self._task(context, budget)
        below, above = fit(self._encoding, context, budget - len(snippets) - len(task))
        return [*opening, *snippets, *below_opens, *below, *middle, *above, *closing, *task, *last]

    def _task(self, context: Context, budget: int) -> list[int]:
        """The ids of the code to rewrite and of the instruction; empty if the context has neither."""
        ids: list[int] = []
        if context.current:
            ids += self._tagged(_CURRENT_OPENS, context.current, "\n</current>", budget // CURRENT)
        if context.instruction:
            ids += self._tagged(_INSTRUCTION_OPENS, context.instruction, "\n</instruction>", budget // _WORDS)
        return ids

    def _tagged(self, opens: str, text: str, closes: str, room: int) -> list[int]:
        """The text between its tags, in at most `room` ids. A text that is too long is cut and ends with a note."""
        head, tail, cut = (self._encoding.encode(part) for part in (opens, closes, _CUT))
        text_room = room - len(head) - len(tail)
        if text_room < len(cut):
            raise RequestTooLarge(
                "the model's prompt has no room for code to rewrite or for an instruction; allow a longer prompt, or "
                "take another model"
            )
        return [*head, *start_of(self._encoding, text, text_room, cut), *tail]

    def _snippets(self, snippets: Sequence[Snippet], room: int) -> list[int]:
        encode = self._encoding.encode
        opens, closes = encode("\nDefinitions in other files:\n<definitions>\n"), encode("</definitions>\n")
        texts = [f"File: {snippet.path[-_LONGEST_NAME:]}\n{snippet.text}" for snippet in snippets]
        ids = fit_snippets(self._encoding, texts, room - len(opens) - len(closes))
        return [*opens, *ids, *closes] if ids else []


def room(most: int, scaffold: int) -> int:
    """What is left of a prompt of `most` ids beside `scaffold`. Raises `BrokenCheckpoint` if `scaffold` is longer."""
    if scaffold > most:
        raise BrokenCheckpoint(f"the profile's max_prompt_tokens must be at least {scaffold}, it is {most}")
    return most - scaffold
