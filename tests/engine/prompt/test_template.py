"""A chat template is a program of somebody else's: what it renders, and that it cannot hold us up."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest
from transformers.utils.chat_template_utils import render_jinja_template

from dgls_engine.errors import BrokenCheckpoint, UnsupportedModel
from dgls_engine.prompt import template
from dgls_engine.prompt.formats import ChatPrompt
from dgls_engine.prompt.template import Turn, read_template, render
from dgls_engine.text.tokenizer import Tokenizer
from tests.engine.checkpoints import CHAT_TEMPLATE, chat_checkpoint

ROLES = {"bos_token": "<bos>", "eos_token": "<eos>"}
EVERYTHING = """\
{{ bos_token }}
    {% if tools is none and documents is none and not enable_thinking %}
{%- set ns = namespace(count=0) %}
{% for message in messages %}
    {% if loop.index > 5 %}{% break %}{% endif %}
    {% set ns.count = ns.count + 1 %}
{{ message | tojson }} {{ message.content | trim }} {{ strftime_now('%Y') }} {{ dict(a=[1, 'ü']) | tojson(indent=2) }}
    {% generation %}{{ ns.count }}{% endgeneration %}
{% endfor %}
    {% endif %}
{% if add_generation_prompt %}<|turn>model
{% endif %}
"""


def in_transformers(text: str, word: str, generation: bool) -> str:
    """The slow reference."""
    values = {**ROLES, "enable_thinking": False}
    messages = [{"role": "user", "content": word}]
    texts, _ = render_jinja_template([messages], chat_template=text, add_generation_prompt=generation, **values)
    return texts[0]


@pytest.mark.parametrize("text", [EVERYTHING.replace("{{ message | tojson }} ", ""), CHAT_TEMPLATE])
def test_render_equals_transformers(text: str) -> None:
    text = text.replace("EMPTY_THOUGHT", "true")
    head, tail = in_transformers(text, "WORD", True).split("WORD")
    assert render(text, ROLES) == Turn(head, tail, in_transformers(text, "WORD", False).split("WORD")[1])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{% for", "cannot be used"),
        ("{{ ''.__class__.__mro__ }}{{ messages[0].content }}<turn|>", "cannot be used"),
        ("{% set x = namespace() %}{% set x.__init__ = 1 %}", "underscore"),
        ("{{ raise_exception('only two\nusers\x1b[2J') }}", r"\(only two\)"),
        ("no message", "0 times"),
        ("{{ messages[0].content }}{{ messages[0].content }}<turn|>", "2 times"),
        ("{% for i in range(100000) %}{% for j in range(100000) %}x{% endfor %}{% endfor %}", "more than 100000 char"),
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "recursion"),
        ("{% for i in range(10**9) %}x{% endfor %}", "Range too big"),
        pytest.param(
            "{{ 'x' * 10**11 }}",
            "too much memory",
            marks=pytest.mark.skipif(sys.platform != "linux", reason="no limit of the system"),
        ),
    ],
)
def test_render_unusable_template_raises_the_reason(text: str, words: str) -> None:
    with pytest.raises(UnsupportedModel, match=words) as raised:
        render(text, ROLES)
    assert str(raised.value).isprintable()


@pytest.mark.parametrize(
    "text",
    [
        "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
        "{{ 10**(10**8) }}",
    ],
)
def test_render_template_without_end_is_ended(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(template, "_SECONDS", 0.5)
    started = time.monotonic()
    with pytest.raises(UnsupportedModel, match="takes more than"):
        render(text, ROLES)
    assert time.monotonic() - started < 10


def test_render_child_above_the_memory_limit_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the system has no limit for a process."""
    memory = template._memory
    monkeypatch.setattr(template, "_memory", lambda child: 10**6 * memory(child))
    with pytest.raises(UnsupportedModel, match="too much memory"):
        render("{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}", ROLES)


def test_chat_prompt_template_without_closing_token_raises(tmp_path: Path) -> None:
    tokenizer = Tokenizer(chat_checkpoint(tmp_path) / "tokenizer.json")
    with pytest.raises(UnsupportedModel, match="without a special token"):
        ChatPrompt(tokenizer, 4096, render("{{ messages[0].content }} over", tokenizer.roles))


def test_read_template_large_file_raises(tmp_path: Path) -> None:
    (tmp_path / "chat_template.jinja").write_text("x" * (template._MAX_BYTES + 1))
    with pytest.raises(BrokenCheckpoint, match="at most"):
        read_template(tmp_path)
