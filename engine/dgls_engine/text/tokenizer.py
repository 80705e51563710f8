"""Text to token ids and back, exactly: every token is known by its bytes.

Wraps `tokenizers` and adds what infilling needs: the user's text never becomes a special token, a token's bytes
can be looked up, and so can all tokens that extend a given beginning (token healing). Two kinds of vocabulary
are understood: byte-level BPE, and SentencePiece's style (U+2581 stands for a space, `<0xNN>` for a byte).
It knows no model and no tensor, imports no torch, and may be used from any thread.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from tokenizers import AddedToken
from tokenizers import Tokenizer as Backend

from dgls_engine.errors import BrokenCheckpoint, UnsupportedModel
from dgls_engine.profile import read_json

SPACE_MARK = "\u2581"
"""What SentencePiece writes for a space."""

_PRINTABLE = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
_OTHERS = sorted(set(range(256)).difference(_PRINTABLE))
_BYTE_OF = {chr(byte): byte for byte in _PRINTABLE} | {chr(256 + n): byte for n, byte in enumerate(_OTHERS)}
"""Byte-level BPE writes each byte as one printable character: GPT-2's table, from character to byte."""

_SURROGATES = "\ud800-\udfff"
_DISPENSABLE = {
    **{byte: chr(byte) for byte in range(32) if chr(byte) not in "\t\n\r"},
    **dict.fromkeys([0xC0, 0xC1, *range(0xF5, 0x100)], ""),  # no UTF-8 holds these
    0xF1: "\U00040000-\U0007ffff",
    0xF2: "\U00080000-\U000bffff",
}
"""Bytes that a vocabulary may lack, and the characters, as part of a pattern, that it can't spell then: control codes,
and planes in which nothing is assigned."""

_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")

Kind = Literal["byte-level", "sentencepiece"]


