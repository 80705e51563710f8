"""docs/protocol.md agrees with the code: states, fields, settings and messages."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from math import log
from pathlib import Path
from typing import Any

import pytest
from lsprotocol import types
from lsprotocol.converters import get_converter

from dgls.change.passage import Gap, Passage
from dgls.change.task import Action
from dgls.code.document import Document, Span
from dgls.server.actions.drafts import DRAFT, Drafts
from dgls.server.actions.parameters import Filling, Rewriting
from dgls.server.features.code_action import kind_of
from dgls.server.features.status import STATUS
from dgls.server.host import STATES, Status
from dgls.server.lsp_server import EXPERIMENTAL, build
from dgls.server.settings import Problem, Settings, merge, read_settings
from dgls_engine.types import Fill, Hole, Piece, Step

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "protocol.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def rows(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_page_lists_the_states_of_the_code() -> None:
    states = section("dgls/status").split("| state |")[1]
    assert {row[0].strip("`") for row in rows(states)} == set(STATES)


def test_page_shows_status_with_the_fields_and_the_method_of_the_code() -> None:
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


def test_page_lists_the_settings_with_their_defaults() -> None:
    stated = {row[0].strip("`"): json.loads(row[1].strip("`")) for row in rows(section("Settings"))}
    assert stated == dict(settings_of(Settings()))


def test_page_says_what_each_setting_takes() -> None:
    stated = {row[0].strip("`"): row[2] for row in rows(section("Settings"))}
    for name, takes in stated.items():
        (problem,) = read_settings(merge({name: {"never": "right"}}))[1]
        assert isinstance(problem, Problem)
        assert problem.takes == takes


def test_page_names_every_message_that_the_server_handles() -> None:
    handled = set(build().protocol.fm.features) | {types.EXIT, types.SHUTDOWN, types.CANCEL_REQUEST}
    missing = [method for method in handled if method.split("/")[-1] not in PAGE]
    assert missing == []


def test_page_describes_every_command() -> None:
    described = re.findall(r"^### (dgls\..+)$", section("Commands"), re.MULTILINE)
    assert sorted(described) == sorted(build().protocol.fm.commands)


@pytest.mark.parametrize(("command", "kind"), [("dgls.rewrite", Rewriting), ("dgls.fill", Filling)])
def test_page_lists_the_parameters_of_each_command(command: str, kind: type[Rewriting | Filling]) -> None:
    stated = rows(section("Commands").split(f"### {command}")[1].split("###")[0])
    required = [field.name for field in fields(kind) if field.default is MISSING]
    assert [row[0].strip("` *") for row in stated] == [field.name for field in fields(kind)]
    assert [row[0].strip("` *") for row in stated if row[0].endswith("*")] == required


def test_page_lists_the_kinds_of_actions() -> None:
    assert {row[0] for row in re.findall(r"`((quickfix|refactor|source)[\w.]*)` \|", PAGE)} == {
        kind_of(action) for action in Action
    }


def test_page_shows_the_announced_strengths() -> None:
    example = re.search(r"```json\n(.*?)```", section("Standard messages"), re.DOTALL)
    assert example is not None
    assert json.loads(example[1]) == {"capabilities": {"experimental": EXPERIMENTAL}}


async def test_page_shows_a_draft_as_it_is_sent() -> None:
    example = re.search(r"```json\n(.*?)```", section(DRAFT), re.DOTALL)
    assert example is not None
    shown = json.loads(example[1])
    sent: list[Any] = []
    document = Document(shown["uri"], shown["version"], "python", "def f(a):\n    pass\n")
    drafts = Drafts(lambda method, params: sent.append((method, params)), shown["request"], document, "utf-16")
    place = Span(14, 18)
    passage = Passage(document, Span(0, 19), (Gap(place, Hole(), place),))
    nats = tuple(-log(token["certainty"]) for token in shown["holes"][0]["tokens"])
    drafts.step(
        passage, Step(1, (Fill("return a", tuple(map(Piece, ("return", " a"), (1.0, 1.0), nats)), None, 1.0),), 0.1), 0
    )
    while not sent:
        await asyncio.sleep(0.001)
    drafts.end()
    head = {name: shown[name] for name in ("request", "uri", "version")}
    assert get_converter().unstructure(sent) == [[DRAFT, shown], [DRAFT, {**head, "holes": [], "done": True}]]
    stated = {name for row in rows(section(DRAFT)) for name in re.findall(r"`(\w+)`", row[0])}
    assert stated == set(shown) | {"done"}
