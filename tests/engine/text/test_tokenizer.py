"""The tokenizer's laws, on both kinds of vocabulary."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, models, pre_tokenizers
from tokenizers import Tokenizer as Backend

from dgls_engine.errors import BrokenCheckpoint, UnsupportedModel
from dgls_engine.text.tokenizer import _BYTE_OF, Tokenizer
from tests.engine.checkpoints import CHAT_SPECIALS, RAW_SPECIALS, byte_level_tokenizer, sentencepiece_tokenizer

CODE = "def add(a, b):\n    return a + b\n\n\tx = '▁ ▁▁ 🙂\u2028'\r\n\0  \ttrailing  "


@pytest.fixture(scope="module", params=["byte-level", "sentencepiece"])
def tokenizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "byte-level":
        byte_level_tokenizer().save(str(folder / "tokenizer.json"))
    else:
        sentencepiece_tokenizer().save(str(folder / "tokenizer.json"))
        (folder / "tokenizer_config.json").write_text('{"pad_token": "<pad>", "eoc_token": "<channel|>"}')
    return Tokenizer(folder / "tokenizer.json")


def bytes_of(tokenizer: Tokenizer, ids: list[int]) -> bytes:
    return b"".join(tokenizer.token_bytes(id) for id in ids)


@given(text=st.text(alphabet=st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from("▁ \n\t<|>def"))))
def test_encode_joined_token_bytes_are_the_text(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    assert bytes_of(tokenizer, ids) == text.encode()
    assert tokenizer.decode(ids) == text


def test_decode_encoded_code_round_trips(tokenizer: Tokenizer) -> None:
    assert tokenizer.decode(tokenizer.encode(CODE)) == CODE


@pytest.mark.parametrize("name", RAW_SPECIALS + CHAT_SPECIALS)
def test_encode_spelled_special_token_is_plain_text(tokenizer: Tokenizer, name: str) -> None:
    ids = tokenizer.encode(f"a{name}{name} {name}\n")
    assert tokenizer.special_ids.isdisjoint(ids)
    assert tokenizer.decode(ids) == f"a{name}{name} {name}\n"


def test_encode_special_token_from_merges_is_plain_text(tmp_path: Path) -> None:
    vocabulary = {f"<0x{byte:02X}>": byte for byte in range(256)}
    for token in ("<", "s", ">", "<s", "<s>", "<pad>"):
        vocabulary[token] = len(vocabulary)
    merges = [("<", "s"), ("<s", ">")]
    backend = Backend(models.BPE(vocab=vocabulary, merges=merges, unk_token="<pad>", byte_fallback=True))
    backend.add_special_tokens([AddedToken("<pad>"), AddedToken("<s>")])
    backend.save(str(tmp_path / "tokenizer.json"))
    tokenizer = Tokenizer(tmp_path / "tokenizer.json")
    ids = tokenizer.encode("a<s>b")
    assert tokenizer.id_of("<s>") not in ids
    assert tokenizer.decode(ids) == "a<s>b"


def test_encode_characters_without_tokens_become_replacement(tmp_path: Path) -> None:
    """Vocabularies of published models lack control characters and bytes of unassigned planes."""
    spec = json.loads(byte_level_tokenizer().to_str())
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    lost = {character for character in alphabet if _BYTE_OF[character] in (0x04, 0x1D, 0xF1, 0xC0)}
    spec["model"]["vocab"] = {token: id for token, id in spec["model"]["vocab"].items() if token not in lost}
    (tmp_path / "tokenizer.json").write_text(json.dumps(spec), encoding="utf-8")
    tokenizer = Tokenizer(tmp_path / "tokenizer.json")
    ids = tokenizer.encode("a\x04b\x1d\U00040000\U00020000\n")
    assert tokenizer.decode(ids) == "a\ufffdb\ufffd\ufffd\U00020000\n"


def test_encode_lone_surrogates_become_replacement(tokenizer: Tokenizer) -> None:
    assert tokenizer.decode(tokenizer.encode("a\ud800b\udfff")) == "a\ufffdb\ufffd"


def test_decode_invalid_utf8_becomes_replacement(tokenizer: Tokenizer) -> None:
    assert tokenizer.decode(tokenizer.encode("é")[:-1]) == "\ufffd"


def test_token_bytes_special_token_is_empty(tokenizer: Tokenizer) -> None:
    assert all(tokenizer.token_bytes(id) == b"" for id in tokenizer.special_ids)
    assert tokenizer.decode([tokenizer.pad_id, *tokenizer.encode("x"), tokenizer.pad_id]) == "x"
    assert tokenizer.token_bytes(tokenizer.size + 7) == b""


def test_encode_scaffold_makes_special_tokens(tokenizer: Tokenizer) -> None:
    special = RAW_SPECIALS[1] if tokenizer.has(RAW_SPECIALS[1]) else CHAT_SPECIALS[4]
    expected = [*tokenizer.encode("a"), tokenizer.id_of(special), *tokenizer.encode(" b")]
    assert tokenizer.encode_scaffold(f"a{special} b") == expected


@pytest.mark.parametrize("prefix", [b"", b"re", b" ", b"  ", b"\n", b"\xe2", b"no such token"])
def test_extending_matches_full_search(tokenizer: Tokenizer, prefix: bytes) -> None:
    slow = [id for id in range(tokenizer.size) if (text := tokenizer.token_bytes(id)) and text.startswith(prefix)]
    assert tokenizer.extending(prefix) == slow


def test_pad_id_from_config_or_spelling(tokenizer: Tokenizer) -> None:
    assert tokenizer.pad_id == 0


def test_id_of_missing_special_token_raises(tokenizer: Tokenizer) -> None:
    with pytest.raises(BrokenCheckpoint, match="<nothing>"):
        tokenizer.id_of("<nothing>")


@pytest.mark.parametrize(
    ("content", "error", "words"),
    [
        ("{", BrokenCheckpoint, "cannot be read"),
        ("{}", BrokenCheckpoint, "not a valid tokenizer"),
        (json.dumps({"model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}}), UnsupportedModel, "BPE"),
        (
            json.dumps({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [], "byte_fallback": True}}),
            UnsupportedModel,
            "lacks 2.. bytes that texts need",
        ),
        (None, BrokenCheckpoint, "missing"),
    ],
)
def test_tokenizer_invalid_file_raises(tmp_path: Path, content: str | None, error: type[Exception], words: str) -> None:
    if content is not None:
        (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(error, match=words):
        Tokenizer(tmp_path / "tokenizer.json")
