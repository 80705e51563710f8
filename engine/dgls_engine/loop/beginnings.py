"""Keeps fills that are decided from the left to the ways in which their holes may begin, and must not.

Which tokens a row may hold depends on what is decided before it: "if" may be right at one indentation and wrong at
another. Behind such a beginning, a fill may go on with any token. Knows tokens and no model; runs on the engine thread.
Shapes: V vocabulary.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
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


class Beginnings:
    """The sets of banned tokens, for one open model with a vocabulary of `size`."""

    def __init__(self, tokenizer: Tokenizer, size: int, device: torch.device) -> None:
        self._tokenizer, self._size, self._device = tokenizer, size, device
        self._code_behind = lru_cache(maxsize=16)(self._ids_of_code_behind)
        self._spaces_behind = lru_cache(maxsize=16)(self._spaces_behind_prefix)
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
        allowed = torch.zeros(self._size, dtype=torch.bool)
        for beginning in begins:
            self._allow(allowed, beginning, before, prefix)
        banned = ~allowed if allowed.any() else allowed
        banned[[id for code in avoid for id in self._with_code(prefix, code)]] = True
        return sent(banned, self._device) if banned.any() else None

    def _allow(self, allowed: Tensor, beginning: Beginning, before: str, prefix: bytes) -> None:
        """Set the tokens that fit behind the blanks `before` in `allowed`, bool [V]."""
        if not beginning.indent.startswith(before):
            return
        if not beginning.others:
            for text in beginning.texts:
                allowed[list(self._towards(text[len(before) :], prefix))] = True
            return
        blanks = beginning.indent[len(before) :].encode()
        own = torch.zeros_like(allowed)
        own[self._code_behind(prefix + blanks)] = True
        for word in beginning.words:
            own[list(self._with_text(prefix + blanks, word))] = False
        starts = [prefix + blanks[:end] for end in range(len(blanks) + 1)]
        own[[id for start in starts if start and (id := self._whole(start)) is not None]] = True
        allowed |= own

    def _banned_next(self, begins: Sequence[Beginning], before: str) -> Tensor | None:
        """Behind `before`, with which the fill has begun."""
        indent = _BLANKS.match(before)
        assert indent is not None
        if any(each.others and each.indent == indent[0] for each in begins):
            return None
        texts = [text for each in begins if not each.others for text in each.texts]
        further = [id for text in texts if text.startswith(before) for id in self._towards(text[len(before) :], b"")]
        if before in texts and _is_word(before[-1]):
            banned = self._continuing.clone()
            banned[further] = False
            return sent(banned, self._device)
        if not further or before in texts:
            return None
        banned = torch.ones(self._size, dtype=torch.bool)
        banned[further] = False
        return sent(banned, self._device)

    def _towards(self, text: str, prefix: bytes) -> Iterator[int]:
        """The tokens behind which `text` can stand whole: its first token, and tokens that it ends in. All of them
        begin with `prefix`, which is not part of the text."""
        if not text:
            return
        whole = prefix + text.encode()
        first = self._tokenizer.encode(whole.decode(errors="replace"))[:1]
        if all(self._tokenizer.token_bytes(id).startswith(prefix) for id in first):
            yield from first
        elif prefix and (id := self._whole(prefix)) is not None:
            yield id
        yield from self._with_text(prefix, text)

    def _with_text(self, prefix: bytes, text: str) -> Iterator[int]:
        """The tokens that begin with `prefix` and `text`, and do not continue a word at the end of `text`."""
        for id, behind in self._extending(prefix + text.encode()):
            if not (_is_word(text[-1]) and _is_word(behind.decode(errors="replace")[:1])):
                yield id

    def _whole(self, spelling: bytes) -> int | None:
        """The token that is spelled so."""
        return next((id for id, behind in self._extending(spelling) if not behind), None)

    @cached_property
    def _continuing(self) -> Tensor:
        """The tokens that continue a word, bool [V]."""
        words = [id for id, text in self._extending(b"") if _is_word(text.decode(errors="replace")[:1])]
        continuing = torch.zeros(self._size, dtype=torch.bool)
        continuing[words] = True
        return continuing

    def _with_code(self, prefix: bytes, code: str) -> Iterator[int]:
        """The tokens that are `prefix` and then `code` among white space. The code "" stands for a line break."""
        for space in self._spaces_behind(prefix):
            for id, behind in self._extending(prefix + space + code.encode()):
                if not behind.strip() and (code or b"\n" in space + behind):
                    yield id

    def _spaces_behind_prefix(self, prefix: bytes) -> frozenset[bytes]:
        """The white space with which tokens go on behind `prefix`."""
        return frozenset(behind[: len(behind) - len(behind.lstrip())] for _, behind in self._extending(prefix))

    def _ids_of_code_behind(self, prefix: bytes) -> Tensor:
        """The tokens that are `prefix` and then code, without white space between them."""
        ids = [id for id, behind in self._extending(prefix) if behind[:1].strip()]
        return torch.tensor(ids, dtype=torch.long)

    def _extending(self, prefix: bytes) -> Iterator[tuple[int, bytes]]:
        """The tokens that begin with `prefix`, and the bytes behind it."""
        for id in self._tokenizer.extending(prefix):
            yield id, self._tokenizer.token_bytes(id)[len(prefix) :]


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"
