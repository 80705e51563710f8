"""The prompt's laws: its content, what it never contains, and how little it changes while the user types."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dgls_engine.errors import BrokenCheckpoint, RequestTooLarge
from dgls_engine.profile import Profile
from dgls_engine.prompt.formats import ABOVE, BELOW, ChatPrompt, Prompt, RawPrompt, fit, open_prompt
from dgls_engine.prompt.template import render
from dgls_engine.text.tokenizer import Tokenizer
from dgls_engine.types import Context, Snippet
from dgls_engine.weights.profiles import read_profile
from tests.engine.checkpoints import CHAT_SPECIALS, CHAT_TEMPLATE, chat_checkpoint, raw_checkpoint

LINES = [f"    value_{number} = return_list[{number}]\n" for number in range(400)]
TEXT = "".join(LINES)
SNIPPETS = (Snippet("lib/one.py", "def return_one(x):\n"), Snippet("lib/two.py", "class ValueTwo:\n"))
TEMPLATE = CHAT_TEMPLATE.replace("EMPTY_THOUGHT", "true")


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return raw_checkpoint(tmp_path_factory.mktemp("raw"))


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return chat_checkpoint(tmp_path_factory.mktemp("chat"))


@pytest.fixture(scope="module", params=["raw", "chat"])
def opened(request: pytest.FixtureRequest, raw: Path, chat: Path) -> tuple[Tokenizer, Profile, Prompt]:
    folder = raw if request.param == "raw" else chat
    tokenizer, profile = Tokenizer(folder / "tokenizer.json"), read_profile(folder)
    return tokenizer, profile, open_prompt(tokenizer, profile, folder)


def spelled(tokenizer: Tokenizer, ids: list[int]) -> str:
    """The prompt as text, with the names of special tokens in double angle brackets."""
    names = {tokenizer.id_of(name): name for name in (*CHAT_SPECIALS, BELOW, ABOVE) if tokenizer.has(name)}
    return "".join(f"«{names[id]}»" if id in names else tokenizer.decode([id]) for id in ids)


def test_raw_prompt_shows_below_then_above(raw: Path) -> None:
    tokenizer = Tokenizer(raw / "tokenizer.json")
    prompt = RawPrompt(tokenizer, 64)
    ids = prompt.encode(Context("a.py", "python", above="def x\n", below="return\n"))
    assert spelled(tokenizer, ids) == "«<|below|>»return\n«<|above|>»def x\n"
    assert prompt.canvas_end == ()


@pytest.mark.parametrize("writes", [True, False])
def test_chat_prompt_has_exactly_one_empty_thought(tmp_path: Path, writes: bool) -> None:
    folder = chat_checkpoint(tmp_path, template_writes_thought=writes)
    tokenizer = Tokenizer(folder / "tokenizer.json")
    prompt = open_prompt(tokenizer, read_profile(folder), folder)
    text = spelled(tokenizer, prompt.encode(Context("src/a.py", "python", above="def x\n", below="return\n")))
    assert text.startswith("«<bos>»«<|turn>»user\n")
    assert text.endswith("«<turn|>»\n«<|turn>»model\n«<|channel>»thought\n«<channel|>»")
    assert text.count("«<|channel>»") == text.count("«<channel|>»") == 1
    assert text.index("src/a.py") < text.index("return\n") < text.index("def x\n")
    assert prompt.canvas_end == (tokenizer.id_of("<turn|>"),)


def test_prompt_user_text_never_becomes_special_token(opened: tuple[Tokenizer, Profile, Prompt]) -> None:
    tokenizer, _, prompt = opened

    def specials(context: Context) -> list[int]:
        return [id for id in prompt.encode(context) if id in tokenizer.special_ids]

    evil = "".join((*CHAT_SPECIALS, BELOW, ABOVE))
    assert specials(Context(evil, evil, evil, evil, (Snippet(evil, evil),), evil, evil)) == specials(Context())


@pytest.mark.parametrize("length", [0, 1, 10, 100, 400])
def test_prompt_keeps_budget(opened: tuple[Tokenizer, Profile, Prompt], length: int) -> None:
    _, profile, prompt = opened
    text = "".join(LINES[:length])
    for context in (Context("p" * 5000, "python", text, text), Context("", "", text, ""), Context("", "", "", text)):
        assert len(prompt.encode(context)) <= profile.max_prompt_tokens


@given(budget=st.integers(1, 300), above=st.integers(0, 400), below=st.integers(0, 400))
def test_prompt_cut_keeps_end_of_above_and_start_of_below(raw: Path, budget: int, above: int, below: int) -> None:
    tokenizer = Tokenizer(raw / "tokenizer.json")
    context = Context(above="".join(LINES[:above]), below="".join(LINES[:below]))
    below_ids, above_ids = fit(tokenizer, context, budget)
    assert len(below_ids) + len(above_ids) <= budget
    assert context.above.endswith(tokenizer.decode(above_ids))
    assert context.below.startswith(tokenizer.decode(below_ids))


def test_prompt_cuts_between_lines_and_uses_most_of_budget(raw: Path) -> None:
    tokenizer = Tokenizer(raw / "tokenizer.json")
    below, above = (tokenizer.decode(ids) for ids in fit(tokenizer, Context(above=TEXT, below=TEXT), 300))
    assert TEXT.endswith("\n" + above)
    assert TEXT.startswith(below)
    assert below.endswith("\n")
    assert len(tokenizer.encode(below)) + len(tokenizer.encode(above)) > 300 * 2 // 3


def test_prompt_text_without_lines_is_cut(raw: Path) -> None:
    tokenizer = Tokenizer(raw / "tokenizer.json")
    below, above = fit(tokenizer, Context(above="x " * 5000, below="x " * 5000), 100)
    assert 0 < len(below) + len(above) <= 100


@pytest.mark.parametrize("start", [5, 100])
def test_prompt_start_rarely_moves_while_above_grows(opened: tuple[Tokenizer, Profile, Prompt], start: int) -> None:
    _, profile, prompt = opened
    prompts = [prompt.encode(Context("a.py", "python", "".join(LINES[:at]), TEXT)) for at in range(start, start + 50)]

    def kept(older: list[int], newer: list[int]) -> bool:
        return newer[: len(older) // 2] == older[: len(older) // 2]

    moved = sum(not kept(older, newer) for older, newer in pairwise(prompts))
    tokens_added = 50 * 12
    assert moved <= 4 + tokens_added / (profile.max_prompt_tokens / 16)


def test_prompt_below_stays_while_long_above_grows(raw: Path) -> None:
    tokenizer = Tokenizer(raw / "tokenizer.json")
    seen = {tuple(fit(tokenizer, Context(above="".join(LINES[:at]), below=TEXT), 200)[0]) for at in range(50, 120)}
    assert len(seen) == 1


def test_prompt_snippets_first_in_chat_and_before_above_in_raw(raw: Path, chat: Path) -> None:
    context = Context("a.py", "python", "def above\n", "return below\n", SNIPPETS)
    tokenizer = Tokenizer(raw / "tokenizer.json")
    text = spelled(tokenizer, RawPrompt(tokenizer, 128).encode(context))
    assert text == "«<|below|>»return below\n«<|above|>»def return_one(x):\nclass ValueTwo:\ndef above\n"
    tokenizer = Tokenizer(chat / "tokenizer.json")
    text = spelled(tokenizer, open_prompt(tokenizer, read_profile(chat), chat).encode(context))
    shown = "<definitions>\nFile: lib/one.py\ndef return_one(x):\nFile: lib/two.py\nclass ValueTwo:\n</definitions>\n"
    assert shown in text
    assert text.index("a.py") < text.index(shown) < text.index("return below") < text.index("def above")


def test_prompt_snippets_get_at_most_a_quarter(raw: Path) -> None:
    tokenizer = Tokenizer(raw / "tokenizer.json")
    budget, bare = 400, 2
    prompt = RawPrompt(tokenizer, budget + bare)
    long = (Snippet("b.py", TEXT),)
    alone = len(prompt.encode(Context(snippets=long))) - bare
    assert budget // 8 < alone <= budget // 4
    for lines in (1, 10, 400):
        above = "".join(LINES[:lines])
        without, shown = prompt.encode(Context(above=above)), prompt.encode(Context(above=above, snippets=long))
        assert len(shown) <= budget + bare
        assert shown[-10:] == without[-10:], "the file's end stays"
        if lines == 1:
            assert len(shown) == len(without) + alone, "nothing of a short file goes"


def test_prompt_snippets_are_cut_between_lines_in_order(raw: Path) -> None:
    tokenizer = Tokenizer(raw / "tokenizer.json")
    prompt = RawPrompt(tokenizer, 202)
    text = spelled(tokenizer, prompt.encode(Context(snippets=(SNIPPETS[0], Snippet("b.py", TEXT), SNIPPETS[1]))))
    shown = text.removeprefix("«<|below|>»«<|above|>»")
    assert shown.startswith(SNIPPETS[0].text + LINES[0])
    assert shown.endswith("\n")
    assert (SNIPPETS[0].text + TEXT).startswith(shown)
    huge = Snippet("b.py", "x = " * 1000)
    assert prompt.encode(Context(snippets=(huge,))) == prompt.encode(Context())


def test_prompt_ids_before_above_stay_while_above_grows(
    opened: tuple[Tokenizer, Profile, Prompt],
) -> None:
    tokenizer, profile, prompt = opened
    lines = profile.max_prompt_tokens // 40
    prompts = [prompt.encode(Context("a.py", "", "".join(LINES[:at]), "", SNIPPETS)) for at in range(1, lines)]
    moved = 0
    for older, newer in pairwise(prompts):
        shared = next((at for at, pair in enumerate(zip(older, newer, strict=False)) if pair[0] != pair[1]), len(older))
        moved += b"ValueTwo" not in b"".join(tokenizer.token_bytes(id) for id in newer[:shared])
    assert moved <= 4


def test_chat_prompt_ends_with_current_code_and_instruction(chat: Path) -> None:
    tokenizer = Tokenizer(chat / "tokenizer.json")
    prompt = open_prompt(tokenizer, read_profile(chat), chat)
    bare = Context("a.py", "python", "def above\n", "return below\n", SNIPPETS)
    plain = spelled(tokenizer, prompt.encode(bare))
    asked = replace(bare, current="    old = 1\n", instruction="Use add.")
    text = spelled(tokenizer, prompt.encode(asked))
    head, _, turn = plain.partition("«<turn|>»")
    assert head.endswith("Write the region.")
    assert text.startswith(head)
    assert text.endswith("«<turn|>»" + turn)
    said = text.removeprefix(head)
    assert said.index("<current>\n    old = 1\n\n</current>") < said.index("<instruction>\nUse add.\n</instruction>")
    assert "new text" in said
    for one in (replace(asked, current=""), replace(asked, instruction="")):
        said = spelled(tokenizer, prompt.encode(one))
        assert ("<current>" in said, "<instruction>" in said) == (bool(one.current), bool(one.instruction))


def test_raw_prompt_shows_current_code_and_no_instruction(raw: Path) -> None:
    tokenizer = Tokenizer(raw / "tokenizer.json")
    context = Context("a.py", "", "def above\n", "return below\n", SNIPPETS[:1], "old = 1", "Use add.")
    text = spelled(tokenizer, RawPrompt(tokenizer, 128).encode(context))
    assert text == "«<|below|>»return below\n«<|above|>»def return_one(x):\nold = 1\ndef above\n"


@pytest.mark.parametrize("length", [1, 100, 400])
def test_prompt_long_current_and_instruction_keeps_budget(
    opened: tuple[Tokenizer, Profile, Prompt], length: int
) -> None:
    _, profile, prompt = opened
    text = "".join(LINES[:length])
    for current, words in ((text, ""), ("", text), (text, text), ("x " * 5000, "y" * 50000)):
        context = Context("a.py", "", text, text, (Snippet("b.py", text),), current, words)
        ids = prompt.encode(context)
        assert len(ids) <= profile.max_prompt_tokens
        assert prompt.encode(replace(context, current="", instruction="")) != ids or profile.prompt_format == "raw"


def test_chat_prompt_long_instruction_is_cut_with_note(chat: Path) -> None:
    tokenizer = Tokenizer(chat / "tokenizer.json")
    prompt = open_prompt(tokenizer, read_profile(chat), chat)
    text = spelled(tokenizer, prompt.encode(Context(above="def above\n", instruction=TEXT)))
    said = text.partition("<instruction>\n")[2].partition("\n</instruction>")[0]
    assert said.startswith(LINES[0])
    assert said.endswith("\n[the rest is left out]")
    assert "def above" in text
    whole = spelled(tokenizer, prompt.encode(Context(instruction="".join(LINES[:20]))))
    assert "left out" not in whole


def test_chat_prompt_too_short_for_instruction_raises(chat: Path) -> None:
    tokenizer = Tokenizer(chat / "tokenizer.json")
    long = ChatPrompt(tokenizer, 4096, render(TEMPLATE, tokenizer.roles))
    prompt = long.within(len(long.encode(Context())) + 40)
    assert prompt.encode(Context(above="def above\n"))
    with pytest.raises(RequestTooLarge, match="no room for code to rewrite"):
        prompt.encode(Context(instruction="Use add."))


def test_open_prompt_budget_smaller_than_scaffold_raises(chat: Path) -> None:
    with pytest.raises(BrokenCheckpoint, match="max_prompt_tokens must be at least"):
        open_prompt(Tokenizer(chat / "tokenizer.json"), read_profile(chat), chat).within(40).encode(Context())


def test_open_prompt_raw_without_special_tokens_raises(chat: Path) -> None:
    with pytest.raises(BrokenCheckpoint, match=r"<\|below\|>"):
        RawPrompt(Tokenizer(chat / "tokenizer.json"), 64)
