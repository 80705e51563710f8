"""docs/protocol.md says what the code does: states, fields, settings and messages."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from lsprotocol import types

from dgls.features.status import STATUS
from dgls.server import build
from dgls.session import STATES, Status
from dgls.settings import Settings, merge, read_settings

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "protocol.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def rows(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_states_are_the_codes() -> None:
    states = section("dgls/status").split("| state |")[1]
    assert {row[0].strip("`") for row in rows(states)} == set(STATES)


def test_status_has_the_fields_and_the_method_of_the_code() -> None:
    text = section(STATUS)
    names = [field.name for field in fields(Status)]
    assert [row[0].strip("`") for row in rows(text.split("| state |")[0])] == names
    example = re.search(r"```json\n(.*?)```", text, re.DOTALL)
    assert example is not None
    assert list(json.loads(example[1])) == names


def settings_of(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    for field in fields(value):
        first, *rest = field.name.split("_")
        name = path + first + "".join(word.capitalize() for word in rest)
        inner = getattr(value, field.name)
        if is_dataclass(inner):
            yield from settings_of(inner, name + ".")
        else:
            yield name, list(inner) if isinstance(inner, tuple) else inner


def test_settings_and_their_defaults_are_the_codes() -> None:
    stated = {row[0].strip("`"): json.loads(row[1].strip("`")) for row in rows(section("Settings"))}
    assert stated == dict(settings_of(Settings()))


def test_settings_take_what_the_code_says_they_take() -> None:
    stated = {row[0].strip("`"): row[2] for row in rows(section("Settings"))}
    for name, takes in stated.items():
        _, problems = read_settings(merge({name: {"never": "right"}}))
        assert [problem.takes.replace(chr(96), "") for problem in problems] == [takes]


def test_every_message_that_the_server_handles_is_named() -> None:
    server = build()
    handled = set(server.protocol.fm.features) | {types.EXIT, types.SHUTDOWN, types.CANCEL_REQUEST}
    missing = [method for method in handled if method.split("/")[-1] not in PAGE]
    assert missing == []
    assert server.protocol.fm.commands == {}
    assert "no commands of our own" in PAGE
