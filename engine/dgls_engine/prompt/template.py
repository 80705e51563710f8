"""A model's chat template: reads it, and renders it once around a placeholder.

    turn = render(read_template(folder), tokenizer.roles)      # the fixed texts around a user's message

The template runs in a child process (`rendering`) that is ended if it takes too long or too much memory. It never gets
the user's text. Blocks for as long as the child runs; any thread.
"""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from dgls_engine.errors import UnsupportedModel
from dgls_engine.model_files import holds, read_json, read_text, shown
from dgls_engine.prompt import rendering

_MAX_BYTES = 2**20
"""The most bytes of a template. Long ones have 30,000."""

_SECONDS, _MEMORY, _CHARACTERS = 5.0, 2**30, 100_000
"""What the child may take. The published templates take 10 ms and write a few hundred characters."""

_START_SECONDS, _WATCH_SECONDS = 15.0, 0.05
"""What a busy machine may need to start the child, and how often it is looked after."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What a chat template writes around a user's message: `head` before it; after it `tail`, which ends with the start
    of the model's turn, or `closing`, which only ends the turn."""

    head: str
    tail: str
    closing: str


def read_template(folder: Path) -> str:
    """The checkpoint's chat template, from `chat_template.jinja` or from the files where older checkpoints have it.
    Raises `BrokenCheckpoint`, and `UnsupportedModel` if it has none."""
    if holds(file := folder / "chat_template.jinja"):
        return read_text(file, _MAX_BYTES)
    for name in ("chat_template.json", "tokenizer_config.json"):
        if holds(folder / name):
            template = read_json(folder / name).get("chat_template")
            if isinstance(template, str) and len(template) <= _MAX_BYTES:
                return template
    raise UnsupportedModel(f"{folder} has no chat template; take an instruction-tuned checkpoint")


def render(template: str, roles: Mapping[str, str]) -> Turn:
    """Render the template around a random word. `roles` are the spellings of special tokens, by the names that the
    template knows. Raises `UnsupportedModel` with the reason if that gives no turn."""
    word = secrets.token_hex(16)
    values = {**roles, "enable_thinking": False}
    limits = {"seconds": _SECONDS, "memory": _MEMORY, "characters": _CHARACTERS}
    asked = json.dumps({"template": template, "values": values, "word": word, **limits}).encode()
    try:
        answer = json.loads(_output(asked))
    except (OSError, ValueError) as error:
        raise _unusable(str(error)) from None
    if "error" in answer:
        raise _unusable(answer["error"])
    head, tail = _around(answer["texts"][0], word)
    _, closing = _around(answer["texts"][1], word)
    return Turn(head, tail, closing)


def _around(text: str, word: str) -> tuple[str, str]:
    parts = text.split(word)
    if len(parts) != 2:
        raise UnsupportedModel(
            f"the model's chat template shows a user's message {len(parts) - 1} times, not once; take another model"
        )
    return parts[0], parts[1]


def _unusable(reason: str) -> UnsupportedModel:
    return UnsupportedModel(f"the model's chat template cannot be used ({shown(reason)}); take another model")


def _output(asked: bytes) -> bytes:
    """What the child writes. Raises `ValueError` with the reason if it ends without an answer or has to be ended."""
    command = [sys.executable, "-P", rendering.__file__]  # -P: modules in its folder must not replace others
    window = getattr(subprocess, "CREATE_NO_WINDOW", 0)  # Windows shows one for the child of an editor's server
    pipe, start = subprocess.PIPE, time.monotonic()
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, creationflags=window) as child:
        try:
            return _watched(child, asked, start + _START_SECONDS + _SECONDS)
        finally:
            child.kill()


def _watched(child: subprocess.Popen[bytes], asked: bytes, until: float) -> bytes:
    started, given = time.monotonic(), asked or None
    while True:
        try:
            written, _ = child.communicate(given, timeout=_WATCH_SECONDS)
        except subprocess.TimeoutExpired:
            given = None  # `communicate` goes on with what it was given
            if time.monotonic() > until:
                raise ValueError(f"it takes more than {_SECONDS:.0f} s") from None
            if _memory(child) > _MEMORY:
                raise ValueError("it needs too much memory") from None
            continue
        if not written:
            took_long = time.monotonic() - started >= _SECONDS
            raise ValueError(f"it takes more than {_SECONDS:.0f} s" if took_long else "it ends the renderer")
        return written


def _memory(child: subprocess.Popen[bytes]) -> int:
    try:
        return int(psutil.Process(child.pid).memory_info().rss)
    except psutil.Error:  # it has just ended
        return 0
