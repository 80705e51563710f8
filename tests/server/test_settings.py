"""Options become settings. Bad values fall back to defaults, and one message names them."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

import pytest

from dgls.server.settings import InlineCompletionSettings, Settings, merge, own_options, read_settings, warning_about

BAD: list[tuple[str, object]] = [
    ("model", 3),
    ("model", ""),
    ("device", "gpu"),
    ("device", "1"),
    ("dtype", "int3"),
    ("threads", True),
    ("threads", -1),
    ("threads", 1.5),
    ("exclude", "*.csv"),
    ("exclude", [3]),
    ("exclude", ["!"]),
    ("context.imports", True),
    ("completion", False),
    ("inlineCompletion", "yes"),
    ("inlineCompletion.enabled", "false"),
    ("inlineCompletion.maxLines", 0),
    ("inlineCompletion.maxTokens", "48"),
    ("inlineCompletion.minConfidence", 1.01),
    ("inlineCompletion.deadlineMs", 10),
    ("inlineCompletion.delayMs", -1),
    ("inlineCompletion.candidates", 4),
    ("inlineCompletion.acceptLog", 1),
    ("languages", ["python"]),
    ("languages", {"python": 1}),
    ("engine.url", "gpu.example"),
    ("engine.url", "http://gpu.example"),
    ("engine.url", "https://me:secret@gpu.example"),
    ("engine.url", "https://gpu.example/?key=secret"),
    ("engine.kind", "completions"),
    ("engine.servedModel", 3),
    ("engine.apiKeyVariable", "sk-1234567890"),
    ("engine.apiKeyCommand", "pass show vllm"),
    ("engine.apiKeyCommand", [""]),
]


@pytest.mark.parametrize(("name", "value"), BAD, ids=lambda value: str(value))
def test_read_settings_bad_value_falls_back_and_is_named(name: str, value: object) -> None:
    settings, problems = read_settings(merge({name: value}))
    assert settings == Settings()
    assert [problem.name for problem in problems] == [f"dgls.{name}"]
    assert problems[0].takes


def test_read_settings_bad_value_keeps_the_good_ones() -> None:
    settings, problems = read_settings(
        {"model": "m", "inlineCompletion": {"maxLines": 0, "maxTokens": 9}, "threads": 2}
    )
    assert (settings.model, settings.threads, settings.inline_completion.max_tokens) == ("m", 2, 9)
    assert settings.inline_completion.max_lines == InlineCompletionSettings().max_lines
    assert len(problems) == 1


def test_warning_about_several_problems_is_one_message() -> None:
    _, problems = read_settings({"threads": "x", "inlineCompletion": {"maxLines": 0}})
    message = warning_about(problems)
    assert "dgls.threads takes a whole number from 0 to 256" in message
    assert "dgls.inlineCompletion.maxLines takes a whole number from 1 to 64" in message


def test_read_settings_reads_every_setting() -> None:
    options: dict[str, Any] = {
        "model": "m",
        "device": "cuda:1",
        "dtype": "bfloat16",
        "threads": 3,
        "idleMinutes": 0,
        "exclude": ["*.csv", "/build/"],
        "languages": {"*": False, "go": True},
        "context": {"imports": "on", "openFiles": "off"},
        "completion": "off",
        "nextEdit": True,
        "engine": {
            "url": "https://gpu.example:8000",
            "kind": "chat",
            "servedModel": "diffusion",
            "apiKeyVariable": "VLLM_KEY",
            "apiKeyCommand": ["pass", "show", "vllm"],
        },
        "inlineCompletion": {
            "enabled": False,
            "maxLines": 1,
            "maxTokens": 2,
            "minConfidence": 1,
            "deadlineMs": 50,
            "delayMs": 9,
            "candidates": 1,
            "acceptLog": True,
        },
    }
    settings, problems = read_settings(options)
    assert problems == ()

    def untouched(value: Any, default: Any, path: str) -> list[str]:
        if is_dataclass(value):
            return [
                name
                for item in fields(value)
                for name in untouched(getattr(value, item.name), getattr(default, item.name), item.name)
            ]
        return [path] if value == default else []

    assert untouched(settings, Settings(), "") == []


def test_read_settings_ignores_unknown_names_and_null() -> None:
    assert read_settings(merge({"editorInfo": {"name": "x"}, "model": None, "inlineCompletion": None})) == (
        Settings(),
        (),
    )


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"modle": "m"}, "dgls.modle is no setting: did you mean dgls.model?"),
        ({"idle_minutes": 3}, "dgls.idle_minutes is no setting: did you mean dgls.idleMinutes?"),
        ({"maxLines": 3}, "dgls.maxLines is no setting: did you mean dgls.inlineCompletion.maxLines?"),
        ({"inlineCompletion": {"maxlines": 3}}, "did you mean dgls.inlineCompletion.maxLines?"),
        ({"inlineCompletion.enable": False}, "did you mean dgls.inlineCompletion.enabled?"),
        ({"inlineCompletions": {"enabled": False}}, "did you mean dgls.inlineCompletion?"),
        ({"server": {"path": "x"}, "drafts": {"enabled": True}, "rewrite": {"preview": True}, "tcpToken": "t"}, ""),
        ({"inlineCompletion": {"more": 1}}, ""),
        ({"languages": {"modle": False}}, ""),
        ({3: 4}, ""),
    ],
    ids=str,
)
def test_read_settings_name_that_is_nearly_one_of_a_setting_is_named(options: dict[Any, Any], named: str) -> None:
    settings, problems = read_settings(merge(options))
    assert settings == read_settings({"languages": options.get("languages", {})})[0]
    assert warning_about(problems).endswith(named) if named else not problems


@pytest.mark.parametrize(
    ("languages", "on"),
    [({}, True), ({"python": False}, False), ({"*": False}, False), ({"*": False, "python": True}, True)],
)
def test_suggests_in_goes_by_the_language_and_else_by_the_star(languages: dict[str, bool], on: bool) -> None:
    assert read_settings({"languages": languages})[0].suggests_in("python") is on
    assert not read_settings({"languages": languages, "inlineCompletion": {"enabled": False}})[0].suggests_in("python")


def test_merge_prefers_later_layers_and_merges_groups() -> None:
    merged = merge({"model": "a", "inlineCompletion": {"maxLines": 2}}, {"model": "b", "inlineCompletion.maxTokens": 3})
    assert merged == {"model": "b", "inlineCompletion": {"maxLines": 2, "maxTokens": 3}}


@pytest.mark.parametrize(
    ("options", "own"),
    [(None, {}), (3, {}), ({"model": "m"}, {"model": "m"}), ({"dgls": {"model": "m"}, "other": 1}, {"model": "m"})],
)
def test_own_options_finds_the_section_with_and_without_the_object_around_it(
    options: object, own: dict[str, Any]
) -> None:
    assert own_options(options) == own
