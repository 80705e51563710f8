"""Settings of any shape: never an exception, each unusable value is told once, and its default holds."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dgls.server.session import Session
from dgls.server.settings import Problem, Settings, _camel, own_options, setting_names, warning_about
from tests.fuzzing import fuzzed
from tests.server.test_session import never

GROUPS = [field.name for field in fields(Settings) if is_dataclass(field.type)]
NAMES = [*setting_names(), *map(_camel, GROUPS)]
USABLE = ["auto", "on", "off", "embedded", "cpu", "float32", True, 1, 0.5, 100, ["*.csv"], "https://gpu.example", "A_B"]
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(USABLE)
KEYS = st.sampled_from([*NAMES, *(part for name in NAMES for part in name.split("."))]) | st.text(max_size=6)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)
OPTIONS = VALUES | st.dictionaries(KEYS, VALUES, max_size=8)
DEEP = {"a." * 3000 + "a": 1, "threads": "x", "inlineCompletion": {"maxLines." * 3000: 1}}


def at(settings: Settings, name: str) -> Any:
    value: Any = settings
    for part in name.split(".")[1:]:
        value = next(getattr(value, field.name) for field in fields(value) if _camel(field.name) == part)
    return value


@fuzzed(each=100)
@given(OPTIONS)
@example(DEEP)
@example({"dgls": DEEP})
@example({"exclude": ["[z-a]", "\\", "\0", "\ud800", "!"], "engine": {"url": "http://[", "apiKeyCommand": ["\0"]}})
def test_configure_with_any_options_tells_each_unusable_value_once(options: Any) -> None:
    session = Session(never)
    read = json.loads(json.dumps(options))
    problems = session.configure("configuration", own_options(read))
    told = [problem.name for problem in problems if isinstance(problem, Problem)]
    assert len(told) == len(set(told))
    assert set(told) <= {f"dgls.{name}" for name in NAMES}
    for name in told:
        assert at(session.settings, name) == at(Settings(), name)
    assert warning_about(problems).count(" takes ") == len(told)
    assert session.configure("configuration", own_options(read)) == (), "told twice"
    session.close(0)


@pytest.mark.parametrize("depth", [10, 100, 900])
def test_configure_with_deep_options_ignores_what_it_does_not_know(depth: int) -> None:
    options: Any = {"threads": "x"}
    for _ in range(depth):
        options = {"qqq": options, "threads": 3}
    session = Session(never)
    assert session.configure("configuration", options) == ()
    assert session.settings.threads == 3
    session.close(0)
