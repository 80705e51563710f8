"""Which tokens a fill may begin with."""

from collections.abc import Sequence

import pytest
import torch

from dgls_engine.loop.beginnings import Beginnings
from dgls_engine.text.canvas import Canvas, Span
from dgls_engine.text.tokenizer import Tokenizer
from dgls_engine.types import Beginning
from dgls_engine.weights.loader import LoadedModel

HEADS = frozenset({"if", "for"})
PLAIN, HEAD = Beginning("    ", HEADS), Beginning("", HEADS, others=False)


def allowed(
    tokenizer: Tokenizer,
    begins: Sequence[Beginning],
    decided: Sequence[int] = (),
    freed: bytes = b"",
    avoid: tuple[str, ...] = (),
) -> set[str] | None:
    """The texts that the next token may have; None: any."""
    canvas = Canvas((0,) * 6, (Span(1, 6, freed=freed, begins=tuple(begins), avoid=avoid),))
    rule = Beginnings(tokenizer, tokenizer.size, torch.device("cpu")).of(canvas)
    banned = rule([*decided, *[0] * (5 - len(decided))], len(decided)) if rule is not None else None
    if banned is None:
        return None
    return {tokenizer.decode([id]) for id, no in enumerate(banned.tolist()) if not no}


def test_first_token_is_blank_or_what_may_stand_there(flat: LoadedModel) -> None:
    first = allowed(flat.tokenizer, [PLAIN, HEAD])
    assert first is not None
    assert {"if", "for", " ", "  "} <= first
    assert first.isdisjoint({"while", "(", "#", "\n", "", " if", "     "})
    assert all(not text.strip() or text in ("if", "for") for text in first)


def test_next_token_depends_on_the_blanks_before_it(flat: LoadedModel) -> None:
    tokenizer = flat.tokenizer
    inside, outside = (allowed(tokenizer, [PLAIN, HEAD], tokenizer.encode(blanks)) for blanks in ("    ", "  "))
    assert inside is not None
    assert {"return", "(", "_"} <= inside
    assert inside.isdisjoint({"if", "for", " ", "\n"})
    assert outside is not None
    assert {" ", "  "} <= outside
    assert outside.isdisjoint({"return", "if", "   "})


def test_a_begun_fill_may_hold_any_token(flat: LoadedModel) -> None:
    assert allowed(flat.tokenizer, [PLAIN, HEAD], flat.tokenizer.encode("    value")) is None
    assert allowed(flat.tokenizer, [HEAD], flat.tokenizer.encode("if(")) is None


def test_a_word_that_has_to_begin_a_fill_ends(flat: LoadedModel) -> None:
    second = allowed(flat.tokenizer, [HEAD], flat.tokenizer.encode("if"))
    assert second is not None
    assert {" ", "(", ":"} <= second
    assert second.isdisjoint({"not", "_", "a"})


@pytest.mark.parametrize("begins", [[], [Beginning("  ")]])
def test_no_rule_and_blanks_that_fit_no_beginning_allow_any_token(flat: LoadedModel, begins: list[Beginning]) -> None:
    assert allowed(flat.tokenizer, begins, flat.tokenizer.encode("    ")) is None


def test_freed_bytes_are_not_part_of_the_fill(flat: LoadedModel) -> None:
    first = allowed(flat.tokenizer, [Beginning("", frozenset({"turn"}), others=False)], freed=b"re")
    assert first == {"return"}


def test_avoided_tokens_begin_no_fill_however_many_blanks_it_has(flat: LoadedModel) -> None:
    tokenizer = flat.tokenizer
    for blanks in ("", "  ", "        "):
        left = allowed(tokenizer, [], tokenizer.encode(blanks), avoid=("if", "for"))
        assert left is not None
        assert {"return", "\n", " "} <= left
        assert left.isdisjoint({"if", "for"})
    assert allowed(tokenizer, [], tokenizer.encode("return"), avoid=("if",)) is None
    assert allowed(tokenizer, [HEAD], avoid=("if",)) == {"for"}
    no_blank_line = allowed(tokenizer, [], avoid=("",))
    assert no_blank_line is not None
    assert "\n" not in no_blank_line


def test_a_longer_text_that_has_to_begin_a_fill_is_written_token_by_token(flat: LoadedModel) -> None:
    tokenizer = flat.tokenizer
    begins = [Beginning("  ", frozenset({"for item", "total ="}), others=False)]
    text = ""
    for _ in range(8):
        left = allowed(tokenizer, begins, tokenizer.encode(text))
        assert left is not None
        text += max((token for token in left if "  for item".startswith(text + token)), key=len)
        if text == "  for item":
            break
    assert text == "  for item"
    behind = allowed(tokenizer, begins, tokenizer.encode(text))
    assert behind is not None
    assert "s" not in behind
    assert {" ", ","} <= behind
