"""Converts text to token ids and back without loss.

Wraps `tokenizers` and adds what infilling needs: the user's text never becomes a special token, and the caller can look
up the bytes of a token, and all tokens that start with given bytes (token healing). Two kinds of vocabulary work:
byte-level BPE, and SentencePiece-style BPE (U+2581 for a space, `<0xNN>` for a byte). Knows neither models nor tensors,
imports no torch, and may be used from any thread.
"""

from __future__ import annotations

import re
import string
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from tokenizers import AddedToken

from dgls_engine.errors import BrokenCheckpoint, UnsupportedModel
from dgls_engine.model_files import holds, read_json, shown
from dgls_engine.text.vocabulary import MAX_TOKENS, opened_tokenizer, without_panics

SPACE_MARK = "\u2581"
"""SentencePiece's character for a space."""

_PRINTABLE = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
_OTHERS = sorted(set(range(256)).difference(_PRINTABLE))
_BYTE_OF = {chr(byte): byte for byte in _PRINTABLE} | {chr(256 + n): byte for n, byte in enumerate(_OTHERS)}
"""GPT-2's table from character to byte: byte-level BPE writes each byte as one printable character."""

_SURROGATES = "\ud800-\udfff"
_DISPENSABLE = {
    **{byte: chr(byte) for byte in range(32) if chr(byte) not in "\t\n\r"},
    **dict.fromkeys([0xC0, 0xC1, *range(0xF5, 0x100)], ""),  # no UTF-8 holds these
    0xF1: "\U00040000-\U0007ffff",
    0xF2: "\U00080000-\U000bffff",
}
"""Bytes that a vocabulary may lack (control codes, first bytes of unassigned planes). The value is a part of a regular
expression: the characters that cannot be encoded without the byte."""

_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")

_LETTER = "x"

_PROBE = string.printable + " \u00a0\u2581\ufb01e\u0301\u00e9\u0130 \u4f60\U0001f389  \n"
"""A text that a vocabulary changes if it normalizes: by case, form, accents or blanks."""

Kind = Literal["byte-level", "sentencepiece"]


