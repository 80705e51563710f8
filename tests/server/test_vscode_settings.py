"""The settings that the VS Code extension declares are the server's: names, defaults and ranges."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from dgls.server.settings import Settings, merge, read_settings
from tests.server.test_protocol_page import settings_of

MANIFEST = json.loads(
    (Path(__file__).resolve().parents[2] / "editors" / "vscode" / "package.json").read_text(encoding="utf-8")
)
DECLARED: dict[str, dict[str, Any]] = {
    name.removeprefix("dgls."): declared
    for group in MANIFEST["contributes"]["configuration"]
    for name, declared in group["properties"].items()
}
ITS_OWN = {"server.path", "rewrite.preview", "drafts.enabled"}
NOT_FOR_IT = {"completion"}
"""For editors that know no inline completion."""


def takes(name: str) -> str:
    (problem,) = read_settings(merge({name: {"never": "right"}}))[1]
    return problem.takes


def test_each_setting_of_the_server_is_declared_with_its_default() -> None:
    expected = {name: value for name, value in settings_of(Settings()) if name not in NOT_FOR_IT}
    assert {name: declared["default"] for name, declared in DECLARED.items() if name not in ITS_OWN} == expected


@pytest.mark.parametrize("name", sorted(set(DECLARED) - ITS_OWN))
def test_ranges_and_choices_are_the_servers(name: str) -> None:
    declared, words = DECLARED[name], takes(name)
    if (numbers := re.search(r"number from (\S+) to (\S+?)(,|$)", words)) is not None:
        assert [declared["minimum"], declared["maximum"]] == [int(numbers[1]), int(numbers[2])]
    elif words.startswith("one of "):
        assert declared["enum"] == re.findall(r'"(\w+)"', words)
    else:
        assert "enum" not in declared
        assert "minimum" not in declared


def test_each_is_described_and_says_how_far_it_reaches() -> None:
    for name, declared in DECLARED.items():
        assert declared.get("description") or declared.get("markdownDescription"), name
        assert declared["scope"] in ("machine", "machine-overridable", "language-overridable", "window"), name


def test_no_workspace_says_where_code_goes_or_what_is_run_for_a_key() -> None:
    remote = [declared["scope"] for name, declared in DECLARED.items() if name.startswith("engine.")]
    assert remote == ["machine"] * 4


def test_the_extension_has_the_version_of_the_server() -> None:
    project = (Path(__file__).resolve().parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    assert f'\nversion = "{MANIFEST["version"]}"\n' in project
