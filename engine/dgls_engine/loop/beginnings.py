"""Keeps fills that are decided from the left to the ways in which their holes may begin, and must not.

Which tokens a row may hold depends on what is decided before it: "if" may be right at one indentation and wrong at
another. Behind such a beginning, a fill may go on with any token. Knows tokens and no model; runs on the engine thread.
Shapes: V vocabulary.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache

import torch
from torch import Tensor

from dgls_engine.model.batches import sent
from dgls_engine.text.canvas import Canvas
from dgls_engine.text.tokenizer import Tokenizer
from dgls_engine.types import Beginning

Banned = Callable[[Sequence[int], int], Tensor | None]
"""Maps a draft and its leftmost undecided row to the tokens that the row may not hold, bool [V]; None if it may hold
all."""

_BLANKS = re.compile(r"[ \t]*")
_WORD = re.compile(r"\w*")

_Tokens = Mapping[str, Mapping[str | None, Sequence[int]]]
"""Ids by the blanks that the token begins with and by the word behind them; None: nothing stands behind them."""


class Beginnings:
    """The sets of banned tokens, for one open model with a vocabulary of `size`."""

    def __init__(self, tokenizer: Tokenizer, size: int, device: torch.device) -> None:
        self._tokenizer, self._size, self._device = tokenizer, size, device
        self._tokens = lru_cache(maxsize=8)(self._by_text)
        self._by_code = lru_cache(maxsize=8)(self._by_whole_code)
        self._not_first = lru_cache(maxsize=64)(self._banned_first)

    def of(self, canvas: Canvas) -> Banned | None:
        """The rule for the rows of `canvas`; None if none of its holes has one."""
        if not any(hole.begins or hole.avoid for hole in canvas.holes):
            return None
        places = [(hole, place - hole.start) for hole in canvas.holes for place in range(hole.start, hole.end)]

        def banned(draft: Sequence[int], row: int) -> Tensor | None:
            hole, decided = places[row]
            before = self._tokenizer.decode(draft[row - decided : row])
            before = before.encode()[len(hole.freed) :].decode(errors="replace") if decided else ""
            if before.strip(" \t"):
                return self._banned_next(hole.begins, before)
            return self._not_first(hole.begins, hole.avoid, before, hole.freed if decided == 0 else b"")

        return banned

    def _banned_first(
        self, begins: tuple[Beginning, ...], avoid: tuple[str, ...], before: str, prefix: bytes
    ) -> Tensor | None:
        """Behind the blanks `before`. None if nothing is banned, as these blanks fit no beginning."""
        avoided = [id for code in avoid for id in self._by_code(prefix).get(code, ())]
        allowed = [id for each in begins for id in self._allowed(each, before, prefix)]
        return self._set(allowed, avoided) if allowed or avoided else None

    def _allowed(self, beginning: Beginning, before: str, prefix: bytes) -> Iterator[int]:
        """The tokens that fit behind the blanks `before`."""
        if not beginning.indent.startswith(before):
            return
        if not beginning.others:
            for text in beginning.texts:
                yield from self._towards(text[len(before) :], prefix)
            return
        tokens, blanks = self._tokens(prefix), beginning.indent[len(before) :]
        for some, by_word in tokens.items():
            if blanks.startswith(some):
                yield from by_word.get(None, ())
        for word, ids in tokens.get(blanks, {}).items():
            if word is not None and word not in beginning.words:
                yield from ids

    def _banned_next(self, begins: Sequence[Beginning], before: str) -> Tensor | None:
        """Behind `before`, with which the fill has begun."""
        indent = _BLANKS.match(before)
        assert indent is not None
        if any(each.others and each.indent == indent[0] for each in begins):
            return None
        texts = [text for each in begins if not each.others for text in each.texts]
        further = [id for text in texts if text.startswith(before) for id in self._towards(text[len(before) :], b"")]
        if before in texts and _is_word(before[-1]):
            return self._set([], [id for id in self._continuing if id not in further])
        return self._set(further, []) if further and before not in texts else None

    def _towards(self, text: str, prefix: bytes) -> Iterator[int]:
        """The tokens behind which `text` can stand whole: its first token, and tokens that it ends in. All of them
        begin with `prefix`, which is not part of the text."""
        if not text:
            return
        whole = prefix + text.encode()
        first = self._tokenizer.encode(whole.decode(errors="replace"))[:1]
        if all(self._tokenizer.token_bytes(id).startswith(prefix) for id in first):
            yield from first
        elif prefix:
            yield from (id for id in self._tokenizer.extending(prefix) if self._tokenizer.token_bytes(id) == prefix)
        for id in self._tokenizer.extending(whole):
            behind = self._tokenizer.token_bytes(id)[len(whole) :].decode(errors="replace")
            if not (_is_word(text[-1]) and _is_word(behind[:1])):
                yield id

    @cached_property
    def _continuing(self) -> list[int]:
        """The tokens that continue a word."""
        return [id for word, ids in self._tokens(b"")[""].items() if word for id in ids]

    def _set(self, allowed: Sequence[int], avoided: Sequence[int]) -> Tensor:
        """All but the `allowed` tokens, if there are any, and those to be `avoided`."""
        banned = torch.full((self._size,), bool(allowed))
        banned[list(allowed)] = False
        banned[list(avoided)] = True
        return sent(banned, self._device)

    def _by_text(self, prefix: bytes) -> _Tokens:
        """The tokens that begin with `prefix`, by the text behind it."""
        tokens: defaultdict[str, defaultdict[str | None, list[int]]] = defaultdict(lambda: defaultdict(list))
        for id, text in self._texts(prefix):
            blanks = _BLANKS.match(text)
            assert blanks is not None
            code = text[blanks.end() :]
            if code.lstrip("\r").startswith("\n") or (not text and not prefix):
                continue  # such a fill is empty, and a special token has no text
            word = _WORD.match(code)
            assert word is not None
            tokens[blanks[0]][word[0] if code else None].append(id)
        return tokens

    def _by_whole_code(self, prefix: bytes) -> Mapping[str, Sequence[int]]:
        """The tokens that begin with `prefix`, by the text behind it without blanks; "" stands for a line break."""
        tokens: defaultdict[str, list[int]] = defaultdict(list)
        for id, text in self._texts(prefix):
            if code := text.strip():
                tokens[code].append(id)
            elif "\n" in text:
                tokens[""].append(id)
        return tokens

    def _texts(self, prefix: bytes) -> Iterator[tuple[int, str]]:
        ids: Iterable[int] = self._tokenizer.extending(prefix) if prefix else range(self._size)
        for id in ids:
            yield id, self._tokenizer.token_bytes(id)[len(prefix) :].decode(errors="replace")


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"