class Tokenizer:
    """The tokenizer in the file `path`, a `tokenizer.json`, or in older files beside it (`vocabulary`). A
    `tokenizer_config.json` there may name more special tokens.

    Law: the joined bytes of `encode(text)` are the text's UTF-8, and no id is special. Lone surrogates, and characters
    whose bytes the vocabulary lacks, become U+FFFD. Raises `BrokenCheckpoint` if the file cannot be read,
    `UnsupportedModel` for another kind of vocabulary.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        spec, self._backend = opened_tokenizer(path)
        self._kind = _kind_of(spec, path)
        roles = _special_roles(path.parent / "tokenizer_config.json")
        added = self._backend.get_added_tokens_decoder()
        self._contents = {id: token.content for id, token in added.items()}
        spellings = {spelling for _, spelling in roles}
        self.special_ids = frozenset(id for id, token in added.items() if token.special or token.content in spellings)
        """Ids that `encode` never returns and that decode to no text."""
        self.specials: Mapping[str, int] = {self._contents[id]: id for id in self.special_ids}
        """Special tokens by their spelling."""
        # Some tokens are special only in the config. Marked here, their spelling in a text is encoded as plain text.
        self._backend.add_special_tokens([AddedToken(name, special=True) for name in self.specials])
        self._backend.encode_special_tokens = True
        self.roles = {role: spelling for role, spelling in roles if role.endswith("_token")}
        """Spellings of special tokens by their role in the config (`bos_token`, `pad_token`, ...)."""
        self._byte_ids = self._find_bytes()
        missing = "".join(_DISPENSABLE[byte] for byte in range(256) if byte not in self._byte_ids)
        self._unreadable = re.compile(f"[{_SURROGATES}{missing}]")

    @property
    def size(self) -> int:
        """The largest id plus 1. A model's embedding may have more rows."""
        return len(self._bytes)

    @cached_property
    def pad_id(self) -> int:
        """The id of PAD, which fills the rest of a hole."""
        if "pad_token" in self.roles:
            return self.id_of(self.roles["pad_token"])
        for name, id in self.specials.items():
            if name.strip("<|>[]").lower() == "pad":
                return id
        raise BrokenCheckpoint(f"{self.path} has no padding token; name one in tokenizer_config.json (pad_token)")

    def has(self, special_name: str) -> bool:
        """Whether a special token has this spelling."""
        return special_name in self.specials

    def id_of(self, special_name: str | int) -> int:
        """The id of the special token with this spelling or id. Raises `BrokenCheckpoint` if there is none."""
        if isinstance(special_name, int) and special_name in self.special_ids:
            return special_name
        if not isinstance(special_name, str) or special_name not in self.specials:
            raise BrokenCheckpoint(
                f"{self.path} has no special token {special_name!r}, but the prompt needs it; fetch the model again"
            )
        return self.specials[special_name]

    def encode(self, text: str) -> list[int]:
        """Ids of `text`, always as plain text. A character that the vocabulary cannot encode becomes U+FFFD."""
        text = self._unreadable.sub("\ufffd", text)
        if self._kind == "byte-level" or SPACE_MARK not in text:
            return self._encode_plain(text)
        # In this vocabulary U+2581 means a space, so encode a U+2581 in the text as bytes.
        mark = [self._byte_ids[byte] for byte in SPACE_MARK.encode()]
        first, *rest = text.split(SPACE_MARK)
        ids = self._encode_plain(first)
        for part in rest:
            ids += mark + self._encode_plain(part)
        return ids

    def encode_before(self, text: str) -> tuple[list[int], bytes]:
        """Ids of a text that goes on, and the bytes at its end that belong to a token with what follows.

        A text that ends in a blank or a line break is encoded as if a letter followed: vocabularies in GPT-2's manner
        keep the last of several blanks for the word behind them, so in code no word follows a token of four blanks. Any
        other text is encoded as it is.
        """
        if not text.endswith((" ", "\t", "\n")):
            return self.encode(text), b""
        ids, last = self.encode(text + _LETTER), _LETTER.encode()
        spelled = self.token_bytes(ids[-1])
        return (ids[:-1], spelled.removesuffix(last)) if spelled.endswith(last) else (self.encode(text), b"")

    def encode_scaffold(self, text: str) -> list[int]:
        """Ids of text from this code or a chat template: the spelling of a special token becomes its id."""
        if not self.specials:
            return self.encode(text)
        ids: list[int] = []
        for part in self._special_pattern.split(text):
            ids += [self.specials[part]] if part in self.specials else self.encode(part)
        return ids

    def require_lossless(self) -> None:
        """Raise `UnsupportedModel` if the vocabulary changes the text that it encodes."""
        if self.decode(self.encode(_PROBE)) != self._unreadable.sub("\ufffd", _PROBE):
            raise UnsupportedModel(
                f"{self.path} changes the text that it encodes (case, accents or blanks), so code would not stay as it "
                "is; take another model"
            )

    def decode(self, ids: Iterable[int]) -> str:
        """The text of `ids` without special tokens. Invalid UTF-8 becomes U+FFFD."""
        return b"".join(self.token_bytes(id) for id in ids).decode("utf-8", errors="replace")

    def token_bytes(self, id: int) -> bytes:
        """The bytes of a token; `b""` for a special token and for an id without a token."""
        return self._bytes[id] if id < len(self._bytes) else b""

    def extending(self, prefix: bytes) -> list[int]:
        """All ids whose bytes start with or equal `prefix`, ascending."""
        spellings, ids = self._sorted
        low = bisect_left(spellings, prefix)
        high = bisect_left(spellings, True, lo=low, key=lambda spelling: not spelling.startswith(prefix))
        return sorted(ids[low:high])

    def _encode_plain(self, text: str) -> list[int]:
        ids = self._encode_raw(text)
        if self.special_ids.isdisjoint(ids):
            return ids
        # The vocabulary's merges can produce a special id: encode the spelling's first character on its own.
        ids = []
        for part in self._special_pattern.split(text):
            for piece in (part[:1], part[1:]) if part in self.specials else (part,):
                ids += self._encode_raw(piece)
        if not self.special_ids.isdisjoint(ids):
            raise UnsupportedModel(
                f"{self.path} turns plain text into special tokens, which is not safe; take another model"
            )
        return ids

    def _encode_raw(self, text: str) -> list[int]:
        with without_panics(self.path):
            ids: list[int] = self._backend.encode(text, add_special_tokens=False).ids
        return ids

    @cached_property
    def _special_pattern(self) -> re.Pattern[str]:
        names = sorted(self.specials, key=len, reverse=True)
        return re.compile("(" + "|".join(map(re.escape, names)) + ")")

    @cached_property
    def _bytes(self) -> list[bytes]:
        vocabulary = self._backend.get_vocab(with_added_tokens=True)
        if (largest := max(vocabulary.values())) > MAX_TOKENS:
            raise BrokenCheckpoint(
                f"{self.path} has the token id {largest}, at most {MAX_TOKENS} is possible; fetch the model again"
            )
        table = [b""] * (1 + largest)
        for text, id in vocabulary.items():
            if id not in self.special_ids:
                table[id] = self._spell(text, added=id in self._contents)
        return table

    def _spell(self, token: str, added: bool) -> bytes:
        if self._kind == "sentencepiece":
            byte = _BYTE_TOKEN.fullmatch(token)
            return bytes([int(byte[1], 16)]) if byte else token.replace(SPACE_MARK, " ").encode()
        if added:  # added tokens are stored as plain text, not in the byte alphabet
            return token.encode()
        try:
            return bytes(_BYTE_OF[character] for character in token)
        except KeyError:
            raise UnsupportedModel(
                f"{self.path} has the token {shown(token)}, which spells no bytes; take another model"
            ) from None

    def _find_bytes(self) -> dict[int, int]:
        """The id of each single-byte token, by byte. Raises `UnsupportedModel` if a byte is missing that texts need."""
        character_of = {byte: character for character, byte in _BYTE_OF.items()}
        names = [f"<0x{byte:02X}>" if self._kind == "sentencepiece" else character_of[byte] for byte in range(256)]
        ids = {byte: id for byte, name in enumerate(names) if (id := self._backend.token_to_id(name)) is not None}
        missing = set(range(256)) - set(ids) - set(_DISPENSABLE)
        if missing:
            raise UnsupportedModel(f"{self.path} lacks {len(missing)} bytes that texts need; take another model")
        return ids

    @cached_property
    def _sorted(self) -> tuple[list[bytes], list[int]]:
        pairs = sorted((spelling, id) for id, spelling in enumerate(self._bytes) if spelling)
        return [spelling for spelling, _ in pairs], [id for _, id in pairs]


