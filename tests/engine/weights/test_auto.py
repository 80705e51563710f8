"""The name `auto` is the small model where it is on this machine, else the embedded one."""

from __future__ import annotations

from pathlib import Path

import pytest

from dgls_engine import Engine
from dgls_engine.errors import ModelNotFound
from dgls_engine.weights import small
from dgls_engine.weights.auto import fallback_advice, resolved
from dgls_engine.weights.hub import embedded_folder, locate


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder."""
    monkeypatch.setattr(small, "user_cache_path", lambda *_, **__: tmp_path)
    return tmp_path


@pytest.fixture
def pulled(cache: Path) -> Path:
    """The folder of a small model that was fetched before."""
    folder = small._target()
    folder.mkdir(parents=True)
    for name in small._MODEL_FILES:
        (folder / name).touch()
    return folder


def test_resolved_auto_with_small_in_the_cache_is_small(pulled: Path) -> None:
    assert resolved("auto") == "small"
    assert locate("auto") == locate("small") == pulled
    assert fallback_advice("auto") is None


def test_resolved_auto_without_small_is_embedded_and_says_how_to_get_small(cache: Path) -> None:
    assert resolved("auto") == "embedded"
    assert locate("auto") == embedded_folder()
    assert "`dgls models pull small` fetches it (93 MB)" in (fallback_advice("auto") or "")


def test_resolved_auto_with_an_older_small_model_is_embedded(cache: Path) -> None:
    (cache / "models" / "small-0123456789abcdef").mkdir(parents=True)
    assert resolved("auto") == "embedded"


@pytest.mark.parametrize("name", ["small", "embedded", "some/model", "/a/folder", ""])
def test_resolved_other_name_stays(cache: Path, name: str) -> None:
    assert resolved(name) == name
    assert fallback_advice(name) is None


def test_locate_small_by_name_never_falls_back(cache: Path) -> None:
    with pytest.raises(ModelNotFound, match="not on this machine"):
        locate("small")


def test_open_auto_without_small_names_the_embedded_model(cache: Path) -> None:
    with Engine.open(device="cpu") as engine:
        assert engine.info.name == "embedded"
