"""What is remembered of how fast models ran."""

from __future__ import annotations

from pathlib import Path

import pytest

from dgls_engine.weights import speeds
from dgls_engine.weights.speeds import known_speeds, remember


@pytest.fixture(autouse=True)
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_remember_keeps_the_last_speed_of_each_model() -> None:
    assert known_speeds() == {}
    for name, ms in (("a", 1.0), ("b", 2.0), ("a", 3.04)):
        remember(name, ms)
    assert known_speeds() == {"b": 2.0, "a": 3.0}
    assert [each.name for each in speeds._file().parent.iterdir()] == ["speeds.json"]


def test_remember_of_many_models_forgets_the_oldest() -> None:
    for number in range(101):
        remember(str(number), 1.0)
    assert list(known_speeds()) == [str(number) for number in range(1, 101)]


@pytest.mark.parametrize("content", ["", "[]", "{", '{"a": "x", "b": true}', "[" * 100_000])
def test_known_speeds_of_a_damaged_file_are_none(content: str) -> None:
    remember("a", 1.0)
    speeds._file().write_text(content, encoding="utf-8")
    assert known_speeds() == {}
    remember("a", 1.0)
    assert known_speeds() == {"a": 1.0}


def test_remember_without_a_place_to_write_does_nothing(tmp_path: Path) -> None:
    (tmp_path / "dgls").write_text("in the way", encoding="utf-8")
    remember("a", 1.0)
    assert known_speeds() == {}