def _kind_of(spec: dict[str, Any], path: Path) -> Kind:
    model = spec.get("model") or {}
    if model.get("type", "BPE") == "BPE":
        if model.get("byte_fallback"):
            return "sentencepiece"
        if "ByteLevel" in _types_in(spec.get("decoder")) | _types_in(spec.get("pre_tokenizer")):
            return "byte-level"
    raise UnsupportedModel(
        f"{path} is neither byte-level BPE nor SentencePiece-style BPE with byte fallback; take another model"
    )


def _types_in(part: object) -> set[str]:
    """The `type`s of a part of `tokenizer.json` and of all parts inside it, which may nest deeply."""
    types, parts = set[str](), [part]
    while parts:
        part = parts.pop()
        if isinstance(part, dict):
            types |= {part["type"]} if isinstance(part.get("type"), str) else set()
            parts += part.values()
        elif isinstance(part, list):
            parts += part
    return types


def _special_roles(config: Path) -> list[tuple[str, str]]:
    """The special tokens in a `tokenizer_config.json`, as (role, spelling)."""
    roles: list[tuple[str, str]] = []
    for key, value in (read_json(config) if holds(config) else {}).items():
        if key.endswith("_token"):
            values: Iterable[object] = (value,)
        elif key in ("additional_special_tokens", "extra_special_tokens", "model_specific_special_tokens"):
            values = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        else:
            continue
        for item in values:
            spelling = item.get("content") if isinstance(item, dict) else item
            if isinstance(spelling, str) and spelling:
                roles.append((key, spelling))
    return roles
