"""Whatever a chat model answers, only the hole's text changes: in suggestions and in actions."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from dgls.change.edit import checked_changes, minimal_changes
from dgls.change.offer import start
from dgls.change.passage import Passage, Room, applied, carry_out
from dgls.change.task import Action, Task
from dgls.code.document import Document, Span
from dgls.code.syntax import parse
from dgls.suggest.exchange import filled, request_of, suggestion_of
from dgls.suggest.plan import Budget, Region, plan
from dgls.suggest.suggestion import Suggestion
from dgls_engine.types import Infill, Limits
from tests.remote.conftest import OpenChat
from tests.remote.fake_chat import FakeChat

ANSWERS = [
    case["answer"]
    for case in tomllib.loads(
        (Path(__file__).parents[2] / "fixtures" / "chat" / "answers.toml").read_text(encoding="utf-8")
    )["case"]
]
BEFORE, AFTER = "import os\r\n\r\n\r\ndef réad(path):\r\n    value = ", "\r\n    return value\r\n\r\n\r\nx\t=  1"
STUB = "import os\n\n\ndef total(values):\n    pass\n\n\nx\t=  1"


def infill(engine: Any, asked: Any) -> Infill:
    *_, last = engine.infill(asked)
    assert isinstance(last, Infill)
    return last


def test_suggestions_of_all_answers_keep_the_bytes_around(chatting: FakeChat, converse: OpenChat) -> None:
    engine = converse(chatting)
    document = Document("file:///a.py", 1, "python", BEFORE + AFTER)
    region = plan(document, len(BEFORE), Budget.of(engine.profile), parse(document, len(BEFORE)), invoked=True)
    assert isinstance(region, Region)
    made = 0
    for answer in ANSWERS:
        chatting.says = answer
        answered = infill(engine, request_of(region, "a.py", "python", Limits(), 0))
        suggestion = suggestion_of(document, region, answered, engine.profile.calibration)
        if isinstance(suggestion, Suggestion):
            made += 1
            changed = filled(document, region, suggestion.new_text)
            assert changed.startswith(BEFORE)
            assert changed.endswith(AFTER)
            assert suggestion.confidence is None
    assert made > len(ANSWERS) / 2


@pytest.mark.parametrize("action", [Action.FILL, Action.REWRITE])
def test_actions_with_all_answers_keep_the_bytes_around(chatting: FakeChat, converse: OpenChat, action: Action) -> None:
    engine = converse(chatting)
    document = Document("file:///a.py", 1, "python", STUB)
    at = STUB.index("pass")
    task = Task(action, Span(at, at + len("pass")), "Add the values." if action is Action.REWRITE else "")
    made = 0
    for answer in ANSWERS:
        chatting.says = answer
        origins: list[Span] = []

        def ask(passage: Passage, origins: list[Span] = origins) -> Infill:
            origins += [gap.origin for gap in passage.gaps]
            return infill(engine, passage.request("a.py", Limits(), 0))

        room = Room.of(engine.profile, engine.count)
        outcome = carry_out(start(task, document, room, parse(document, at)), ask)
        changes = checked_changes(outcome, minimal_changes(outcome), origins)
        made += bool(changes)
        changed = applied(document, changes).text
        assert changed.startswith(STUB[:at].rstrip())
        assert changed.endswith(STUB[at + len("pass") :])
    assert made > len(ANSWERS) / 2