class Tokenizer:
    """The tokenizer in `path` (a `tokenizer.json`; a `tokenizer_config.json` beside it names more special tokens).

    Law: the bytes of `encode(text)` joined are the text's UTF-8, and none of the ids is special. Lone surrogates, and
    characters whose bytes the vocabulary lacks, become U+FFFD. Raises `BrokenCheckpoint` for a file that cannot be
    read, `UnsupportedModel` for another kind of vocabulary.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        spec = read_json(path)
        try:
            self._backend = Backend.from_file(str(path))
        except Exception as error:  # `tokenizers` raises bare Exception
            raise BrokenCheckpoint(f"{path} is no valid tokenizer ({error}); fetch the model again") from None
        self._kind = _kind_of(spec, path)
        named = _named_specials(path.parent / "tokenizer_config.json")
        known = self._backend.get_added_tokens_decoder()
        self._contents = {id: token.content for id, token in known.items()}
        spellings = {spelling for _, spelling in named}
        self.special_ids = frozenset(id for id, token in known.items() if token.special or token.content in spellings)
        """The ids that no text can produce and that decode to nothing."""
        self.specials: Mapping[str, int] = {self._contents[id]: id for id in self.special_ids}
        """Special tokens by their spelling."""
        # Marks as special what only the config calls so; then their spelling in a text is read as plain text.
        self._backend.add_special_tokens([AddedToken(name, special=True) for name in self.specials])
        self._backend.encode_special_tokens = True
        self.roles = {role: spelling for role, spelling in named if role.endswith("_token")}
        """What the config calls special tokens (`bos_token`, `pad_token`, ...), for a chat template."""
        self._byte_ids = self._find_bytes()
        lost = "".join(_DISPENSABLE[byte] for byte in range(256) if byte not in self._byte_ids)
        self._unreadable = re.compile(f"[{_SURROGATES}{lost}]")

    @property
    def size(self) -> int:
        """Number of ids: one more than the largest. A model's embedding may have more rows."""
        return len(self._bytes)

    @cached_property
    def pad_id(self) -> int:
        """The id that fills what a text leaves of a canvas."""
        if "pad_token" in self.roles:
            return self.id_of(self.roles["pad_token"])
        for name, id in self.specials.items():
            if name.strip("<|>[]").lower() == "pad":
                return id
        raise BrokenCheckpoint(f"{self.path} names no padding token; its tokenizer_config.json should")

    def has(self, special_name: str) -> bool:
        """Whether there is a special token of this spelling."""
        return special_name in self.specials

    def id_of(self, special_name: str) -> int:
        """The id of a special token by its spelling. Raises `BrokenCheckpoint` if there is none."""
        if special_name not in self.specials:
            raise BrokenCheckpoint(f"{self.path} has no special token {special_name!r}, which the prompt needs")
        return self.specials[special_name]

    def encode(self, text: str) -> list[int]:
        """Ids of `text`, which is plain text whatever it spells; what it can't spell is read as U+FFFD."""
        text = self._unreadable.sub("\ufffd", text)
        if self._kind == "byte-level" or SPACE_MARK not in text:
            return self._encode_plain(text)
        # The vocabulary cannot tell a written U+2581 from a space: spell it in bytes.
        mark = [self._byte_ids[byte] for byte in SPACE_MARK.encode()]
        first, *rest = text.split(SPACE_MARK)
        ids = self._encode_plain(first)
        for part in rest:
            ids += mark + self._encode_plain(part)
        return ids

    def encode_scaffold(self, text: str) -> list[int]:
        """Ids of text that we or a chat template wrote: the spelling of a special token becomes its id."""
        if not self.specials:
            return self.encode(text)
        ids: list[int] = []
        for part in self._special_pattern.split(text):
            ids += [self.specials[part]] if part in self.specials else self.encode(part)
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """Text of `ids`, special tokens left out; bytes that are no UTF-8 become U+FFFD."""
        return b"".join(self.token_bytes(id) for id in ids).decode("utf-8", errors="replace")

    def token_bytes(self, id: int) -> bytes:
        """The bytes a token stands for; `b""` for a special token and for an id without one."""
        return self._bytes[id] if id < len(self._bytes) else b""

    def extending(self, prefix: bytes) -> list[int]:
        """All ids whose bytes start with `prefix`, the token that is `prefix` itself included; ascending."""
        texts, ids = self._sorted
        low = bisect_left(texts, prefix)
        high = bisect_left(texts, True, lo=low, key=lambda text: not text.startswith(prefix))
        return sorted(ids[low:high])

    def _encode_plain(self, text: str) -> list[int]:
        ids: list[int] = self._backend.encode(text, add_special_tokens=False).ids
        if self.special_ids.isdisjoint(ids):
            return ids
        # A vocabulary may reach a special id through its merges: keep the spelling's first character apart.
        ids = []
        for part in self._special_pattern.split(text):
            for piece in (part[:1], part[1:]) if part in self.specials else (part,):
                ids += self._backend.encode(piece, add_special_tokens=False).ids
        if not self.special_ids.isdisjoint(ids):
            raise UnsupportedModel(f"{self.path} turns plain text into special tokens; such a tokenizer is not safe")
        return ids

    @cached_property
    def _special_pattern(self) -> re.Pattern[str]:
        names = sorted(self.specials, key=len, reverse=True)
        return re.compile("(" + "|".join(map(re.escape, names)) + ")")

    @cached_property
    def _bytes(self) -> list[bytes]:
        vocabulary = self._backend.get_vocab(with_added_tokens=True)
        table = [b""] * (1 + max(vocabulary.values()))
        for text, id in vocabulary.items():
            if id not in self.special_ids:
                table[id] = self._spell(text, added=id in self._contents)
        return table

    def _spell(self, token: str, added: bool) -> bytes:
        if self._kind == "sentencepiece":
            byte = _BYTE_TOKEN.fullmatch(token)
            return bytes([int(byte[1], 16)]) if byte else token.replace(SPACE_MARK, " ").encode()
        if added:  # spelled as it is, not in the byte alphabet
            return token.encode()
        return bytes(_BYTE_OF[character] for character in token)

    def _find_bytes(self) -> dict[int, int]:
        """Ids of the tokens of a single byte, by byte: without nearly all of them some text could not be written."""
        spell = {byte: character for character, byte in _BYTE_OF.items()}
        names = [f"<0x{byte:02X}>" if self._kind == "sentencepiece" else spell[byte] for byte in range(256)]
        ids = {byte: id for byte, name in enumerate(names) if (id := self._backend.token_to_id(name)) is not None}
        missing = set(range(256)) - set(ids) - set(_DISPENSABLE)
        if missing:
            raise UnsupportedModel(f"{self.path} cannot spell {len(missing)} of the bytes that texts are made of")
        return ids

    @cached_property
    def _sorted(self) -> tuple[list[bytes], list[int]]:
        pairs = sorted((text, id) for id, text in enumerate(self._bytes) if text)
        return [text for text, _ in pairs], [id for _, id in pairs]


def _kind_of(spec: dict[str, Any], path: Path) -> Kind:
    model = spec.get("model") or {}
    if model.get("type", "BPE") == "BPE":
        if model.get("byte_fallback"):
            return "sentencepiece"
        if "ByteLevel" in _types_in(spec.get("decoder")) | _types_in(spec.get("pre_tokenizer")):
            return "byte-level"
    raise UnsupportedModel(
        f"{path} is neither byte-level BPE nor SentencePiece-style BPE with byte fallback; no other kind works"
    )


def _types_in(part: object) -> set[str]:
    """The `type`s of a tokenizer's part and of the parts it is made of."""
    if isinstance(part, list):
        return set().union(*map(_types_in, part)) if part else set()
    if isinstance(part, dict):
        own = {part["type"]} if isinstance(part.get("type"), str) else set()
        return own.union(*map(_types_in, part.values()))
    return set()


def _named_specials(config: Path) -> list[tuple[str, str]]:
    """The special tokens a `tokenizer_config.json` names, as (role, spelling)."""
    found: list[tuple[str, str]] = []
    for key, value in (read_json(config) if config.is_file() else {}).items():
        if key.endswith("_token"):
            values: Iterable[object] = (value,)
        elif key in ("additional_special_tokens", "extra_special_tokens", "model_specific_special_tokens"):
            values = value.values() if isinstance(value, dict) else value or ()
        else:
            continue
        for item in values:
            spelling = item.get("content") if isinstance(item, dict) else item
            if isinstance(spelling, str) and spelling:
                found.append((key, spelling))
    return found
