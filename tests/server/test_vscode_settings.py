"""The VS Code extension declares the server's settings: names, defaults and ranges."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from dgls.server.settings import OF_CLIENTS, Problem, Settings, merge, read_settings
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
NOT_FOR_IT = {"completion", "languages"}
"""Settings for editors without inline completion, and without settings by language."""


def takes(name: str) -> str:
    (problem,) = read_settings(merge({name: {"never": "right"}}))[1]
    assert isinstance(problem, Problem)
    return problem.takes


def test_extension_declares_each_setting_with_its_default() -> None:
    expected = {name: value for name, value in settings_of(Settings()) if name not in NOT_FOR_IT}
    assert {name: declared["default"] for name, declared in DECLARED.items() if name not in ITS_OWN} == expected


def test_extensions_own_settings_are_not_taken_for_misspelt_ones() -> None:
    assert {name.partition(".")[0] for name in ITS_OWN} <= OF_CLIENTS


@pytest.mark.parametrize("name", sorted(set(DECLARED) - ITS_OWN))
def test_extension_declares_the_ranges_and_choices_of_the_server(name: str) -> None:
    declared, words = DECLARED[name], takes(name)
    if (numbers := re.search(r"number from (\S+) to (\S+?)(,|$)", words)) is not None:
        assert [declared["minimum"], declared["maximum"]] == [int(numbers[1]), int(numbers[2])]
    elif words.startswith("one of "):
        assert declared["enum"] == re.findall(r'"(\w+)"', words)
    else:
        assert "enum" not in declared
        assert "minimum" not in declared


def test_extension_describes_each_setting_and_its_scope() -> None:
    for name, declared in DECLARED.items():
        assert declared.get("description") or declared.get("markdownDescription"), name
        assert declared["scope"] in ("machine", "machine-overridable", "language-overridable", "window"), name


def test_extension_lets_no_workspace_set_the_remote_server_or_the_key_command() -> None:
    remote = [declared["scope"] for name, declared in DECLARED.items() if name.startswith("engine.")]
    assert remote == ["machine"] * 5


def test_extension_lets_no_untrusted_workspace_choose_what_is_run_or_read_as_a_model() -> None:
    untrusted = MANIFEST["capabilities"]["untrustedWorkspaces"]
    assert untrusted["supported"] == "limited"
    assert set(untrusted["restrictedConfigurations"]) >= {"dgls.server.path", "dgls.model"}


def test_extension_has_the_version_of_the_server() -> None:
    project = (Path(__file__).resolve().parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    assert f'\nversion = "{MANIFEST["version"]}"\n' in project
