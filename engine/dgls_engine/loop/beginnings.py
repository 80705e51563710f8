"""Keeps fills that are decided from the left to the ways in which their holes may begin, and must not.

Which tokens a row may hold depends on the blanks that are decided before it: "if" may be right at one indentation and
wrong at another. Behind its first word, a fill may go on with any token. Knows tokens and no model; runs on the engine
thread. Shapes: V vocabulary.
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
        self._banned = lru_cache(maxsize=64)(self._not_allowed)

    def of(self, canvas: Canvas) -> Banned | None:
        """The rule for the rows of `canvas`; None if none of its holes has one."""
        if not any(hole.begins or hole.avoid for hole in canvas.holes):
            return None
        places = [(hole, place - hole.start) for hole in canvas.holes for place in range(hole.start, hole.end)]

        def banned(draft: Sequence[int], row: int) -> Tensor | None:
            hole, decided = places[row]
            before = self._tokenizer.decode(draft[row - decided : row])
            before = before.encode()[len(hole.freed) :].decode(errors="replace") if decided else ""
            blanks, begun = _split(before)
            if begun:
                return self._continuing if _is_unfinished(blanks, begun, hole.begins) else None
            return self._banned(hole.begins, hole.avoid, blanks, hole.freed if decided == 0 else b"")

        return banned

    def _not_allowed(
        self, begins: tuple[Beginning, ...], avoid: tuple[str, ...], before: str, prefix: bytes
    ) -> Tensor | None:
        """None if nothing is banned: the blanks `before` fit no beginning."""
        avoided = [id for code in avoid for id in self._by_code(prefix).get(code, ())]
        allowed = self._allowed(begins, before, prefix)
        if not allowed and not avoided:
            return None
        banned = torch.full((self._size,), bool(allowed))
        banned[allowed] = False
        banned[avoided] = True
        return sent(banned, self._device)

    def _allowed(self, begins: tuple[Beginning, ...], before: str, prefix: bytes) -> list[int]:
        """The tokens that fit a beginning."""
        tokens = self._tokens(prefix)
        allowed: list[int] = []
        for beginning in begins:
            if not beginning.indent.startswith(before):
                continue
            blanks = beginning.indent[len(before) :]
            for some, by_word in tokens.items():
                if blanks.startswith(some):
                    allowed += by_word.get(None, ())
            for word, ids in tokens.get(blanks, {}).items():
                if word is not None and (word in beginning.words) is not beginning.others:
                    allowed += ids
        return allowed

    @cached_property
    def _continuing(self) -> Tensor:
        """The tokens that continue a word."""
        words = [word for word in self._tokens(b"")[""] if word]
        continuing = torch.zeros(self._size, dtype=torch.bool)
        continuing[[id for word in words for id in self._tokens(b"")[""][word]]] = True
        return sent(continuing, self._device)

    def _by_text(self, prefix: bytes) -> _Tokens:
        """The tokens that begin with `prefix`, by the text behind it."""
        tokens: defaultdict[str, defaultdict[str | None, list[int]]] = defaultdict(lambda: defaultdict(list))
        for id, text in self._texts(prefix):
            blanks, code = _split(text)
            if code.lstrip("\r").startswith("\n") or (not text and not prefix):
                continue  # such a fill is empty, and a special token has no text
            word = _WORD.match(code)
            assert word is not None
            tokens[blanks][word[0] if code else None].append(id)
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


def _is_unfinished(blanks: str, begun: str, begins: Sequence[Beginning]) -> bool:
    """Is what has `begun` a word that the fill has to begin with? Then it must not become another one."""
    return any(each.indent == blanks and begun in each.words and not each.others for each in begins)


def _split(text: str) -> tuple[str, str]:
    blanks = _BLANKS.match(text)
    assert blanks is not None
    return blanks[0], text[blanks.end() :]
