"""Reading a hole's tokens: where the text ends, which rows count, and characters that span tokens."""

from __future__ import annotations

import pytest

from dgls_engine.text.canvas import Span, following
from dgls_engine.text.reader import Reader, read
from dgls_engine.weights.loader import LoadedModel


def spell(loaded: LoadedModel, *parts: str | bytes) -> list[int]:
    """Ids of parts: a token for each byte of bytes, the usual tokens of a text, PAD for an empty part."""
    tokenizer = loaded.tokenizer
    ids: list[int] = []
    for part in parts:
        if isinstance(part, bytes):
            ids += [
                next(id for id in tokenizer.extending(bytes([b])) if len(tokenizer.token_bytes(id)) == 1) for b in part
            ]
        else:
            ids += tokenizer.encode(part) if part else [tokenizer.pad_id]
    return ids


def test_read_first_pad_ends_text_and_counts(flat: LoadedModel) -> None:
    ids = spell(flat, "value", "(", "", "value")
    fill = read(Span(0, 4), ids, flat.tokenizer)
    assert (fill.pieces, fill.count) == (("value", "("), 3)


def test_read_empty_text_counts_one_pad(flat: LoadedModel) -> None:
    fill = read(Span(0, 2), spell(flat, "", "value"), flat.tokenizer)
    assert (fill.text, fill.pieces, fill.count) == ("", (), 1)


@pytest.mark.parametrize(
    ("stop", "text", "count"),
    [("\n", "value", 2), ("ue\n", "val", 2), ("value\n  ", "", 3), ("l", "va", 1), ("zz", None, 4)],
)
def test_read_stop_ends_text(flat: LoadedModel, stop: str, text: str | None, count: int) -> None:
    """The stop can be inside a token or span several tokens."""
    ids = spell(flat, "value", "\n", "  ", "for")
    assert len(ids) == 4
    fill = read(Span(0, 4, stop=stop), ids, flat.tokenizer)
    assert (fill.text, fill.count) == ("value\n  for" if text is None else text, count)


@pytest.mark.parametrize(
    ("parts", "indent", "text"),
    [
        ("a\n    b\nc", "    ", "a\n    b"),
        ("a\n\n    b\n\nc", "    ", "a\n\n    b\n"),
        ("a\n  b", "    ", "a"),
        ("a\n        b\n    c", "    ", None),
        ("a\n    ", "        ", None),  # the line may go on
        ("a\n    b", "\t", None),
        ("a\nb", "", None),
        ("b", "    ", None),  # the first line stands where the hole begins
    ],
)
def test_read_less_indented_line_ends_text(flat: LoadedModel, parts: str, indent: str, text: str | None) -> None:
    ids = spell(flat, parts.encode())
    fill = read(Span(0, len(ids), indent=indent), ids, flat.tokenizer)
    assert fill.text == (parts if text is None else text)


@pytest.mark.parametrize(
    ("written", "after", "text"),
    [
        ("x)\ny", ")\nz", "x"),
        ("f(x))\n", ")\n", "f(x)"),  # one bracket is the fill's
        ("x, y)\n", ", y)\n", "x"),
        ("x)", ")\n", None),  # the line may go on
        ("x) + y", ")\n", None),
        ("x)", ")", "x"),  # the file's last line has no end
        ("x)\n", ")\r\n", "x"),
        ("a\n    b\n    return\n", "\n    return\n", "a\n    b"),
        ("a\n    return x\n", "\n    return\n", None),
        ("a\n    return\n", "  \n\n    return\n", "a"),
        ("a\n", "", None),
        ("a\n", " \n \n", None),
    ],
)
def test_read_following_code_ends_text(flat: LoadedModel, written: str, after: str, text: str | None) -> None:
    ids = spell(flat, written.encode())
    fill = read(Span(0, len(ids), follows=following(after)), ids, flat.tokenizer)
    assert fill.text == (written if text is None else text)


@pytest.mark.parametrize(
    ("written", "text"),
    [(" name)", " name"), ("name_1 = 2", "name_1"), ("name", None), (" = 1", None), ("  \n", None)],
)
def test_read_word_ends_behind_its_letters(flat: LoadedModel, written: str, text: str | None) -> None:
    ids = spell(flat, written.encode())
    assert read(Span(0, len(ids), word=True), ids, flat.tokenizer).text == (written if text is None else text)


def test_read_freed_bytes_are_not_in_text(flat: LoadedModel) -> None:
    fill = read(Span(0, 2, freed=b"val"), spell(flat, "value", "("), flat.tokenizer)
    assert fill.pieces == ("ue", "(")


def test_read_character_over_several_tokens_is_in_last_piece(flat: LoadedModel) -> None:
    fill = read(Span(0, 5), spell(flat, "é".encode(), "👩".encode()[:3]), flat.tokenizer)
    assert fill.pieces == ("", "é", "", "", "\ufffd")
    assert fill.count == 5


def test_read_freed_half_character_is_not_in_text(flat: LoadedModel) -> None:
    half = "é".encode()[1:]
    fill = read(Span(0, 2, freed=half), spell(flat, half, "name"), flat.tokenizer)
    assert fill.text == "name"


def test_counted_returns_rows_of_each_hole(flat: LoadedModel) -> None:
    reader = Reader([Span(3, 6), Span(8, 10)], flat.tokenizer)
    draft = spell(flat, "value", "", "value", "key", "key")
    assert len(draft) == 5
    assert [fill.text for fill in reader.fills(draft)] == ["value", "keykey"]
    assert reader.counted(draft) == [range(0, 2), range(3, 5)]
